//! A retry when the service below is not ready.

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_retry_backoff::{EveryError, Plan, Retry, RetryLayer, TokenBucket};
use tokio::time::{Instant, Sleep, advance, sleep};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::script::{Script, Step, judge, ms, transient};

/// The original is ready; a clone is after a while, or fails then.
struct SlowClone {
    delay: Option<std::pin::Pin<Box<Sleep>>>,
    after: Duration,
    then_fails: bool,
    calls: Rc<Cell<u32>>,
}

impl SlowClone {
    fn new(after: Duration, then_fails: bool) -> Self {
        Self {
            delay: None,
            after,
            then_fails,
            calls: Rc::default(),
        }
    }
}

impl Clone for SlowClone {
    fn clone(&self) -> Self {
        Self {
            delay: Some(Box::pin(sleep(self.after))),
            calls: self.calls.clone(),
            ..*self
        }
    }
}

impl Service<()> for SlowClone {
    type Response = ();
    type Error = &'static str;
    type Future = Ready<Result<(), &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let Some(delay) = &mut self.delay else {
            return Poll::Ready(Ok(()));
        };
        let broken = if self.then_fails {
            Err("broken")
        } else {
            Ok(())
        };
        delay.as_mut().poll(cx).map(|()| broken)
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        ready(match self.calls.get() {
            1 => Err("first"),
            _ => Ok(()),
        })
    }
}

/// What comes back, when, and what it has cost.
async fn retried(
    service: SlowClone,
    ready_within: Duration,
) -> (Result<(), &'static str>, u128, u32) {
    let bucket = TokenBucket::new(NonZeroU32::new(10).unwrap(), NonZeroU32::MIN).unwrap();
    let plan = Plan::default()
        .without_backoff()
        .with_budget(bucket.clone())
        .with_ready_within(ready_within);
    let begun = Instant::now();
    let mut call = std::pin::pin!(Retry::new(plan, EveryError, service).oneshot(()));
    let result = call.as_mut().await;
    // Settled at once, and not when the future goes.
    let cost = 10 - bucket.tokens();
    (result, begun.elapsed().as_millis(), cost)
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_the_service_is_ready() {
    let service = SlowClone::new(ms(50), false);
    // A retried success earns back what it has cost.
    assert_eq!(retried(service, ms(100)).await, (Ok(()), 50, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_in_time_leaves_the_last_result() {
    for never in [ms(101), Duration::from_secs(86_400 * 365)] {
        let service = SlowClone::new(never, false);
        assert_eq!(retried(service, ms(100)).await, (Err("first"), 100, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_time_to_become_ready_the_last_result_is_returned_at_once() {
    let service = SlowClone::new(ms(1), false);
    assert_eq!(retried(service, Duration::ZERO).await, (Err("first"), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_leaves_the_last_result() {
    let service = SlowClone::new(ms(10), true);
    assert_eq!(retried(service, ms(100)).await, (Err("first"), 10, 0));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_not_waited_for_past_the_deadline() {
    for ready_after in [ms(50), ms(30)] {
        let begun = Instant::now();
        let plan = Plan::default().without_backoff();
        let layer =
            RetryLayer::new(plan, EveryError).with_deadline(move |(): &()| Some(begun + ms(30)));
        let service = SlowClone::new(ready_after, false);
        let result = layer.layer(service).oneshot(()).await;
        assert_eq!(result, Err("first"));
        // Two milliseconds earlier, since a timer may be as late as that.
        assert_eq!(begun.elapsed(), ms(28));
    }
}

#[tokio::test(start_paused = true)]
async fn nor_past_it_by_a_fraction_of_a_timers_tick() {
    for micros in [1, 500, 1_700, 29_999] {
        advance(Duration::from_micros(300)).await;
        let deadline = Instant::now() + Duration::from_micros(micros);
        let plan = Plan::default().without_backoff();
        let layer = RetryLayer::new(plan, EveryError).with_deadline(move |(): &()| Some(deadline));
        let service = SlowClone::new(Duration::from_secs(9), false);
        assert_eq!(layer.layer(service).oneshot(()).await, Err("first"));
        let left = deadline - Instant::now();
        assert!(left <= ms(2), "{left:?}");
    }
}

#[test]
fn with_no_time_to_become_ready_no_timer_is_needed() {
    #[derive(Clone)]
    struct Never;

    impl Service<()> for Never {
        type Response = ();
        type Error = ();
        type Future = Ready<Result<(), ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Pending
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Err(()))
        }
    }

    let plan = Plan::default()
        .without_backoff()
        .with_ready_within(Duration::ZERO);
    let result = Retry::new(plan, EveryError, Never).call(()).now_or_never();
    assert_eq!(result, Some(Err(())));
}

#[tokio::test(start_paused = true)]
async fn readiness_may_be_waited_for_without_end() {
    let plan = Plan::default()
        .without_backoff()
        .with_ready_within(Duration::MAX);
    let service = SlowClone::new(Duration::from_secs(86_400), false);
    assert_eq!(
        Retry::new(plan, EveryError, service).oneshot(()).await,
        Ok(())
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_comes_too_late_is_not_sent() {
    let bucket = TokenBucket::default();
    let plan = Plan::default()
        .with_backoff([ms(10)])
        .with_budget(bucket.clone());
    let deadline = Instant::now() + ms(50);
    let script = Script::new([transient()]);
    let layer = RetryLayer::new(plan, judge).with_deadline(move |_: &u32| Some(deadline));
    let mut retry = layer.layer(script.clone());
    let mut call = std::pin::pin!(retry.ready().await.unwrap().call(1));
    assert_eq!(call.as_mut().now_or_never(), None);
    // Nobody polls it for too long.
    advance(ms(50)).await;
    assert_eq!(call.as_mut().now_or_never(), Some(transient()));
    assert_eq!((script.count(), bucket.tokens()), (1, 500));
}

#[tokio::test(start_paused = true)]
async fn by_default_a_retry_waits_a_tenth_of_a_second() {
    let begun = Instant::now();
    let plan = Plan::default().without_backoff();
    let service = SlowClone::new(Duration::from_secs(9), false);
    let result = Retry::new(plan, EveryError, service).oneshot(()).await;
    assert_eq!((result, begun.elapsed()), (Err("first"), ms(100)));
}

#[tokio::test(start_paused = true)]
async fn a_full_service_below_does_not_hold_requests_up() {
    // The only permit is taken by one call for ever, after the first attempt of the other has ended.
    let calls = Rc::new(Cell::new(0));
    let service = service_fn(|forever: bool| {
        calls.set(calls.get() + 1);
        async move {
            if forever {
                std::future::pending::<()>().await;
            }
            Err::<(), _>("failed")
        }
    });
    let plan = Plan::default().with_backoff([ms(10)]);
    let mut retry = Retry::new(plan, EveryError, ConcurrencyLimit::new(service, 1));
    let first = retry.ready().await.unwrap().call(false);
    let forever = async {
        sleep(ms(1)).await;
        retry.ready().await.unwrap().call(true).await
    };
    let first = async {
        let begun = Instant::now();
        assert_eq!(first.await, Err("failed"));
        begun.elapsed()
    };
    tokio::select! {
        elapsed = first => assert_eq!(elapsed, ms(110)),
        _ = forever => unreachable!("it is for ever"),
    }
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_makes_its_handle_ready() {
    // The script panics otherwise.
    let script = Script::slow_to_be_ready([Step(ms(1), transient())]);
    let mut retry = Retry::new(Plan::default().without_backoff(), judge, script.clone());
    for calls in [3, 6] {
        assert_eq!(retry.ready().await.unwrap().call(1).await, transient());
        assert_eq!(script.count(), calls);
    }
}
