use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::budget::Withdrawal;
use crate::deadline::{LATE, end_of_wait};
use crate::{ConstantBackoff, Plan, Unlimited};

const DELAY: Duration = Duration::from_millis(100);

fn attempts(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn plan(n: u32) -> Plan<ConstantBackoff, Unlimited> {
    Plan::new(attempts(n))
        .with_backoff(ConstantBackoff::new(DELAY))
        .with_budget(Unlimited)
}

fn retry(delay: Duration) -> Decision {
    Decision::Retry { delay }
}

fn unasked() -> Instant {
    panic!("without a limit in time nobody asks for it")
}

/// Says what it was told; lends as long as it has something.
#[derive(Clone, Default)]
struct Ledger(Rc<RefCell<(u32, Vec<String>)>>);

impl Ledger {
    fn with(tokens: u32) -> Self {
        let ledger = Self::default();
        ledger.0.borrow_mut().0 = tokens;
        ledger
    }

    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().1.push(what.into());
    }

    fn noted(&self) -> String {
        let noted = std::mem::take(&mut self.0.borrow_mut().1);
        noted.join(", ")
    }
}

impl Budget for Ledger {
    fn requested(&self) {
        self.note("requested");
    }

    fn succeeded(&self, paid: Option<Withdrawal>) {
        let paid = paid.map(|it| it.mark());
        self.note(paid.map_or("succeeded".into(), |it| format!("succeeded for {it}")));
    }

    fn failed(&self) {
        self.note("failed");
    }

    fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
        let left = self.0.borrow().0.checked_sub(1);
        let Some(left) = left else {
            self.note("refused");
            return None;
        };
        self.0.borrow_mut().0 = left;
        self.note(format!("{left} left"));
        Some(Withdrawal::new(1, left.into()))
    }

    fn give_back(&self, unspent: Withdrawal) {
        self.0.borrow_mut().0 += unspent.amount();
        self.note(format!("{} back", unspent.mark()));
    }
}

#[test]
fn a_success_stops_at_once() {
    let mut engine = plan(3).start(None, unasked);
    assert_eq!(
        engine.decide(Outcome::Success, unasked),
        Decision::Stop(Stop::Succeeded)
    );
}

#[test]
fn a_fatal_failure_is_not_repeated_and_no_budget_hears_of_it() {
    let ledger = Ledger::with(9);
    let mut engine = plan(3).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(
        engine.decide(Outcome::Fatal, unasked),
        Decision::Stop(Stop::Fatal)
    );
    assert_eq!(ledger.noted(), "requested");
}

#[test]
fn do_not_retry_stops_and_counts_as_a_failure() {
    let ledger = Ledger::with(9);
    let mut engine = plan(3).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(
        engine.decide(Outcome::DoNotRetry, unasked),
        Decision::Stop(Stop::DoNotRetry)
    );
    assert_eq!(ledger.noted(), "requested, failed");
}

#[test]
fn the_last_attempt_counts_as_a_failure_but_pays_for_nothing() {
    let ledger = Ledger::with(9);
    let mut engine = plan(1).with_budget(ledger.clone()).start(None, unasked);
    assert!(!engine.may_retry());
    assert_eq!(
        engine.decide(Outcome::transient(), unasked),
        Decision::Stop(Stop::Attempts)
    );
    assert_eq!(ledger.noted(), "requested, failed");
}

#[test]
fn there_are_as_many_attempts_as_were_asked_for() {
    for n in 1..6 {
        let mut engine = plan(n).start(None, unasked);
        let mut made = 1;
        while engine.decide(Outcome::transient(), unasked) == retry(DELAY) {
            assert!(engine.may_retry());
            made += 1;
            assert_eq!(engine.begin(), made);
        }
        assert_eq!((made, engine.may_retry()), (n, false));
    }
}

#[test]
fn a_committed_request_is_not_sent_again() {
    for outcome in [
        Outcome::transient(),
        Outcome::NotSent,
        Outcome::NotProcessed,
    ] {
        let mut engine = plan(3).start(None, unasked);
        engine.commit();
        assert!(!engine.may_retry());
        assert_eq!(
            engine.decide(outcome, unasked),
            Decision::Stop(Stop::Committed)
        );
    }
}

#[test]
fn a_hint_is_waited_for_exactly_and_the_backoff_begins_anew() {
    let millis = Duration::from_millis;
    let mut engine = plan(9)
        .with_backoff([millis(1), millis(2), millis(4)])
        .start(None, unasked);
    let mut delays = Vec::new();
    let hint = Outcome::transient().after(millis(700));
    for outcome in [
        Outcome::transient(),
        Outcome::transient(),
        hint,
        Outcome::transient(),
        Outcome::transient(),
    ] {
        let Decision::Retry { delay } = engine.decide(outcome, unasked) else {
            panic!("stopped");
        };
        delays.push(delay);
        engine.begin();
    }
    assert_eq!(delays, [1, 2, 700, 1, 2].map(millis));
}

#[test]
fn a_backoff_that_ends_ends_the_attempts() {
    let mut engine = plan(9).with_backoff([DELAY]).start(None, unasked);
    assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    engine.begin();
    assert_eq!(
        engine.decide(Outcome::transient(), unasked),
        Decision::Stop(Stop::Backoff)
    );
}

#[test]
fn a_retry_that_would_not_begin_before_the_deadline_is_not_waited_for_nor_paid() {
    let now = Instant::now();
    let nano = Duration::from_nanos(1);
    // A timer may be late.
    for (deadline, fits) in [
        (now + DELAY + LATE, true),
        (now + DELAY + LATE - nano, false),
        (now + DELAY, false),
        (now, false),
    ] {
        let ledger = Ledger::with(9);
        let plan = plan(3).with_budget(ledger.clone());
        let mut engine = plan.start(Some(deadline), unasked);
        let decision = engine.decide(Outcome::transient(), || now);
        if fits {
            assert_eq!(decision, retry(DELAY));
        } else {
            assert_eq!(decision, Decision::Stop(Stop::Deadline));
            assert_eq!(ledger.noted(), "requested, failed");
        }
    }
}

#[test]
fn a_hint_does_not_reach_past_the_deadline_or_the_end_of_time() {
    let now = Instant::now();
    for hint in [DELAY, Duration::MAX] {
        let plan = plan(3).with_longest_hint(Duration::MAX);
        let mut engine = plan.start(Some(now + DELAY), unasked);
        let outcome = Outcome::throttled().after(hint);
        assert_eq!(
            engine.decide(outcome, || now),
            Decision::Stop(Stop::Deadline)
        );
    }
}

#[test]
fn total_time_counts_from_the_start_and_the_earlier_limit_holds() {
    let now = Instant::now();
    let plan = plan(9).with_total_time(DELAY * 3);
    for (deadline, latest) in [
        (None, now + DELAY * 3),
        (Some(now + DELAY * 2), now + DELAY * 2),
        (Some(now + DELAY * 4), now + DELAY * 3),
    ] {
        let engine = plan.start(deadline, || now);
        assert_eq!(engine.deadline(), Some(latest));
        assert!(engine.is_expired(|| latest));
        assert!(!engine.is_expired(|| latest - Duration::from_nanos(1)));
    }
    let endless = plan.with_total_time(Duration::MAX).start(None, || now);
    assert_eq!(endless.deadline(), None);
}

#[test]
fn a_budget_that_refuses_stops() {
    let ledger = Ledger::with(1);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    engine.begin();
    assert_eq!(
        engine.decide(Outcome::transient(), unasked),
        Decision::Stop(Stop::Budget)
    );
    drop(engine);
    assert_eq!(ledger.noted(), "requested, failed, 0 left, failed, refused");
}

#[test]
fn a_success_says_what_its_own_retry_has_cost() {
    let ledger = Ledger::with(9);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    for _ in 0..2 {
        assert_eq!(engine.decide(Outcome::timeout(), unasked), retry(DELAY));
        engine.begin();
    }
    assert_eq!(
        engine.decide(Outcome::Success, unasked),
        Decision::Stop(Stop::Succeeded)
    );
    drop(engine);
    assert_eq!(
        ledger.noted(),
        "requested, failed, 8 left, failed, 7 left, succeeded for 7"
    );
}

#[test]
fn what_was_paid_for_a_retry_that_is_not_sent_is_given_back_once() {
    let ledger = Ledger::with(9);
    let plan = plan(9).with_budget(ledger.clone());
    for gives_up in [false, true] {
        let mut engine = plan.start(None, unasked);
        assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
        if gives_up {
            engine.give_up();
            engine.give_up();
        }
        drop(engine);
        assert_eq!(ledger.noted(), "requested, failed, 8 left, 8 back");
    }
}

#[test]
fn one_that_decides_twice_pays_once() {
    let ledger = Ledger::with(9);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    for _ in 0..2 {
        assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    }
    drop(engine);
    assert_eq!(
        ledger.noted(),
        "requested, failed, 8 left, failed, 8 back, 8 left, 8 back"
    );
}

#[test]
fn what_was_paid_for_a_retry_that_is_sent_is_spent() {
    let ledger = Ledger::with(9);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    engine.begin();
    drop(engine);
    assert_eq!(ledger.noted(), "requested, failed, 8 left");
}

#[test]
fn without_a_delay_there_is_time_until_the_deadline() {
    let now = Instant::now();
    let nano = Duration::from_nanos(1);
    let plan = plan(3).without_backoff();
    for (deadline, expected) in [
        (now + nano, retry(Duration::ZERO)),
        (now, Decision::Stop(Stop::Deadline)),
    ] {
        let mut engine = plan.start(Some(deadline), unasked);
        assert_eq!(engine.decide(Outcome::transient(), || now), expected);
    }
}

#[test]
fn a_hint_that_is_too_long_stops_and_costs_nothing() {
    let ledger = Ledger::with(9);
    let nano = Duration::from_nanos(1);
    for (longest, hint, expected) in [
        (Some(DELAY), DELAY, retry(DELAY)),
        (Some(DELAY), DELAY + nano, Decision::Stop(Stop::LongHint)),
        (
            None,
            Duration::from_secs(60),
            retry(Duration::from_secs(60)),
        ),
        (
            None,
            Duration::from_secs(61),
            Decision::Stop(Stop::LongHint),
        ),
    ] {
        let mut plan = plan(9).with_budget(ledger.clone());
        if let Some(longest) = longest {
            plan = plan.with_longest_hint(longest);
        }
        let mut engine = plan.start(None, unasked);
        let outcome = Outcome::throttled().after(hint);
        assert_eq!(engine.decide(outcome, unasked), expected);
        drop(engine);
        let kept = expected == Decision::Stop(Stop::LongHint);
        let noted = ledger.noted();
        assert_eq!(noted == "requested, failed", kept, "{noted}");
    }
}

#[test]
fn what_was_never_sent_goes_again_for_nothing_until_the_deadline() {
    let ledger = Ledger::with(9);
    let begun = Instant::now();
    let mut now = begun;
    let plan = plan(2).with_budget(ledger.clone());
    let mut engine = plan.start(Some(now + DELAY * 3), unasked);
    for delay in [Duration::ZERO, Duration::ZERO, Duration::ZERO, DELAY, DELAY] {
        assert_eq!(engine.decide(Outcome::NotSent, || now), retry(delay));
        assert_eq!(engine.begin(), 1);
        now += delay;
    }
    assert_eq!(
        engine.decide(Outcome::NotSent, || now),
        Decision::Stop(Stop::Deadline)
    );
    assert_eq!(ledger.noted(), "requested");
}

#[test]
fn what_is_never_sent_does_not_spin_without_a_deadline_either() {
    let mut engine = plan(2).without_backoff().start(None, unasked);
    for at in 0..100 {
        let delay = if at < 3 { Duration::ZERO } else { TICK };
        assert_eq!(engine.decide(Outcome::NotSent, unasked), retry(delay));
        engine.begin();
    }
}

#[test]
fn its_waits_are_a_backoff_of_its_own_and_end_with_it() {
    let millis = Duration::from_millis;
    let plan = plan(9).with_backoff([millis(10), millis(20)]);
    let mut engine = plan.start(None, unasked);
    let steps = [
        (Outcome::transient(), 10),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 10),
        (Outcome::transient(), 10),
        (Outcome::NotSent, 0),
        // Those were too few to be waited for, and nothing has begun anew.
        (Outcome::transient(), 20),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 0),
        (Outcome::NotSent, 10),
        (Outcome::NotSent, 20),
    ];
    for (at, (outcome, delay)) in steps.into_iter().enumerate() {
        let decision = engine.decide(outcome, unasked);
        assert_eq!(decision, retry(millis(delay)), "{at}");
        engine.begin();
    }
    assert_eq!(engine.attempt(), 4);
    assert_eq!(
        engine.decide(Outcome::NotSent, unasked),
        Decision::Stop(Stop::Backoff)
    );
}

#[test]
fn the_last_attempt_is_sent_again_only_if_the_plan_says_so() {
    for outcome in [Outcome::NotSent, Outcome::NotProcessed] {
        for n in 1..3 {
            let plan = plan(n).without_backoff();
            let mut engine = plan.start(None, unasked);
            let mut transparent = plan.with_transparent_retries().start(None, unasked);
            for attempt in 1..n {
                for engine in [&mut engine, &mut transparent] {
                    let decision = engine.decide(Outcome::transient(), unasked);
                    assert_eq!(decision, retry(Duration::ZERO));
                    assert_eq!(engine.begin(), attempt + 1);
                }
            }
            assert!(!engine.may_retry());
            let stop = Decision::Stop(Stop::Attempts);
            assert_eq!(engine.decide(outcome, unasked), stop);
            assert!(transparent.may_retry());
            let again = transparent.decide(outcome, unasked);
            assert_eq!(again, retry(Duration::ZERO));
            assert_eq!(transparent.begin(), n);
            // Other failures end it nevertheless.
            assert_eq!(transparent.decide(Outcome::transient(), unasked), stop);
            transparent.commit();
            assert!(!transparent.may_retry());
        }
    }
}

#[test]
fn an_attempt_that_never_left_is_not_paid_if_it_was_the_last() {
    let ledger = Ledger::with(9);
    let mut engine = plan(2).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    engine.begin();
    assert_eq!(
        engine.decide(Outcome::NotSent, unasked),
        Decision::Stop(Stop::Attempts)
    );
    assert_eq!(ledger.noted(), "requested, failed, 8 left, 8 back");
}

#[test]
fn a_timer_of_a_readiness_ends_within_the_deadline() {
    let now = Instant::now() + DELAY;
    let end = end_of_wait(Some(now), Duration::MAX);
    assert_eq!(now - end, LATE);
    assert!(end_of_wait(None, Duration::MAX) > now + DELAY * 1_000_000);
    assert!(end_of_wait(None, DELAY) < now + DELAY);
}

#[test]
fn what_was_paid_for_an_attempt_that_never_left_pays_for_the_same_again() {
    let ledger = Ledger::with(9);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(engine.decide(Outcome::transient(), unasked), retry(DELAY));
    assert_eq!(engine.begin(), 2);
    assert_eq!(
        engine.decide(Outcome::NotSent, unasked),
        retry(Duration::ZERO)
    );
    assert_eq!(engine.begin(), 2);
    assert_eq!(
        engine.decide(Outcome::NotSent, unasked),
        retry(Duration::ZERO)
    );
    drop(engine);
    assert_eq!(ledger.noted(), "requested, failed, 8 left, 8 back");
}

#[test]
fn what_was_not_processed_goes_again_for_nothing_once_only() {
    let ledger = Ledger::with(9);
    let mut engine = plan(9).with_budget(ledger.clone()).start(None, unasked);
    assert_eq!(
        engine.decide(Outcome::NotProcessed, unasked),
        retry(Duration::ZERO)
    );
    assert_eq!(engine.begin(), 1);
    assert_eq!(engine.decide(Outcome::NotProcessed, unasked), retry(DELAY));
    assert_eq!(engine.begin(), 2);
    assert_eq!(ledger.noted(), "requested, failed, 8 left");
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        1 => Just(Outcome::Success),
        6 => Just(Outcome::transient()),
        2 => (0..300_u64).prop_map(|ms| Outcome::timeout().after(Duration::from_millis(ms))),
        2 => Just(Outcome::throttled()),
        1 => Just(Outcome::DoNotRetry),
        1 => Just(Outcome::Fatal),
        2 => Just(Outcome::NotSent),
        2 => Just(Outcome::NotProcessed),
    ]
}

proptest! {
    /// Whatever happens, the attempts and the deadline hold, and each token is there, spent on an
    /// attempt that was sent, or earned back.
    #[test]
    fn no_request_exceeds_its_limits(
        n in 1..5_u32,
        tokens in 0..4_u32,
        wait in 0..500_u64,
        outcomes in prop::collection::vec(outcomes(), 30),
        stops_after in 0..10_usize,
        is_transparent in any::<bool>(),
    ) {
        let ledger = Ledger::with(tokens);
        let begun = Instant::now();
        let mut now = begun;
        let deadline = begun + Duration::from_millis(wait);
        let mut plan = plan(n).with_budget(ledger.clone());
        if is_transparent {
            plan = plan.with_transparent_retries();
        }
        let mut engine = plan.start(Some(deadline), unasked);
        let mut paid = 0;
        for (at, outcome) in outcomes.into_iter().enumerate() {
            let (before, may_retry) = (engine.attempt(), engine.may_retry());
            let Decision::Retry { delay } = engine.decide(outcome, || now) else { break };
            // Without a copy there is none.
            prop_assert!(may_retry);
            now += delay;
            prop_assert!(now < deadline);
            if at == stops_after {
                break;
            }
            engine.begin();
            paid += engine.attempt() - before;
        }
        prop_assert!(engine.attempt() <= n);
        prop_assert_eq!(engine.attempt(), paid + 1);
        drop(engine);
        // An attempt that never left was not spent either.
        let spent = tokens - ledger.0.borrow().0;
        prop_assert!(spent <= paid, "{} of {}", spent, paid);
    }
}
