//! What holds for every layer.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::Poll;

use mainstay_retry_backoff::{
    Budget, ConstantBackoff, Delays, Engine, EveryError, ExponentialBackoff, GrpcThrottle, Hedge,
    HedgeLayer, Hedging, Outcome, Plan, Policy, Retry, RetryLayer, RetryRatio, SeededBackoff,
    SpendOnly, TokenBucket, Unlimited, future,
};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::{assert_request_eq, mock};

use crate::script::{Answer, Failure, Script, Step, judge, ms, transient};

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Retry<EveryError, Script>>();
    check::<RetryLayer<EveryError>>();
    check::<Hedge<EveryError, Script>>();
    check::<HedgeLayer<EveryError>>();
    check::<(Plan, Hedging)>();
    check::<Engine<ExponentialBackoff, TokenBucket>>();
    check::<(TokenBucket, RetryRatio, GrpcThrottle, Unlimited)>();
    check::<SpendOnly<TokenBucket>>();
    check::<(ConstantBackoff, ExponentialBackoff, SeededBackoff, Delays)>();

    fn is_send<T: Send>() {}
    type Judge = fn(&Result<u32, Failure>) -> Outcome;
    is_send::<future::ResponseFuture<Judge, Script, u32, ExponentialBackoff, TokenBucket>>();
    is_send::<future::HedgeFuture<Judge, Script, u32, TokenBucket>>();
}

/// Both, around the same service.
fn layers() -> (
    RetryLayer<EveryError, ConstantBackoff>,
    HedgeLayer<EveryError>,
) {
    let plan = Plan::default().without_backoff();
    let hedging = Hedging::new(ms(10));
    (
        RetryLayer::new(plan, EveryError),
        HedgeLayer::new(hedging, EveryError),
    )
}

#[tokio::test(start_paused = true)]
async fn forwards_readiness() {
    let (retry, hedge) = layers();
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(retry);
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(hedge);
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
}

/// The mock panics on a handle that is not ready, and allows one call after the other.
#[tokio::test(start_paused = true)]
async fn calls_only_what_it_readied() {
    let (retry, hedge) = layers();
    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(retry);
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_request_eq!(handle, 7).send_error("failed");
    handle.allow(0);
    assert_pending!(call.poll());
    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_request_eq!(handle, 7).send_response(8);
    assert_eq!(call.await.unwrap(), 8);

    let (mut service, mut handle) = mock::spawn_layer::<u32, u32, _>(hedge);
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(7));
    assert_pending!(call.poll());
    let _first = assert_request_eq!(handle, 7);
    handle.allow(0);
    advance(ms(10)).await;
    assert_pending!(call.poll());
    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_request_eq!(handle, 7).send_response(9);
    assert_eq!(call.await.unwrap(), 9);
}

/// Polls until done or `polls` times; true if done.
async fn polled(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(cx).map(|_| true)
    })
    .await
}

/// A budget of a thousand, ten for a retry.
fn bucket() -> TokenBucket {
    let [capacity, cost] = [1_000, 10].map(|it| NonZeroU32::new(it).unwrap());
    TokenBucket::new(capacity, cost).unwrap()
}

fn four() -> NonZeroU32 {
    NonZeroU32::new(4).unwrap()
}

/// Takes its time to be ready, to answer, and before a retry; so that there is a poll for each.
fn failing() -> Script {
    Script::slow_to_be_ready([Step(ms(5), transient())])
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_paid_for_exactly_when_it_is_sent() {
    let mut drops = 0;
    for polls in 0.. {
        let (script, bucket) = (failing(), bucket());
        let plan = Plan::new(four())
            .with_backoff(ConstantBackoff::new(ms(3)))
            .with_budget(bucket.clone());
        let retry = Retry::new(plan, judge, script.clone());
        let done = polled(retry.oneshot(1), polls).await;
        let retries = script.count().saturating_sub(1);
        assert_eq!(bucket.tokens(), 1_000 - 10 * retries, "{polls} polls");
        assert_eq!(script.under_way(), 0);
        if done {
            assert_eq!(retries, 3);
            break;
        }
        drops += 1;
    }
    // Of each attempt: before it is ready, while it is under way, and before the next.
    assert!(drops >= 11, "{drops}");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_paid_for_exactly_when_it_is_sent() {
    // It never answers: each delay sends another.
    let script = || Script::slow_to_be_ready([Step(ms(1_000_000), Ok(1))]);
    let mut sent = Vec::new();
    for polls in 0..12 {
        let (script, bucket) = (script(), bucket());
        let hedging = Hedging::new(ms(3))
            .with_attempts(four())
            .with_budget(bucket.clone());
        let hedge = Hedge::new(hedging, judge, script.clone());
        let _ = tokio::time::timeout(ms(1_000), polled(hedge.oneshot(1), polls)).await;
        let hedges = script.count().saturating_sub(1);
        assert_eq!(bucket.tokens(), 1_000 - 10 * hedges, "{polls} polls");
        assert_eq!(script.under_way(), 0);
        sent.push(hedges);
    }
    sent.dedup();
    assert_eq!(sent, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    for polls in 0.. {
        let (script, bucket) = (failing(), bucket());
        let plan = Plan::new(four())
            .with_backoff([ms(3)])
            .with_budget(bucket.clone());
        let mut retry = Retry::new(plan, judge, script.clone());
        let done = polled(retry.ready().await.unwrap().call(1), polls).await;
        assert_eq!(script.under_way(), 0);
        assert_eq!(bucket.tokens(), 1_000 - 10 * (script.count() - 1));
        // The handle is as good as new.
        let calls = script.count();
        let again = retry.ready().await.unwrap().call(2).await;
        assert_eq!(again, transient());
        assert!(script.count() > calls);
        if done {
            break;
        }
    }
    for polls in 0.. {
        let (script, bucket) = (failing(), bucket());
        let hedging = Hedging::new(ms(3))
            .with_attempts(four())
            .with_budget(bucket.clone());
        let mut hedge = Hedge::new(hedging, judge, script.clone());
        let done = polled(hedge.ready().await.unwrap().call(1), polls).await;
        assert_eq!(script.under_way(), 0);
        assert_eq!(bucket.tokens(), 1_000 - 10 * (script.count() - 1));
        let calls = script.count();
        let again = hedge.ready().await.unwrap().call(2).await;
        assert_eq!(again, transient());
        assert!(script.count() > calls);
        if done {
            break;
        }
    }
}

/// Whatever is set stays, in whichever order.
#[tokio::test(start_paused = true)]
async fn a_knob_is_kept_when_another_is_turned() {
    let first = Plan::new(four())
        .with_total_time(ms(1))
        .with_ready_within(ms(2))
        .with_longest_hint(ms(3))
        .with_transparent_retries()
        .with_name("kept");
    let expected = Plan::new(four())
        .with_budget(Unlimited)
        .with_backoff([ms(9)])
        .with_total_time(ms(1))
        .with_ready_within(ms(2))
        .with_longest_hint(ms(3))
        .with_transparent_retries()
        .with_name("kept");
    for plan in [
        first.clone().with_budget(Unlimited).with_backoff([ms(9)]),
        first.with_backoff([ms(9)]).with_budget(Unlimited),
    ] {
        assert_eq!(format!("{plan:?}"), format!("{expected:?}"));
    }

    let first = Hedging::new(ms(1))
        .with_attempts(four())
        .with_ready_within(ms(2))
        .with_longest_hint(ms(3))
        .with_name("kept");
    let first = first.with_quantile(0.9).unwrap();
    let last = Hedging::new(ms(1))
        .with_budget(Unlimited)
        .with_attempts(four())
        .with_ready_within(ms(2))
        .with_longest_hint(ms(3))
        .with_name("kept");
    let last = last.with_quantile(0.9).unwrap();
    let first = first.with_budget(Unlimited);
    assert_eq!(format!("{first:?}"), format!("{last:?}"));
}

/// Notes what it is asked, and answers with what the layers must not lose.
#[derive(Clone)]
struct Full {
    deadline: Instant,
}

impl Policy<u32, u32, Failure> for Full {
    fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, attempt: u32) -> Outcome {
        if attempt == 3 {
            *result = Ok(3);
        }
        judge(result)
    }

    fn copy(&mut self, request: &u32) -> Option<u32> {
        (*request != 13).then_some(*request)
    }

    fn prepare(&mut self, request: &mut u32, attempt: u32) {
        *request += 100 * attempt;
    }

    fn deadline(&self, _: &u32) -> Option<Instant> {
        Some(self.deadline)
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_a_condition_or_a_deadline_does_all_that_it_did() {
    let plan = || Plan::new(four()).with_backoff([ms(10); 3]);
    for (deadline, request, sent, answer) in [
        (1_000, 1, &[101, 201, 301][..], Ok(3)),
        (20, 1, &[101, 201], transient()),
        (1_000, 13, &[113], transient()),
        (1_000, 14, &[114], transient()),
    ] {
        let full = || Full {
            deadline: Instant::now() + ms(deadline),
        };
        let may_retry = |it: &u32| *it != 14;
        let script = || Script::new([transient()]);
        let check = |service: &Script, result: Answer| {
            let requests: Vec<_> = service.calls().into_iter().map(|(_, it)| it).collect();
            assert_eq!((&requests[..], result), (sent, answer));
        };

        let service = script();
        let layer = RetryLayer::new(plan(), full()).only_if(may_retry);
        let layer = layer.with_deadline(|_: &u32| None);
        let result = layer.layer(service.clone()).oneshot(request).await;
        check(&service, result);

        let service = script();
        let layer = RetryLayer::new(plan(), full()).with_deadline(|_: &u32| None);
        let layer = layer.only_if(may_retry);
        let result = layer.layer(service.clone()).oneshot(request).await;
        check(&service, result);
    }
}

#[test]
fn what_has_closures_in_it_can_be_printed() {
    let judge = |result: &Answer| judge(result);
    let retry = RetryLayer::new(Plan::default(), judge)
        .only_if(|_: &u32| true)
        .with_deadline(|_: &u32| None);
    let hedge = HedgeLayer::new(Hedging::new(ms(1)), judge)
        .only_if(|_: &u32| true)
        .with_deadline(|_: &u32| None);
    assert!(format!("{retry:?}").starts_with("RetryLayer { plan: Plan"));
    assert!(format!("{hedge:?}").starts_with("HedgeLayer { hedging: Hedging"));
    let (retry, hedge) = (retry.layer("below"), hedge.layer("below"));
    assert!(format!("{retry:?}").contains("service: \"below\""));
    assert!(format!("{hedge:?}").contains("service: \"below\""));
    let policy = Retry::new(Plan::default(), judge, ());
    assert!(format!("{policy:?}").starts_with("Retry { plan: Plan"));
}

#[test]
fn a_policy_can_be_named_as_a_bound() {
    fn takes<P: Policy<u32, u32, Failure>, G: Budget>(_: P, _: G) {}
    takes(judge, Unlimited);
    takes(EveryError, Unlimited);
}
