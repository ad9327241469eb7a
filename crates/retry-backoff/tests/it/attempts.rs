//! How often a request is sent, and what is sent.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use mainstay_retry_backoff::{
    Budget, Cause, EveryError, Hedge, Hedging, Outcome, Plan, Policy, Retry, RetryLayer,
    TokenBucket, Unlimited,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::script::{Answer, Failure, Script, judge, ms, transient};

fn attempts(n: u32) -> Plan<mainstay_retry_backoff::ConstantBackoff> {
    Plan::new(NonZeroU32::new(n).unwrap()).without_backoff()
}

/// Outside of a runtime: whatever sets a timer panics.
fn at_once(plan: u32, answers: &[Answer]) -> (Answer, u32) {
    let script = Script::new(answers.iter().copied());
    let retry = Retry::new(attempts(plan), judge, script.clone());
    let result = retry.oneshot(7).now_or_never().unwrap();
    (result, script.count())
}

#[test]
fn a_failure_is_retried_until_it_is_none() {
    let answers = [transient(), transient(), Ok(1)];
    assert_eq!(at_once(9, &answers), (Ok(1), 3));
}

#[test]
fn the_attempts_include_the_first_one() {
    for n in 1..5 {
        assert_eq!(at_once(n, &[transient()]), (transient(), n));
    }
}

#[test]
fn one_attempt_returns_its_result() {
    assert_eq!(at_once(1, &[Ok(3)]), (Ok(3), 1));
    assert_eq!(at_once(1, &[transient(), Ok(3)]), (transient(), 1));
}

#[test]
fn a_lasting_failure_is_not_retried() {
    for outcome in [Outcome::Fatal, Outcome::DoNotRetry] {
        let failure = Err(Failure(outcome));
        assert_eq!(at_once(9, &[failure, Ok(1)]), (failure, 1));
        // Nor is one that follows a passing failure.
        assert_eq!(at_once(9, &[transient(), failure, Ok(1)]), (failure, 2));
    }
}

#[test]
fn the_result_is_that_of_the_last_attempt() {
    let last = Err(Failure(Outcome::timeout()));
    assert_eq!(at_once(3, &[transient(), transient(), last]), (last, 3));
}

#[test]
fn without_a_delay_a_retry_goes_at_once_and_needs_no_timer() {
    // A timer would have panicked, and not been ready at the first poll.
    assert_eq!(at_once(30, &[transient()]), (transient(), 30));
}

#[test]
fn what_was_never_sent_is_no_attempt() {
    let not_sent = Err(Failure(Outcome::NotSent));
    let answers = [not_sent, not_sent, not_sent, transient(), Ok(1)];
    assert_eq!(at_once(2, &answers), (Ok(1), 5));
}

#[test]
fn what_was_not_sent_or_processed_goes_again_on_the_last_attempt_if_the_plan_says_so() {
    for outcome in [Outcome::NotSent, Outcome::NotProcessed] {
        let failure = Err(Failure(outcome));
        assert_eq!(at_once(1, &[failure, Ok(1)]), (failure, 1));
        assert_eq!(at_once(2, &[transient(), failure, Ok(1)]), (failure, 2));
        for (n, answers) in [
            (1, &[failure, Ok(1)][..]),
            (2, &[transient(), failure, Ok(1)]),
            (2, &[failure, transient(), Ok(1)]),
        ] {
            let script = Script::new(answers.iter().copied());
            let plan = attempts(n).with_transparent_retries();
            let result = Retry::new(plan, judge, script.clone()).oneshot(7);
            assert_eq!(result.now_or_never(), Some(Ok(1)));
            assert_eq!(script.count() as usize, answers.len());
        }
    }
}

#[test]
fn a_request_that_is_kept_for_the_last_attempt_is_copied_for_it_too() {
    for (n, expected) in [(1, 1), (2, 2), (3, 3)] {
        let copies = AtomicU32::new(0);
        let service = service_fn(|_: Counted<'_>| std::future::ready(Err::<(), _>(())));
        let plan = attempts(n).with_transparent_retries();
        let retry = Retry::new(plan, EveryError, service);
        let result = retry.oneshot(Counted(&copies)).now_or_never();
        assert_eq!(result, Some(Err(())));
        assert_eq!(copies.into_inner(), expected, "{n} attempts");
    }
}

/// Fails in one of its parts.
#[derive(Clone, Copy)]
struct Panics {
    copies: u32,
    at_copy: u32,
    at_attempt: u32,
}

impl Policy<u32, u32, Failure> for Panics {
    fn judge(&mut self, _: Option<&mut u32>, result: &mut Answer, _: u32) -> Outcome {
        judge(result)
    }

    fn copy(&mut self, request: &u32) -> Option<u32> {
        self.copies += 1;
        assert_ne!(self.copies, self.at_copy);
        Some(*request)
    }

    fn prepare(&mut self, _: &mut u32, attempt: u32) {
        assert_ne!(attempt, self.at_attempt);
    }
}

#[test]
fn a_policy_that_panics_leaves_no_retry_paid() {
    for (at_copy, at_attempt) in [(2, 0), (0, 2)] {
        let policy = Panics {
            copies: 0,
            at_copy,
            at_attempt,
        };
        let (bucket, script) = (TokenBucket::default(), Script::new([transient()]));
        let plan = attempts(5).with_budget(bucket.clone());
        let retry = Retry::new(plan, policy, script.clone());
        let panicked = catch_unwind(AssertUnwindSafe(|| retry.oneshot(1).now_or_never()));
        assert!(panicked.is_err());
        assert_eq!((script.count(), bucket.tokens()), (1, 500));

        let script = Script::new([transient()]);
        let hedging = Hedging::new(ms(0))
            .with_attempts(NonZeroU32::new(5).unwrap())
            .with_budget(bucket.clone());
        let hedge = Hedge::new(hedging, policy, script.clone());
        let panicked = catch_unwind(AssertUnwindSafe(|| hedge.oneshot(1).now_or_never()));
        assert!(panicked.is_err());
        assert_eq!((script.count(), bucket.tokens()), (1, 500));
    }
}

/// Succeeds whenever it is polled, as a future need not.
#[derive(Clone, Copy)]
struct Polled(Result<u32, ()>);

impl Service<u32> for Polled {
    type Response = u32;
    type Error = ();
    type Future = std::future::PollFn<fn(&mut Context<'_>) -> Poll<Result<u32, ()>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        let poll: fn(&mut Context<'_>) -> Poll<Result<u32, ()>> = match self.0 {
            Ok(_) => |_| Poll::Ready(Ok(1)),
            Err(()) => |_| Poll::Ready(Err(())),
        };
        std::future::poll_fn(poll)
    }
}

#[test]
fn polling_after_completion_panics_and_does_nothing_else() {
    fn check(future: impl Future, bucket: &TokenBucket) {
        let mut future = std::pin::pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
        let tokens = bucket.tokens();
        let again = catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut cx).is_ready()
        }));
        let message = again.unwrap_err();
        assert_eq!(
            *message.downcast_ref::<&str>().unwrap(),
            "polled after completion"
        );
        assert_eq!(bucket.tokens(), tokens);
    }

    for result in [Ok(1), Err(())] {
        let bucket = TokenBucket::default();
        // So that there is room for what it might earn.
        for _ in 0..50 {
            let _ = bucket.withdraw(Cause::Transient);
        }
        let plan = attempts(3).with_budget(bucket.clone());
        let mut retry = Retry::new(plan, EveryError, Polled(result));
        check(retry.call(1), &bucket);
        let hedging = Hedging::new(ms(10)).with_budget(bucket.clone());
        let mut hedge = Hedge::new(hedging, EveryError, Polled(result));
        check(hedge.call(1), &bucket);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_without_delay_let_others_run() {
    let plan = attempts(u32::MAX).with_budget(Unlimited);
    let retry = Retry::new(plan, judge, Script::new([transient()]));
    let endless = tokio::spawn(retry.oneshot(1));
    tokio::spawn(async {}).await.unwrap();
    endless.abort();
    assert!(endless.await.unwrap_err().is_cancelled());
}

/// Counts its copies.
#[derive(Debug)]
struct Counted<'a>(&'a AtomicU32);

impl Clone for Counted<'_> {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

#[test]
fn a_request_is_copied_only_while_another_attempt_may_follow() {
    for (n, failures, expected) in [(1, 1, 0), (2, 0, 1), (2, 2, 1), (4, 1, 2), (4, 4, 3)] {
        let (copies, calls) = (AtomicU32::new(0), Cell::new(0));
        let service = service_fn(|_: Counted<'_>| {
            calls.set(calls.get() + 1);
            let fails = calls.get() <= failures;
            std::future::ready(if fails { Err(()) } else { Ok(()) })
        });
        let retry = Retry::new(attempts(n), EveryError, service);
        let result = retry.oneshot(Counted(&copies)).now_or_never().unwrap();
        assert_eq!(result.is_ok(), failures < n);
        assert_eq!(copies.into_inner(), expected, "{n} attempts");
    }
}

#[test]
fn the_service_is_cloned_only_for_a_request_that_was_copied() {
    struct Clones<'a>(&'a Cell<u32>);

    impl Clone for Clones<'_> {
        fn clone(&self) -> Self {
            self.0.set(self.0.get() + 1);
            Self(self.0)
        }
    }

    impl Service<u32> for Clones<'_> {
        type Response = u32;
        type Error = Infallible;
        type Future = std::future::Ready<Result<u32, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: u32) -> Self::Future {
            std::future::ready(Ok(request))
        }
    }

    for (n, request, expected) in [(1, 0, 0), (2, 1, 0), (2, 0, 1)] {
        let clones = Cell::new(0);
        let layer = RetryLayer::new(attempts(n), EveryError).only_if(|it: &u32| *it == 0);
        let mut retry = layer.layer(Clones(&clones));
        retry.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(clones.get(), expected);
    }
}

/// Cannot be copied at all.
struct Unique(u32);

/// Writes the number of the attempt into the request, and looks at what comes and goes.
#[derive(Clone, Copy)]
struct Numbered;

impl Policy<Unique, u32, u32> for Numbered {
    fn judge(
        &mut self,
        request: Option<&mut Unique>,
        result: &mut Result<u32, u32>,
        attempt: u32,
    ) -> Outcome {
        if let Some(request) = request {
            request.0 += 1_000;
        }
        match result {
            Ok(it) => {
                *it += 100 * attempt;
                Outcome::Success
            }
            Err(_) if attempt == 2 => {
                *result = Ok(77);
                Outcome::Success
            }
            Err(_) => Outcome::transient(),
        }
    }

    fn copy(&mut self, request: &Unique) -> Option<Unique> {
        (request.0 != 13).then_some(Unique(request.0))
    }

    fn prepare(&mut self, request: &mut Unique, attempt: u32) {
        request.0 += 10 * attempt;
    }
}

fn numbered(request: u32, fails: impl Fn(u32) -> bool + Clone) -> (Result<u32, u32>, Vec<u32>) {
    let sent = std::cell::RefCell::new(Vec::new());
    let service = service_fn(|request: Unique| {
        sent.borrow_mut().push(request.0);
        let fails = fails(request.0);
        std::future::ready(if fails { Err(request.0) } else { Ok(request.0) })
    });
    let mut retry = Retry::new(attempts(3), Numbered, service);
    let result = retry.call(Unique(request)).now_or_never().unwrap();
    (result, sent.into_inner())
}

#[test]
fn a_request_that_cannot_be_copied_passes_through_once() {
    assert_eq!(numbered(13, |_| true), (Err(23), vec![23]));
}

#[test]
fn a_request_that_can_be_copied_only_once_is_retried_once() {
    #[derive(Clone, Copy)]
    struct Once(bool);

    impl Policy<Unique, u32, u32> for Once {
        fn judge(&mut self, _: Option<&mut Unique>, _: &mut Result<u32, u32>, _: u32) -> Outcome {
            Outcome::transient()
        }

        fn copy(&mut self, request: &Unique) -> Option<Unique> {
            let is_first = !std::mem::replace(&mut self.0, true);
            is_first.then_some(Unique(request.0))
        }
    }

    let bucket = TokenBucket::default();
    let calls = Cell::new(0);
    let service = service_fn(|_: Unique| {
        calls.set(calls.get() + 1);
        std::future::ready(Err(calls.get()))
    });
    let plan = attempts(9).with_budget(bucket.clone());
    let mut retry = Retry::new(plan, Once(false), service);
    let result = retry.call(Unique(1)).now_or_never().unwrap();
    assert_eq!((result, bucket.tokens()), (Err(2), 495));
}

/// The result may hold a connection, or a place in a queue.
#[test]
fn the_last_result_is_dropped_before_the_next_attempt() {
    struct Held<'a>(&'a Cell<u32>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    let held = Cell::new(0);
    let service = service_fn(|(): ()| {
        assert_eq!(held.get(), 0);
        held.set(1);
        std::future::ready(Err::<(), _>(Held(&held)))
    });
    let mut retry = Retry::new(attempts(3), EveryError, service);
    assert!(retry.call(()).now_or_never().unwrap().is_err());
}

#[test]
fn the_policy_prepares_each_attempt_and_may_replace_the_request() {
    // The copy is of the request before it was prepared for the first attempt.
    assert_eq!(numbered(1, |it| it < 1_000), (Ok(1_221), vec![11, 1_021]));
}

#[test]
fn the_policy_may_replace_the_result() {
    assert_eq!(numbered(1, |_| true), (Ok(77), vec![11, 1_021]));
}

#[test]
fn the_policy_of_one_request_may_remember() {
    #[derive(Clone, Copy)]
    struct Twice(u32);

    impl Policy<u32, u32, Failure> for Twice {
        fn judge(&mut self, _: Option<&mut u32>, _: &mut Answer, _: u32) -> Outcome {
            self.0 += 1;
            if self.0 < 2 {
                Outcome::transient()
            } else {
                Outcome::Fatal
            }
        }

        fn copy(&mut self, request: &u32) -> Option<u32> {
            Some(*request)
        }
    }

    let script = Script::new([transient()]);
    let mut retry = Retry::new(attempts(9), Twice(0), script.clone());
    for request in 1..=2 {
        let ready = retry.ready().now_or_never().unwrap().unwrap();
        assert_eq!(ready.call(request).now_or_never(), Some(transient()));
        assert_eq!(script.count(), 2 * request);
    }
}

#[test]
fn only_what_may_be_retried_is() {
    let script = Script::new([transient()]);
    let layer =
        RetryLayer::new(attempts(3), judge).only_if(|request: &u32| request.is_multiple_of(2));
    let mut retry = layer.layer(script.clone());
    for (request, calls) in [(1, 1), (2, 4), (3, 5)] {
        let ready = retry.ready().now_or_never().unwrap().unwrap();
        assert_eq!(ready.call(request).now_or_never(), Some(transient()));
        assert_eq!(script.count(), calls);
    }
}
