use super::{Budgets, Verdict};
use crate::results::Counts;

const SCENARIO: &str = "breaker/closed";

#[test]
fn what_was_budgeted_may_be_spent() {
    let budgets = budgeted(counts(1.0, 100.0));
    assert_eq!(check(&budgets, counts(1.0, 100.0)), Verdict::default());
}

#[test]
fn instructions_are_held_within_a_tenth() {
    let budgets = budgeted(counts(0.0, 100.0));
    assert_eq!(check(&budgets, counts(0.0, 109.9)), Verdict::default());
    assert_eq!(check(&budgets, counts(0.0, 90.1)), Verdict::default());
    assert_eq!(check(&budgets, counts(0.0, 110.1)).broken.len(), 1);
    assert_eq!(check(&budgets, counts(0.0, 89.9)).loose.len(), 1);
}

#[test]
fn allocations_are_held_within_a_hundredth_in_both_directions() {
    let budgets = budgeted(counts(2.03, 100.0));
    assert_eq!(check(&budgets, counts(2.02, 100.0)), Verdict::default());
    assert_eq!(check(&budgets, counts(2.05, 100.0)), Verdict::default());
    assert_eq!(check(&budgets, counts(2.06, 100.0)).broken.len(), 1);
    let budgets = budgeted(counts(0.0, 100.0));
    assert_eq!(check(&budgets, counts(0.01, 100.0)).broken.len(), 1);
    let budgets = budgeted(counts(0.05, 100.0));
    for allocations in [0.0, 0.04, 0.06, 1.0] {
        assert_eq!(check(&budgets, counts(allocations, 100.0)).broken.len(), 1);
    }
}

#[test]
fn a_future_is_held_to_its_size() {
    let budgets = budgeted(counts(0.0, 100.0));
    let larger = Counts {
        future: Some(65),
        ..counts(0.0, 100.0)
    };
    assert_eq!(check(&budgets, larger).broken.len(), 1);
}

#[test]
fn a_row_without_a_budget_and_a_budget_without_a_row_are_faults() {
    let budgets = budgeted(counts(0.0, 100.0));
    let verdict = budgets.check(SCENARIO, [("other", counts(0.0, 100.0))]);
    assert_eq!(verdict.broken.len(), 2);
}

#[test]
fn where_instructions_are_not_counted_their_budget_is_kept_and_not_held() {
    let uncounted = Counts {
        instructions: None,
        ..counts(0.0, 0.0)
    };
    let mut budgets = budgeted(counts(0.0, 100.0));
    assert_eq!(check(&budgets, uncounted), Verdict::default());
    budgets.update(SCENARIO, [("ours", uncounted)]);
    assert_eq!(check(&budgets, counts(0.0, 200.0)).broken.len(), 1);
}

#[test]
fn budgets_are_the_same_once_written_and_read() {
    let budgets = budgeted(counts(0.05, 100.0));
    let text = toml::to_string(&budgets).unwrap();
    let read: Budgets = toml::from_str(&text).unwrap();
    assert_eq!(read.0, budgets.0);
}

fn budgeted(counts: Counts) -> Budgets {
    let mut budgets = Budgets::default();
    budgets.update(SCENARIO, [("ours", counts)]);
    budgets
}

fn check(budgets: &Budgets, counts: Counts) -> Verdict {
    budgets.check(SCENARIO, [("ours", counts)])
}

fn counts(allocations: f64, instructions: f64) -> Counts {
    Counts {
        allocations: Some(allocations),
        future: Some(64),
        instructions: Some(instructions),
        ..Counts::default()
    }
}
