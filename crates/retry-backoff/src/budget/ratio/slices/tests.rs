use proptest::prelude::*;

use super::*;

/// Every deposit and withdrawal, with its time.
#[derive(Default)]
struct Naive(Vec<(u64, i64)>);

impl Naive {
    fn balance(&self, now: u64) -> i64 {
        let alive = self.0.iter().filter(|(then, _)| then + 10 > now);
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
        3 => prop_oneof![4 => 1..4_u64, 1 => 0..25_u64].prop_map(Step::Pass),
        9 => Just(Step::Deposit),
        5 => Just(Step::Withdraw),
        2 => any::<usize>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    #[test]
    fn they_come_to_the_same_as_a_list_of_everything(
        ratio in 0..2_000_u32,
        reserve in 0..3_000_i64,
        steps in prop::collection::vec(steps(), 0..300),
    ) {
        let (mut slices, mut naive) = (Slices::default(), Naive::default());
        let mut now = 0;
        let mut withdrawn = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ticks) => now += ticks,
                Step::Deposit => {
                    slices.deposit(now);
                    naive.0.push((now, ratio.into()));
                }
                Step::Withdraw => {
                    let expected = naive.balance(now) + reserve >= COST;
                    prop_assert_eq!(slices.withdraw(now, ratio, reserve), expected);
                    if expected {
                        naive.0.push((now, -COST));
                        withdrawn.push(now);
                    }
                }
                Step::GiveBack(which) => {
                    if !withdrawn.is_empty() {
                        let then = withdrawn.swap_remove(which % withdrawn.len());
                        slices.give_back(now, then);
                        naive.0.push((then, COST));
                    }
                }
            }
            prop_assert_eq!(slices.balance(now, ratio), naive.balance(now));
        }
    }
}

#[test]
fn one_whose_clock_is_behind_by_a_round_changes_nothing() {
    let mut slices = Slices::default();
    slices.deposit(12);
    slices.deposit(2);
    assert_eq!(slices.balance(12, 1_000), 1_000);
    // But one behind by less finds its slice.
    slices.deposit(11);
    assert_eq!(slices.balance(12, 1_000), 2_000);
}
