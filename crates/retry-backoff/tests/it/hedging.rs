//! A second attempt while the first one is slow.

use std::num::NonZeroU32;

use futures_util::FutureExt;
use mainstay_retry_backoff::{
    Budget, Cause, EveryError, GrpcThrottle, Hedge, HedgeLayer, Hedging, Outcome, Plan, Policy,
    RetryLayer, RetryRatio, SpendOnly, TokenBucket, Unlimited,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::script::{Answer, Failure, Script, Step, judge, ms, transient};

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn hedging(attempts: u32, delay: u64) -> Hedging<Unlimited> {
    Hedging::new(ms(delay))
        .with_attempts(n(attempts))
        .with_budget(Unlimited)
}

/// The answer, when it came, and the script with what was called.
async fn hedged<G: Budget + Clone>(
    hedging: Hedging<G>,
    steps: &[(u64, Answer)],
) -> (Answer, u128, Script) {
    let script = Script::timed(steps.iter().map(|(after, it)| Step(ms(*after), *it)));
    let begun = Instant::now();
    let answer = Hedge::new(hedging, judge, script.clone()).oneshot(7).await;
    assert_eq!(script.under_way(), 0, "losers are dropped");
    (answer, begun.elapsed().as_millis(), script)
}

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins_and_the_loser_is_dropped() {
    let (answer, at, script) = hedged(hedging(2, 10), &[(50, Ok(1)), (5, Ok(2))]).await;
    assert_eq!((answer, at), (Ok(2), 15));
    assert_eq!(script.calls(), [(ms(0), 7), (ms(10), 7)]);
    let (answer, at, _) = hedged(hedging(2, 10), &[(50, Ok(1)), (90, Ok(2))]).await;
    assert_eq!((answer, at), (Ok(1), 50));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_delay_is_not_hedged() {
    let (answer, at, script) = hedged(hedging(2, 10), &[(9, Ok(1)), (0, Ok(2))]).await;
    assert_eq!((answer, at, script.count()), (Ok(1), 9, 1));
}

#[tokio::test(start_paused = true)]
async fn hedges_follow_one_another_up_to_the_attempts() {
    let (answer, at, script) = hedged(hedging(3, 10), &[(100, Ok(1))]).await;
    assert_eq!((answer, at), (Ok(1), 100));
    assert_eq!(script.times(), [0, 10, 20].map(ms));
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_all_go_together() {
    let (answer, at, script) =
        hedged(hedging(3, 0), &[(30, Ok(1)), (20, Ok(2)), (10, Ok(3))]).await;
    assert_eq!((answer, at), (Ok(3), 10));
    assert_eq!(script.times(), [ms(0); 3]);
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_not_hedged() {
    let (answer, _, script) = hedged(hedging(1, 10), &[(50, transient())]).await;
    assert_eq!((answer, script.count()), (transient(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_sends_the_next_at_once() {
    let steps = [(3, transient()), (4, Ok(2))];
    let (answer, at, script) = hedged(hedging(2, 10), &steps).await;
    assert_eq!((answer, at), (Ok(2), 7));
    assert_eq!(script.times(), [0, 3].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_others_are_under_way_is_not_the_answer() {
    let steps = [(40, Ok(1)), (3, transient()), (4, transient())];
    let (answer, at, script) = hedged(hedging(3, 10), &steps).await;
    assert_eq!((answer, at), (Ok(1), 40));
    assert_eq!(script.times(), [0, 10, 13].map(ms));
}

#[tokio::test(start_paused = true)]
async fn when_all_have_failed_the_last_result_is_returned() {
    let last = Err(Failure(Outcome::timeout()));
    let (answer, at, script) = hedged(hedging(3, 10), &[(1, transient()), (1, last)]).await;
    assert_eq!((answer, at, script.count()), (last, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_is_returned_at_once_and_cancels_the_others() {
    let fatal = Err(Failure(Outcome::Fatal));
    let (answer, at, script) = hedged(hedging(3, 10), &[(50, Ok(1)), (5, fatal)]).await;
    assert_eq!((answer, at, script.count()), (fatal, 15, 2));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_other_gets_none_but_those_under_way_go_on() {
    let told = Err(Failure(Outcome::DoNotRetry));
    let (answer, at, script) = hedged(hedging(4, 10), &[(50, Ok(1)), (5, told)]).await;
    assert_eq!((answer, at, script.count()), (Ok(1), 50, 2));
    let (answer, at, script) = hedged(hedging(4, 10), &[(5, told), (1, Ok(1))]).await;
    assert_eq!((answer, at, script.count()), (told, 5, 1));
}

#[tokio::test(start_paused = true)]
async fn pushback_puts_the_next_one_off() {
    let pushback = Err(Failure(Outcome::throttled().after(ms(70))));
    let (answer, at, script) = hedged(hedging(2, 10), &[(5, pushback), (1, Ok(2))]).await;
    assert_eq!((answer, at), (Ok(2), 76));
    assert_eq!(script.times(), [0, 75].map(ms));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_goes_again_at_once() {
    let not_sent = Err(Failure(Outcome::NotSent));
    let (answer, at, script) = hedged(hedging(2, 10), &[(2, not_sent), (1, Ok(2))]).await;
    assert_eq!((answer, at, script.count()), (Ok(2), 3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_does_not_fail_the_request() {
    let empty = TokenBucket::new(n(1), n(1)).unwrap();
    assert!(empty.withdraw(Cause::Transient).is_some());
    let slow = [(50, Ok(1)), (5, Ok(2))];
    let (answer, at, script) = hedged(hedging(2, 10).with_budget(empty.clone()), &slow).await;
    assert_eq!((answer, at, script.count()), (Ok(1), 50, 1));
    // And its success has earned another.
    let (answer, at, _) = hedged(hedging(2, 10).with_budget(empty), &slow).await;
    assert_eq!((answer, at), (Ok(2), 15));
}

#[tokio::test(start_paused = true)]
async fn the_default_budget_is_for_one_hedge_in_twenty() {
    let slow = [(50, Ok(1))];
    let hedging = Hedging::new(ms(10));
    let mut hedges = 0;
    for request in 1..=200 {
        let (_, _, script) = hedged(hedging.clone(), &slow).await;
        hedges += script.count() - 1;
        if request == 10 {
            assert_eq!(hedges, 10);
        }
    }
    assert_eq!(hedges, 10 + 200 / 20 - 1);
}

#[tokio::test(start_paused = true)]
async fn with_a_quantile_the_delay_follows_the_latency() {
    let hedging = hedging(2, 500).with_quantile(0.9).unwrap();
    for request in 1..=32 {
        // The delay that was given, until enough is known. Failures are not.
        let failure = Err(Failure(Outcome::Fatal));
        let _ = hedged(hedging.clone(), &[(9, failure)]).await;
        let after = if request <= 28 { 40 } else { 80 };
        let (_, at, script) = hedged(hedging.clone(), &[(after, Ok(1))]).await;
        assert_eq!((at, script.count()), (after.into(), 1));
    }
    // Nine tenths of 32 are 29, and so it is after 80 ms, or a little later.
    let (answer, at, script) = hedged(hedging.clone(), &[(900, Ok(1)), (5, Ok(2))]).await;
    assert_eq!(answer, Ok(2));
    assert!((85..=96).contains(&at), "{at}");
    assert_eq!(script.count(), 2);
    // A clone knows what the others do.
    let (_, at, _) = hedged(
        hedging.clone().with_name("other"),
        &[(900, Ok(1)), (5, Ok(2))],
    )
    .await;
    assert!((85..=120).contains(&at), "{at}");
    for wrong in [0.0, 0.000_4, 0.999_6, 1.0, -1.0, f64::NAN] {
        assert!(hedging.clone().with_quantile(wrong).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_hears_of_failures_and_successes_but_not_of_losers() {
    let throttle = GrpcThrottle::new(n(10), 1.0).unwrap();
    let hedging = hedging(3, 10).with_budget(throttle.clone());
    let steps = [(90, Ok(1)), (1, transient()), (1, transient())];
    let _ = hedged(hedging.clone(), &steps).await;
    assert_eq!(throttle.tokens(), 9.0);
    let _ = hedged(hedging, &[(90, transient()), (1, Ok(2))]).await;
    assert_eq!(throttle.tokens(), 10.0);
}

#[tokio::test(start_paused = true)]
async fn no_hedge_is_sent_past_the_deadline() {
    #[derive(Clone)]
    struct By(Instant);

    impl Policy<u32, u32, Failure> for By {
        fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, _: u32) -> Outcome {
            judge(result)
        }

        fn copy(&mut self, request: &u32) -> Option<u32> {
            Some(*request)
        }

        fn deadline(&self, _: &u32) -> Option<Instant> {
            Some(self.0)
        }
    }

    // Nor one whose handle is ready too late.
    let script = Script::with_clones_ready_after(ms(20), [Step(ms(50), Ok(1))]);
    let bucket = TokenBucket::default();
    // The first attempt's handle is a clone too, and goes at 20; the hedge is due at 30.
    let by = By(Instant::now() + ms(50));
    let mut hedge = Hedge::new(
        hedging(2, 10).with_budget(bucket.clone()),
        by,
        script.clone(),
    );
    let mut call = std::pin::pin!(hedge.ready().await.unwrap().call(7));
    let _ = tokio::time::timeout(ms(40), call.as_mut()).await;
    assert_eq!((script.count(), bucket.tokens()), (1, 500));

    let pushback = Err(Failure(Outcome::throttled().after(ms(70))));
    for (deadline, steps, calls, at) in [
        (10, [(50, Ok(1)), (0, Ok(2))], 1, 50),
        (12, [(50, Ok(1)), (1, Ok(2))], 2, 11),
        (11, [(50, Ok(1)), (1, Ok(2))], 1, 50),
        (75, [(5, pushback), (1, Ok(2))], 1, 5),
        (76, [(5, pushback), (1, Ok(2))], 1, 5),
        (77, [(5, pushback), (1, Ok(2))], 2, 76),
        // The first failure comes too late for another.
        (9, [(9, transient()), (1, Ok(2))], 1, 9),
    ] {
        let script = Script::timed(steps.map(|(after, it)| Step(ms(after), it)));
        let begun = Instant::now();
        let policy = By(begun + ms(deadline));
        let _ = Hedge::new(hedging(2, 10), policy, script.clone())
            .oneshot(7)
            .await;
        assert_eq!((script.count(), begun.elapsed()), (calls, ms(at)));
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_hedged_is_and_none_past_its_deadline() {
    let begun = Instant::now();
    let script = Script::timed([Step(ms(50), Ok(1))]);
    let mut hedge = HedgeLayer::new(hedging(2, 10), judge)
        .only_if(|request: &u32| *request != 7)
        .with_deadline(move |request: &u32| (*request == 8).then(|| begun + ms(109)))
        .layer(script.clone());
    for (request, calls) in [(7, 1), (9, 3), (8, 4)] {
        let answer = hedge.ready().await.unwrap().call(request).await;
        assert_eq!((answer, script.count()), (Ok(1), calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_is_not_ready_does_not_hold_the_first_attempt_up() {
    let calls = std::cell::Cell::new(0);
    let service = service_fn(|delay: u64| {
        calls.set(calls.get() + 1);
        async move {
            tokio::time::sleep(ms(delay)).await;
            Ok::<_, Failure>(1)
        }
    });
    let limited = tower::limit::ConcurrencyLimit::new(service, 1);
    let judge: fn(&Answer) -> Outcome = judge;
    let bucket = TokenBucket::default();
    let hedging = Hedging::new(ms(10)).with_budget(bucket.clone());
    let answer = Hedge::new(hedging, judge, limited).oneshot(50).await;
    assert_eq!((answer, calls.get(), bucket.tokens()), (Ok(1), 1, 500));
}

/// Sent at 0, 30 and, if nothing is said against it, at 60; the third is paid for at 40.
async fn third_at_50(first: Outcome) -> (u32, u32) {
    let script = Script::with_clones_ready_after(
        ms(20),
        [Step(ms(45), Err(Failure(first))), Step(ms(999), Ok(2))],
    );
    let bucket = TokenBucket::new(n(100), n(10)).unwrap();
    let hedging = hedging(3, 10).with_budget(bucket.clone());
    let mut hedge = Hedge::new(hedging, judge, script.clone());
    let mut call = std::pin::pin!(hedge.ready().await.unwrap().call(7));
    let _ = tokio::time::timeout(ms(42), call.as_mut()).await;
    assert_eq!((script.count(), bucket.tokens()), (2, 80));
    let _ = tokio::time::timeout(ms(8), call.as_mut()).await;
    let at_50 = bucket.tokens();
    assert_eq!(call.await, Ok(2));
    (at_50, script.count())
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_not_to_be_sent_gives_its_price_back_at_once() {
    assert_eq!(third_at_50(Outcome::DoNotRetry).await, (90, 2));
    let pushback = Outcome::throttled().after(ms(100));
    assert_eq!(third_at_50(pushback).await, (90, 3));
    // But one that is on its way to be sent stays paid; and what never left goes after it.
    assert_eq!(third_at_50(Outcome::transient()).await, (80, 3));
    assert_eq!(third_at_50(Outcome::NotSent).await, (80, 4));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_paid_by_the_cause_of_the_last_failure() {
    let bucket = TokenBucket::new(n(100), n(10)).unwrap();
    let bucket = bucket.with_timeout_cost(n(30)).unwrap();
    let timeout = Err(Failure(Outcome::timeout()));
    let fatal = Err(Failure(Outcome::Fatal));
    let hedging = hedging(2, 10).with_budget(bucket.clone());
    let _ = hedged(hedging.clone(), &[(1, timeout), (1, fatal)]).await;
    assert_eq!(bucket.tokens(), 70);
    let _ = hedged(hedging, &[(50, timeout), (1, fatal)]).await;
    assert_eq!(bucket.tokens(), 60);
}

#[tokio::test(start_paused = true)]
async fn each_request_counts_in_the_budget_once() {
    let ratio = RetryRatio::new(1.0, 0).unwrap();
    let hedging = hedging(2, 10).with_budget(ratio.clone());
    let _ = hedged(hedging.clone(), &[(1, Ok(1))]).await;
    assert_eq!(ratio.retries(), 1);
    let _ = hedged(hedging, &[(50, Ok(1))]).await;
    assert_eq!(ratio.retries(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_under_way_readiness_is_not_waited_for() {
    let (script, bucket) = (
        Script::slow_to_be_ready([Step(ms(5), transient())]),
        TokenBucket::default(),
    );
    let hedging = Hedging::new(ms(10)).with_budget(bucket.clone());
    let mut hedge = Hedge::new(hedging, judge, script.clone());
    let mut call = std::pin::pin!(hedge.ready().await.unwrap().call(7));
    let answer = call.as_mut().await;
    assert_eq!(
        (answer, script.count(), bucket.tokens()),
        (transient(), 1, 500)
    );
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_prepared_with_its_number() {
    #[derive(Clone)]
    struct Numbered;

    impl Policy<u32, u32, Failure> for Numbered {
        fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, _: u32) -> Outcome {
            judge(result)
        }

        fn copy(&mut self, request: &u32) -> Option<u32> {
            (*request != 13).then_some(*request)
        }

        fn prepare(&mut self, request: &mut u32, attempt: u32) {
            *request += 100 * attempt;
        }
    }

    for (request, expected) in [(1, vec![101, 201, 301]), (13, vec![113])] {
        let script = Script::timed([Step(ms(50), Ok(1))]);
        let hedge = Hedge::new(hedging(3, 10), Numbered, script.clone());
        assert_eq!(hedge.oneshot(request).await, Ok(1));
        let sent: Vec<_> = script.calls().into_iter().map(|(_, it)| it).collect();
        assert_eq!(sent, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_below_a_retry_may_share_its_budget() {
    let ratio = RetryRatio::new(1.0, 0).unwrap();
    let script = Script::timed([
        Step(ms(50), transient()),
        Step(ms(50), transient()),
        Step(ms(5), Ok(3)),
    ]);
    let retry = RetryLayer::new(
        Plan::default().without_backoff().with_budget(ratio.clone()),
        judge,
    );
    let hedge = HedgeLayer::new(hedging(2, 10).with_budget(SpendOnly(ratio.clone())), judge);
    let mut service = ServiceBuilder::new()
        .layer(retry)
        .layer(hedge)
        .service(script.clone());
    // One request is worth one attempt more, which the hedge has spent.
    let answer = service.ready().await.unwrap().call(7).await;
    assert_eq!((answer, script.count()), (transient(), 2));
    assert_eq!(ratio.retries(), 0);
}

#[test]
fn an_answer_at_once_sets_no_timer() {
    // Outside of a runtime one would panic.
    let script = Script::new([Ok(1)]);
    let hedge = Hedge::new(hedging(2, 10), judge, script);
    assert_eq!(hedge.oneshot(1).now_or_never(), Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_or_processed_is_no_attempt_and_costs_nothing() {
    for outcome in [Outcome::NotSent, Outcome::NotProcessed] {
        let bucket = TokenBucket::new(n(100), n(10)).unwrap();
        let hedging = hedging(2, 10).with_budget(bucket.clone());
        // The second one is still there for when the first, sent again at 2, has no answer.
        let steps = [(2, Err(Failure(outcome))), (50, Ok(1)), (5, Ok(2))];
        let (answer, at, script) = hedged(hedging, &steps).await;
        assert_eq!((answer, at, bucket.tokens()), (Ok(2), 17, 91));
        assert_eq!(script.times(), [0, 2, 12].map(ms));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_sent_does_not_spin() {
    let not_sent = Err(Failure(Outcome::NotSent));
    let bucket = TokenBucket::new(n(100), n(10)).unwrap();
    for (delay, times) in [(10, [0, 0, 0, 0, 10, 20, 20]), (0, [0, 0, 0, 0, 1, 2, 2])] {
        let steps = [
            (0, not_sent),
            (0, not_sent),
            (0, not_sent),
            (0, not_sent),
            (0, not_sent),
            (0, transient()),
            (0, Err(Failure(Outcome::Fatal))),
        ];
        let hedging = hedging(2, delay).with_budget(bucket.clone());
        let (_, _, script) = hedged(hedging, &steps).await;
        assert_eq!(script.times(), times.map(ms));
    }
    // One hedge each.
    assert_eq!(bucket.tokens(), 80);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_processed_twice_has_failed() {
    let not_processed = Err(Failure(Outcome::NotProcessed));
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    let hedging = hedging(2, 10).with_budget(throttle.clone());
    let (answer, _, script) = hedged(hedging, &[(1, not_processed)]).await;
    // The first, which is sent again, and the hedge after it.
    assert_eq!((answer, script.count()), (not_processed, 3));
    assert_eq!(throttle.tokens(), 8.0);
}

#[tokio::test(start_paused = true)]
async fn each_that_goes_again_keeps_its_number() {
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

    let not_sent = Err(Failure(Outcome::NotSent));
    // At 0, 10; both again at 15; and the third ten milliseconds later.
    let script = Script::timed([
        Step(ms(15), not_sent),
        Step(ms(5), not_sent),
        Step(ms(90), Ok(1)),
    ]);
    let hedge = Hedge::new(hedging(3, 10), Numbered, script.clone());
    assert_eq!(hedge.oneshot(100).await, Ok(1));
    let mut calls = script.calls();
    calls[2..4].sort_unstable();
    let expected = [(0, 101), (10, 102), (15, 101), (15, 102), (25, 103)];
    assert_eq!(calls, expected.map(|(at, it)| (ms(at), it)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_sends_the_next_although_its_delay_would_end_too_late() {
    let begun = Instant::now();
    let script = Script::timed([Step(ms(3), transient()), Step(ms(1), Ok(2))]);
    let layer =
        HedgeLayer::new(hedging(2, 100), judge).with_deadline(move |_: &u32| Some(begun + ms(50)));
    assert_eq!(layer.layer(script.clone()).oneshot(1).await, Ok(2));
    assert_eq!(script.times(), [0, 3].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_failure_asks_the_budget_again() {
    let bucket = TokenBucket::new(n(1), n(1)).unwrap();
    let _ = bucket.withdraw(Cause::Transient);
    let script = Script::timed([Step(ms(100), transient()), Step(ms(1), Ok(2))]);
    let hedging = hedging(2, 10).with_budget(bucket.clone());
    let mut hedge = Hedge::new(hedging, judge, script.clone());
    let mut call = std::pin::pin!(hedge.ready().await.unwrap().call(1));
    let _ = tokio::time::timeout(ms(50), call.as_mut()).await;
    bucket.succeeded(None);
    assert_eq!(call.await, Ok(2));
    assert_eq!(script.times(), [0, 100].map(ms));
}

#[tokio::test(start_paused = true)]
async fn no_other_failure_overrides_a_pushback() {
    let pushback = |it| Outcome::throttled().after(ms(it));
    let later = Err(Failure(pushback(1_000)));
    for (other, at) in [
        (Outcome::transient(), 1_015),
        (Outcome::NotSent, 1_015),
        (Outcome::NotProcessed, 1_015),
        (pushback(1), 1_015),
        (pushback(2_000), 2_030),
    ] {
        // The first is sent at 0 and fails at 30; the second, at 10, says at 15 to wait for 1000.
        let steps = [(30, Err(Failure(other))), (5, later), (1, Ok(1))];
        let (answer, _, script) = hedged(hedging(3, 10), &steps).await;
        assert_eq!((answer, script.count()), (Ok(1), 3));
        assert_eq!(script.times()[2], ms(at), "{other:?}");
    }
    // Nor does the delay of the next: the second one is answered before that.
    let steps = [(30, later), (25, transient()), (0, Ok(1))];
    let (_, _, script) = hedged(hedging(3, 10).with_longest_hint(ms(999)), &steps).await;
    assert_eq!(script.times(), [0, 10, 20].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_pushback_that_is_too_long_stops_the_hedges() {
    let pushback = |it| Err(Failure(Outcome::throttled().after(ms(it))));
    for (hint, calls) in [(60_000, 3), (60_001, 2)] {
        let steps = [(100_000, Ok(1)), (5, pushback(hint)), (1, Ok(2))];
        let (_, _, script) = hedged(hedging(3, 10), &steps).await;
        assert_eq!(script.count(), calls);
    }
    let steps = [(5, pushback(8)), (1, Ok(2))];
    let limited = hedging(2, 10).with_longest_hint(ms(7));
    let (answer, at, script) = hedged(limited, &steps).await;
    assert_eq!((answer, at, script.count()), (pushback(8), 5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_waits_for_the_service_for_a_while_only_and_not_past_the_deadline() {
    for (within, deadline, until) in [
        (None, None, 110),
        (Some(30), None, 40),
        (Some(0), None, 0),
        (None, Some(60), 58),
        (Some(10), Some(60), 20),
    ] {
        let begun = Instant::now();
        // The handle of the first attempt is none of its clones.
        let script = Script::with_clones_ready_after(ms(1_000_000), [Step(ms(500), Ok(1))]);
        let bucket = TokenBucket::new(n(10), n(10)).unwrap();
        let mut hedging = hedging(2, 10).with_budget(bucket.clone());
        if let Some(within) = within {
            hedging = hedging.with_ready_within(ms(within));
        }
        let layer = HedgeLayer::new(hedging, judge)
            .with_deadline(move |_: &u32| deadline.map(|it| begun + ms(it)));
        let handle = script.clone();
        let mut hedge = layer.layer(script);
        let mut call = std::pin::pin!(hedge.ready().await.unwrap().call(1));
        let mut held = 0;
        for at in 0..200 {
            if bucket.tokens() == 0 {
                held = at;
            }
            let _ = tokio::time::timeout_at(begun + ms(at), call.as_mut()).await;
        }
        assert!(held.abs_diff(until) <= 1, "{held}, not {until}");
        assert_eq!(bucket.tokens(), 10);
        assert_eq!(call.await, Ok(1));
        assert_eq!(handle.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_no_longer_waits_for_the_service_keeps_no_place_in_its_queue() {
    let calls = std::cell::Cell::new(0);
    let service = service_fn(|delay: u64| {
        calls.set(calls.get() + 1);
        async move {
            tokio::time::sleep(ms(delay)).await;
            Ok::<_, Failure>(1)
        }
    });
    let mut limited = tower::limit::ConcurrencyLimit::new(service, 2);
    let judge: fn(&Answer) -> Outcome = judge;
    let mut other = limited.clone();
    let first = other.ready().await.unwrap().call(200);
    let hedge = Hedge::new(hedging(2, 10), judge, limited.clone()).oneshot(500);
    let later = async {
        let _ = first.await;
        // It was given up at 110; this is at 200, and there is room for one.
        limited.ready().now_or_never().unwrap().unwrap();
    };
    let (answer, ()) = futures_util::future::join(hedge, later).await;
    assert_eq!((answer, calls.get()), (Ok(1), 2));
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_for_readiness_that_was_too_long_a_failure_sends_the_next() {
    let script = Script::with_clones_ready_after(
        ms(50),
        [
            Step(ms(80), transient()),
            Step(ms(200), transient()),
            Step(ms(1), Ok(3)),
        ],
    );
    let bucket = TokenBucket::new(n(100), n(10)).unwrap();
    // The first fails at 80; the second is due at 10, and given up at 40. At 80 it is due again, but
    // nothing is under way then.
    let hedging = hedging(2, 10)
        .with_ready_within(ms(30))
        .with_budget(bucket.clone());
    let mut hedge = Hedge::new(hedging, judge, script.clone());
    let answer = hedge.ready().await.unwrap().call(1).await;
    assert_eq!(
        (answer, script.count(), bucket.tokens()),
        (transient(), 1, 100)
    );
    // A third that waits while the second is under way.
    let script = Script::with_clones_ready_after(
        ms(20),
        [
            Step(ms(60), transient()),
            Step(ms(200), Ok(2)),
            Step(ms(1), Ok(3)),
        ],
    );
    // At 20 is the second ready, and sent, at 30; the third is ready at 60, when the first fails.
    let hedging = Hedging::new(ms(10))
        .with_attempts(n(3))
        .with_budget(bucket.clone());
    let mut hedge = Hedge::new(hedging, judge, script.clone());
    assert_eq!(hedge.ready().await.unwrap().call(1).await, Ok(3));
    assert_eq!(script.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn hedges_that_fail_at_once_let_others_run() {
    let hedging = hedging(u32::MAX, 10);
    let endless = tokio::spawn(Hedge::new(hedging, judge, Script::new([transient()])).oneshot(1));
    tokio::spawn(async {}).await.unwrap();
    endless.abort();
    assert!(endless.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_throttle_hears_of_what_must_not_be_retried_but_not_of_what_is_fatal() {
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    let hedging = hedging(3, 10).with_budget(throttle.clone());
    for (outcome, tokens) in [(Outcome::DoNotRetry, 9.0), (Outcome::Fatal, 9.0)] {
        let _ = hedged(hedging.clone(), &[(1, Err(Failure(outcome)))]).await;
        assert_eq!(throttle.tokens(), tokens);
    }
}

/// The result may hold a connection, or a place in a queue.
#[tokio::test(start_paused = true)]
async fn the_last_result_is_dropped_before_the_next_attempt() {
    struct Held<'a>(&'a std::cell::Cell<u32>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    let held = std::cell::Cell::new(0);
    let service = service_fn(|(): ()| {
        assert_eq!(held.get(), 0);
        held.set(1);
        std::future::ready(Err::<(), _>(Held(&held)))
    });
    let hedge = Hedge::new(hedging(3, 10), EveryError, service);
    assert!(hedge.oneshot(()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_a_retry_above_shares_hears_of_each_attempt_once() {
    let throttle = GrpcThrottle::new(n(10), 0.1).unwrap();
    let script = Script::timed([
        Step(ms(5), transient()),
        Step(ms(5), transient()),
        Step(ms(5), transient()),
        Step(ms(5), transient()),
        Step(ms(5), Ok(1)),
    ]);
    let plan = Plan::default()
        .without_backoff()
        .with_budget(SpendOnly(throttle.clone()));
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(plan, judge))
        .layer(HedgeLayer::new(
            hedging(2, 10).with_budget(throttle.clone()),
            judge,
        ))
        .service(script.clone());
    assert_eq!(service.oneshot(1).await, Ok(1));
    assert_eq!((script.count(), throttle.tokens()), (5, 6.1));
}
