use proptest::prelude::*;

use super::counted::{COUNT, Counted, counted};
use super::*;

/// Every deposit and withdrawal, with its time.
#[derive(Default)]
struct Naive(Vec<(u64, i64)>);

impl Naive {
    fn balance(&self, now: u64) -> i64 {
        let alive = self.0.iter().filter(|(then, _)| then + SLICES > now);
        alive.map(|(_, amount)| amount).sum()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Deposit,
    Withdraw,
    GiveBack(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![4 => 1..4_u64, 1 => 0..40_u64].prop_map(Step::Pass),
        9 => Just(Step::Deposit),
        5 => Just(Step::Withdraw),
        2 => any::<usize>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    #[test]
    fn it_comes_to_the_same_as_a_list_of_everything(
        thousandths in 0..2_000_u32,
        min_per_second in 0..3_u32,
        steps in prop::collection::vec(steps(), 0..300),
    ) {
        prop_assume!(thousandths + min_per_second > 0);
        let ratio = f64::from(thousandths) / 1_000.0;
        let ratio = RetryRatio::new(ratio, min_per_second).unwrap();
        let reserve = i64::from(min_per_second) * 10_000;
        let mut naive = Naive::default();
        let mut now = 0;
        let mut withdrawn = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ticks) => now += ticks,
                Step::Deposit => {
                    ratio.ledger.requests.add(now);
                    naive.0.push((now, thousandths.into()));
                }
                Step::Withdraw => {
                    let expected = naive.balance(now) + reserve >= 1_000;
                    prop_assert_eq!(ratio.ledger.withdraw(now, ratio.terms()), expected);
                    if expected {
                        naive.0.push((now, -1_000));
                        withdrawn.push(now);
                    }
                }
                Step::GiveBack(which) => {
                    if !withdrawn.is_empty() {
                        let then = withdrawn.swap_remove(which % withdrawn.len());
                        ratio.give_back(Withdrawal::new(1, then));
                        naive.0.push((then, 1_000));
                    }
                }
            }
            let left = ratio.ledger.left(now, ratio.terms());
            prop_assert_eq!(left as i64, (naive.balance(now) + reserve).max(0));
        }
    }
}

#[test]
fn ticks_follow_one_another_without_drift() {
    for nanos in [100_000_000, 100_000_001, 1_000_000_000, 6_000_000_000] {
        let tick = Tick::new(nanos);
        for index in [1, 2, 9, 1_000_000] {
            let begins = Duration::from_nanos(index * nanos);
            assert_eq!(tick.index(begins), index);
            let early = begins / 1_000_000_000 + Duration::from_nanos(1);
            assert_eq!(tick.index(begins - early), index - 1);
        }
        assert_eq!(tick.index(Duration::from_nanos(nanos - 1)), 0);
    }
}

#[test]
fn a_request_of_a_clock_that_is_a_round_behind_is_not_counted() {
    let ratio = RetryRatio::new(1.0, 0).unwrap();
    ratio.ledger.requests.add(20);
    ratio.ledger.requests.add(4);
    assert_eq!(ratio.ledger.requests.sum(0, 20), 1);
    // One behind by less is.
    ratio.ledger.requests.add(19);
    assert_eq!(ratio.ledger.requests.sum(0, 20), 2);
}

#[test]
fn what_is_taken_back_after_it_was_forgotten_changes_nothing() {
    let retries = Counted::new(0);
    retries.add(3);
    retries.add(19);
    retries.take_back(3);
    assert_eq!(retries.sum(0, 30), 1);
    retries.take_back(19);
    retries.take_back(19);
    assert_eq!(retries.sum(0, 30), 0);
}

#[test]
fn retries_of_a_clock_that_is_ahead_count_and_its_requests_do_not() {
    let ratio = RetryRatio::new(0.5, 0).unwrap();
    for _ in 0..2 {
        ratio.ledger.requests.add(5);
        ratio.ledger.requests.add(6);
    }
    assert!(ratio.ledger.withdraw(6, ratio.terms()));
    assert_eq!(ratio.ledger.left(5, ratio.terms()), 0);
    assert!(!ratio.ledger.withdraw(5, ratio.terms()));
    assert!(ratio.ledger.withdraw(6, ratio.terms()));
}

#[test]
fn a_full_count_does_not_run_over_into_the_tick() {
    let tick_and_count = 7 << 28 | COUNT;
    assert_eq!(counted(tick_and_count - 1, 7), tick_and_count);
    assert_eq!(counted(tick_and_count, 7), tick_and_count);
    assert_eq!(counted(tick_and_count, 8), 8 << 28 | 1);
}

#[test]
fn with_another_ttl_it_counts_anew() {
    let one = RetryRatio::new(1.0, 0).unwrap();
    one.requested();
    let other = one.clone().with_ttl(Duration::from_secs(2)).unwrap();
    assert_eq!((one.retries(), other.retries()), (1, 0));
}

#[test]
fn what_is_used_again_has_forgotten_everything() {
    for _ in 0..100 {
        let ratio = RetryRatio::new(0.5, 1).unwrap();
        for _ in 0..4 {
            ratio.requested();
        }
        assert_eq!(ratio.retries(), 12);
        assert!(ratio.withdraw(Cause::Transient).is_some());
    }
}
