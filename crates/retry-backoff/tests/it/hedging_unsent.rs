//! Hedges that are not sent, or not yet: what becomes of their number and of their price.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use mainstay_retry_backoff::{
    Budget, Cause, Hedge, HedgeLayer, Hedging, Outcome, Policy, TokenBucket, Withdrawal,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{Instant, advance, timeout_at};
use tower::{Layer, Service, ServiceExt};

use crate::script::{Answer, Failure, Script, Step, judge, ms, transient};

/// Its tokens are a hundred, and a hedge costs ten.
fn bucket() -> TokenBucket {
    TokenBucket::new(n(100), n(10)).unwrap()
}

fn hedging(attempts: u32, delay: u64, bucket: &TokenBucket) -> Hedging {
    Hedging::new(ms(delay))
        .with_attempts(n(attempts))
        .with_budget(bucket.clone())
}

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

const NOT_SENT: Answer = Err(Failure(Outcome::NotSent));
const NOT_PROCESSED: Answer = Err(Failure(Outcome::NotProcessed));

#[tokio::test(start_paused = true)]
async fn the_last_hedge_has_its_price_back_if_it_never_left() {
    for came_to_nothing in [NOT_SENT, NOT_PROCESSED] {
        let (begun, bucket) = (Instant::now(), bucket());
        let script = Script::timed([Step(ms(50), Ok(1)), Step(ms(5), came_to_nothing)]);
        let mut hedge = Hedge::new(hedging(2, 10, &bucket), judge, script);
        let mut call = pin!(hedge.ready().await.unwrap().call(7));
        assert!(timeout_at(begun + ms(12), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), 90);
        // There is no copy of it left to send.
        assert!(timeout_at(begun + ms(17), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), 100);
        assert_eq!(call.await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_hedge_has_its_own_price_back_once() {
    let bucket = bucket().with_timeout_cost(n(30)).unwrap();
    // At 0, 10, 15 and 25, where there is no copy any more when the second is seen not to have left.
    let script = Script::timed([
        Step(ms(15), Err(Failure(Outcome::timeout()))),
        Step(ms(30), NOT_SENT),
        Step(ms(60), Err(Failure(Outcome::Fatal))),
        Step(ms(100), NOT_SENT),
    ]);
    let begun = Instant::now();
    let mut hedge = Hedge::new(hedging(4, 10, &bucket), judge, script.clone());
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    for (at, tokens) in [(9, 100), (11, 90), (16, 60), (26, 30), (41, 40)] {
        assert!(timeout_at(begun + ms(at), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), tokens, "at {at}");
    }
    // The others were sent.
    let _ = call.await;
    assert_eq!((script.count(), bucket.tokens()), (4, 40));
}

#[tokio::test(start_paused = true)]
async fn an_answer_pays_back_what_was_to_be_sent_again() {
    for fails_with in [Ok(1), Err(Failure(Outcome::Fatal))] {
        let bucket = bucket();
        // The second never leaves at 10, four times, and would go again at 30.
        let never = Step(ms(0), NOT_SENT);
        let script = Script::timed([Step(ms(25), fails_with), never]);
        let mut hedge = Hedge::new(hedging(3, 20, &bucket), judge, script.clone());
        let mut call = pin!(hedge.ready().await.unwrap().call(7));
        let begun = Instant::now();
        assert!(timeout_at(begun + ms(24), call.as_mut()).await.is_err());
        assert_eq!((script.count(), bucket.tokens()), (5, 90));
        assert_eq!(call.as_mut().await, fails_with);
        // At once, although the future is still there.
        assert_eq!(bucket.tokens(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_other_has_what_never_left_paid_back() {
    let bucket = bucket();
    let no_other = Err(Failure(Outcome::DoNotRetry));
    let script = Script::timed([
        Step(ms(50), Ok(1)),
        Step(ms(20), no_other),
        Step(ms(0), NOT_SENT),
    ]);
    let begun = Instant::now();
    let mut hedge = Hedge::new(hedging(4, 10, &bucket), judge, script.clone());
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    assert!(timeout_at(begun + ms(29), call.as_mut()).await.is_err());
    assert_eq!(bucket.tokens(), 80);
    assert!(timeout_at(begun + ms(31), call.as_mut()).await.is_err());
    // But the second is spent: it is the one that said so.
    assert_eq!(bucket.tokens(), 90);
    assert_eq!(call.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_goes_again_keeps_its_number_though_a_pushback_puts_it_off() {
    let bucket = bucket();
    let pushback = Err(Failure(Outcome::throttled().after(ms(50))));
    let script = Script::with_clones_ready_after(
        ms(20),
        [
            Step(ms(45), NOT_SENT),
            Step(ms(40), pushback),
            Step(ms(900), Ok(3)),
            Step(ms(1), Ok(4)),
        ],
    );
    let mut hedge = Hedge::new(hedging(3, 10, &bucket), Numbered, script.clone());
    // At 60 the first is about to go again as soon as the service is ready, at 80.
    assert_eq!(hedge.ready().await.unwrap().call(100).await, Ok(4));
    let expected = [(0, 101), (30, 102), (60, 103), (140, 101)];
    assert_eq!(script.calls(), expected.map(|(at, it)| (ms(at), it)));
    // Two hedges, and a success.
    assert_eq!(bucket.tokens(), 81);
}

/// Nor for a limit that nobody would wait for: outside of a runtime a timer would panic.
#[test]
fn with_nothing_under_way_readiness_sets_no_timer() {
    let script = Script::slow_to_be_ready([Step(ms(0), transient())]);
    let bucket = bucket();
    let mut hedge = Hedge::new(hedging(2, 10, &bucket), judge, script.clone());
    while hedge.ready().now_or_never().is_none() {}
    assert_eq!(hedge.call(7).now_or_never(), Some(transient()));
    assert_eq!((script.count(), bucket.tokens()), (1, 100));
}

/// Whoever polls may be late: a timer of before the deadline is then seen after it.
#[tokio::test(start_paused = true)]
async fn when_the_deadline_is_over_before_the_delay_is_seen_to_be_the_budget_is_not_asked() {
    #[derive(Clone)]
    struct NeverAsked;

    impl Budget for NeverAsked {
        fn withdraw(&self, _: Cause) -> Option<Withdrawal> {
            panic!("it refuses others for a hedge that has no time")
        }
    }

    let begun = Instant::now();
    let script = Script::timed([Step(ms(90), Ok(1))]);
    let hedging = Hedging::new(ms(10)).with_budget(NeverAsked);
    let mut hedge = HedgeLayer::new(hedging, judge)
        .with_deadline(move |_: &u32| Some(begun + ms(50)))
        .layer(script.clone());
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    assert_eq!(call.as_mut().now_or_never(), None);
    advance(ms(50)).await;
    assert_eq!(call.await, Ok(1));
    assert_eq!(script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_deadline_is_over_before_readiness_is_seen_no_hedge_is_sent() {
    let (begun, bucket) = (Instant::now(), bucket());
    let script = Script::with_clones_ready_after(ms(20), [Step(ms(90), Ok(1))]);
    let handle = script.clone();
    let mut hedge = HedgeLayer::new(hedging(2, 10, &bucket), judge)
        .with_deadline(move |_: &u32| Some(begun + ms(50)))
        .layer(script);
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    assert!(timeout_at(begun + ms(15), call.as_mut()).await.is_err());
    assert_eq!(bucket.tokens(), 90);
    advance(ms(35)).await;
    assert_eq!(call.as_mut().now_or_never(), None);
    assert_eq!((handle.count(), bucket.tokens()), (1, 100));
    assert_eq!(call.await, Ok(1));
}

proptest! {
    /// Whatever becomes of its attempts, and whenever its caller goes.
    #[test]
    fn what_is_paid_is_for_hedges_that_were_sent(
        steps in vec((0_u64..40, outcome()), 1..12),
        attempts in 1_u32..6,
        ready_after in 0_u64..25,
        deadline in prop_oneof![Just(u64::MAX / 2), 1_u64..200],
        gone_after in prop_oneof![Just(1_000_000), 0_u64..100],
    ) {
        let bucket = bucket();
        let log = Log::default();
        let run = async {
            let begun = Instant::now();
            let steps = steps.into_iter().map(|(after, it)| match it {
                Outcome::Success => Step(ms(after), Ok(1)),
                other => Step(ms(after), Err(Failure(other))),
            });
            let script = Script::with_clones_ready_after(ms(ready_after), steps);
            let mut hedge = HedgeLayer::new(hedging(attempts, 10, &bucket), log.clone())
                .with_deadline(move |_: &u32| begun.checked_add(ms(deadline)))
                .layer(script.clone());
            let call = hedge.ready().await.unwrap().call(0);
            let _ = timeout_at(begun + ms(gone_after), call).await;
            assert_eq!(script.under_way(), 0);
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(run);

        let log = log.0.lock().unwrap();
        let paid = log.sent.iter().filter(|number| **number > 1).count() as u32;
        prop_assert!(log.sent.iter().all(|number| *number <= attempts));
        prop_assert_eq!(bucket.tokens(), (100 - 10 * paid + log.succeeded).min(100));
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::transient()),
        Just(Outcome::NotSent),
        Just(Outcome::NotProcessed),
        Just(Outcome::throttled().after(ms(15))),
        Just(Outcome::DoNotRetry),
        Just(Outcome::Fatal),
    ]
}

/// What has been sent and has not come to nothing, by number.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Logged>>);

#[derive(Default)]
struct Logged {
    sent: BTreeSet<u32>,
    succeeded: u32,
    was_not_processed: bool,
}

impl Policy<u32, u32, Failure> for Log {
    fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, attempt: u32) -> Outcome {
        let mut log = self.0.lock().unwrap();
        let outcome = judge(result);
        match outcome {
            Outcome::Success => log.succeeded += 1,
            Outcome::NotSent => assert!(log.sent.remove(&attempt)),
            Outcome::NotProcessed if !log.was_not_processed => {
                log.was_not_processed = true;
                assert!(log.sent.remove(&attempt));
            }
            _ => {}
        }
        outcome
    }

    fn copy(&mut self, request: &u32) -> Option<u32> {
        Some(*request)
    }

    fn prepare(&mut self, _: &mut u32, attempt: u32) {
        let is_new = self.0.lock().unwrap().sent.insert(attempt);
        assert!(is_new, "one number, one attempt");
    }
}

/// Adds its number to each.
#[derive(Clone)]
struct Numbered;

impl Policy<u32, u32, Failure> for Numbered {
    fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, _: u32) -> Outcome {
        judge(result)
    }

    fn copy(&mut self, request: &u32) -> Option<u32> {
        Some(*request)
    }

    fn prepare(&mut self, request: &mut u32, attempt: u32) {
        *request += attempt;
    }
}
