//! When a request is sent again.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_retry_backoff::{
    ConstantBackoff, ExponentialBackoff, Jitter, Outcome, Plan, Retry, RetryLayer, TokenBucket,
    Unlimited,
};
use tokio::time::{Instant, advance};
use tower::timeout::{Timeout, error::Elapsed};
use tower::{BoxError, Layer, ServiceExt};

use crate::script::{Failure, Script, Step, judge, ms, transient};

fn attempts(n: u32) -> Plan<ExponentialBackoff, Unlimited> {
    Plan::new(NonZeroU32::new(n).unwrap()).with_budget(Unlimited)
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_backoffs_delays() {
    let script = Script::new([transient()]);
    let plan = attempts(9).with_backoff([ms(10), ms(20), ms(0), ms(40)]);
    assert_eq!(
        Retry::new(plan, judge, script.clone()).oneshot(1).await,
        transient()
    );
    assert_eq!(script.times(), [0, 10, 30, 30, 70].map(ms));
}

#[tokio::test(start_paused = true)]
async fn by_default_waits_are_spread_and_capped() {
    let script = Script::new([transient()]);
    let retry = Retry::new(attempts(60), judge, script.clone());
    assert_eq!(retry.oneshot(1).await, transient());
    let times = script.times();
    let waits: Vec<_> = times.windows(2).map(|it| it[1] - it[0]).collect();
    // A timer may be late by its tick.
    assert!(waits.iter().all(|it| *it <= ms(20_001)), "{waits:?}");
    // They have come to the cap, and are spread below it.
    let long = waits.iter().filter(|it| **it > ms(10_000)).count();
    assert!((5..50).contains(&long), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_failed_together_come_back_apart() {
    let script = Script::new([transient()]);
    let backoff = ExponentialBackoff::new(ms(100_000), ms(100_000)).unwrap();
    let plan = attempts(2).with_backoff(backoff);
    let retry = Retry::new(plan, judge, script.clone());
    join_all((0..50).map(|it| retry.clone().oneshot(it))).await;
    let mut times = script.times();
    times.drain(..50);
    times.dedup();
    // Of 50 draws from 100,000 milliseconds.
    assert!(times.len() > 45, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn without_jitter_they_come_back_together() {
    let script = Script::new([transient()]);
    let backoff = ExponentialBackoff::default().with_jitter(Jitter::None);
    let retry = Retry::new(attempts(2).with_backoff(backoff), judge, script.clone());
    join_all((0..50).map(|it| retry.clone().oneshot(it))).await;
    assert_eq!(script.times()[50..], [ms(50); 50]);
}

#[tokio::test(start_paused = true)]
async fn a_servers_hint_overrides_the_backoff_which_begins_anew() {
    let hint = Err(Failure(Outcome::throttled().after(ms(700))));
    let script = Script::new([transient(), transient(), hint, transient()]);
    let plan = attempts(5).with_backoff([ms(1), ms(2), ms(4), ms(8)]);
    let _ = Retry::new(plan, judge, script.clone()).oneshot(1).await;
    assert_eq!(script.times(), [0, 1, 3, 703, 704].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_nothing_retries_at_once() {
    let hint = Err(Failure(Outcome::transient().after(Duration::ZERO)));
    let script = Script::new([hint]);
    let _ = Retry::new(attempts(3), judge, script.clone())
        .oneshot(1)
        .await;
    assert_eq!(script.times(), [ms(0); 3]);
}

/// The request is its deadline, in milliseconds from now.
async fn by_deadline(deadline: u32, steps: &[Step], plan: Plan<ConstantBackoff>) -> (Script, u128) {
    let script = Script::timed(steps.iter().copied());
    let begun = Instant::now();
    let layer = RetryLayer::new(plan, judge)
        .with_deadline(move |it: &u32| (*it > 0).then(|| begun + ms((*it).into())));
    let answer = layer.layer(script.clone()).oneshot(deadline).await;
    assert_eq!(answer, transient());
    (script, begun.elapsed().as_millis())
}

fn constant(n: u32, delay: u64) -> Plan<ConstantBackoff> {
    Plan::new(NonZeroU32::new(n).unwrap()).with_backoff(ConstantBackoff::new(ms(delay)))
}

#[tokio::test(start_paused = true)]
async fn it_never_sleeps_past_the_deadline_but_returns_at_once() {
    let failing = [Step(ms(0), transient())];
    // A timer may be late by two milliseconds.
    for (deadline, returned) in [(250, 200), (202, 200), (201, 100), (100, 0), (1, 0)] {
        let (script, elapsed) = by_deadline(deadline, &failing, constant(9, 100)).await;
        assert_eq!(elapsed, returned, "{deadline}");
        assert_eq!(script.count() as u128, returned / 100 + 1);
    }
    // Without one all attempts are made.
    let (_, elapsed) = by_deadline(0, &failing, constant(9, 100)).await;
    assert_eq!(elapsed, 800);
}

#[tokio::test(start_paused = true)]
async fn of_two_deadlines_the_earlier_holds() {
    for (one, other) in [(150, 950), (950, 150)] {
        let begun = Instant::now();
        let layer = RetryLayer::new(constant(9, 100), judge)
            .with_deadline(move |_: &u32| Some(begun + ms(one)))
            .with_deadline(move |_: &u32| Some(begun + ms(other)));
        let script = Script::new([transient()]);
        let _ = layer.layer(script.clone()).oneshot(1).await;
        assert_eq!(script.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_lasts_beyond_the_deadline_is_the_last() {
    let slow = [Step(ms(80), transient())];
    let (script, elapsed) = by_deadline(250, &slow, constant(9, 0)).await;
    assert_eq!((script.count(), elapsed), (4, 320));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_sent_until_the_deadline() {
    let not_sent = Err(Failure(Outcome::NotSent));
    let script = Script::timed([Step(ms(30), not_sent)]);
    let begun = Instant::now();
    let layer =
        RetryLayer::new(constant(2, 1), judge).with_deadline(move |_: &u32| Some(begun + ms(100)));
    assert_eq!(layer.layer(script.clone()).oneshot(1).await, not_sent);
    assert_eq!(script.times(), [0, 30, 60, 90].map(ms));
}

#[tokio::test(start_paused = true)]
async fn what_is_never_sent_does_not_spin() {
    let not_sent = Err(Failure(Outcome::NotSent));
    let script = Script::new([not_sent]);
    let plan = attempts(2).with_backoff([ms(10), ms(0), ms(40)]);
    let answer = Retry::new(plan, judge, script.clone()).oneshot(1).await;
    assert_eq!(answer, not_sent);
    assert_eq!(script.times(), [0, 0, 0, 0, 10, 11, 51].map(ms));
}

/// A timer ends within the next two milliseconds.
#[tokio::test(start_paused = true)]
async fn nor_does_it_sleep_past_the_deadline_by_a_fraction_of_a_timers_tick() {
    for offset in [0, 300, 999] {
        for delay in [100, 500, 900, 1_000, 1_500, 2_500] {
            for more in [1, 400, 999, 1_000, 1_999, 2_000, 2_300] {
                let micros = Duration::from_micros;
                advance(micros(offset)).await;
                let begun = Instant::now();
                let deadline = begun + micros(delay + more);
                let script = Script::new([transient()]);
                let plan = attempts(9).with_backoff(ConstantBackoff::new(micros(delay)));
                let layer =
                    RetryLayer::new(plan, judge).with_deadline(move |_: &u32| Some(deadline));
                assert_eq!(layer.layer(script.clone()).oneshot(1).await, transient());
                assert!(Instant::now() <= deadline, "{offset} {delay} {more}");
                // But two are enough.
                assert_eq!(script.count() > 1, more >= 2_000, "{offset} {delay} {more}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_too_long_is_not_waited_for() {
    for (hint, calls) in [(60, 2), (61, 1)] {
        let hint = Err(Failure(Outcome::throttled().after(ms(hint * 1_000))));
        let script = Script::new([hint, Ok(1)]);
        let _ = Retry::new(attempts(9), judge, script.clone())
            .oneshot(1)
            .await;
        assert_eq!(script.count(), calls);
    }
    let hint = Err(Failure(Outcome::throttled().after(ms(6))));
    let plan = attempts(9).with_longest_hint(ms(5));
    let answer = Retry::new(plan, judge, Script::new([hint, Ok(1)]))
        .oneshot(1)
        .await;
    assert_eq!(answer, hint);
}

#[tokio::test(start_paused = true)]
async fn a_hint_beyond_the_deadline_is_not_waited_for_and_costs_nothing() {
    let hint = Err(Failure(Outcome::throttled().after(ms(5_000))));
    let bucket = TokenBucket::default();
    let begun = Instant::now();
    let layer = RetryLayer::new(constant(9, 1).with_budget(bucket.clone()), judge)
        .with_deadline(move |_: &u32| Some(begun + ms(1_000)));
    assert_eq!(layer.layer(Script::new([hint])).oneshot(1).await, hint);
    assert_eq!((begun.elapsed(), bucket.tokens()), (ms(0), 500));
}

#[tokio::test(start_paused = true)]
async fn towers_timeout_below_limits_each_attempt() {
    let slow_once = Script::timed([Step(ms(900), Ok(1)), Step(ms(5), Ok(2))]);
    let limited = Timeout::new(slow_once.map_err(|it| format!("{it:?}")), ms(30));
    let judge = |result: &Result<u32, BoxError>| match result {
        Err(error) if error.is::<Elapsed>() => Outcome::timeout(),
        Err(_) => Outcome::Fatal,
        Ok(_) => Outcome::Success,
    };
    let begun = Instant::now();
    let answer = Retry::new(constant(3, 10), judge, limited).oneshot(1).await;
    assert_eq!((answer.unwrap(), begun.elapsed()), (2, ms(45)));
}

#[tokio::test(start_paused = true)]
async fn the_total_time_ends_the_attempts() {
    let script = Script::timed([Step(ms(40), transient())]);
    let plan = constant(99, 10).with_total_time(ms(200));
    let begun = Instant::now();
    let _ = Retry::new(plan, judge, script.clone()).oneshot(1).await;
    assert_eq!(script.times(), [0, 50, 100, 150].map(ms));
    assert_eq!(begun.elapsed(), ms(190));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_asked_of_the_request_once() {
    let asked = std::cell::Cell::new(0);
    let layer = RetryLayer::new(constant(4, 10), judge).with_deadline(|_: &u32| {
        asked.set(asked.get() + 1);
        None
    });
    let _ = layer.layer(Script::new([transient()])).oneshot(1).await;
    assert_eq!(asked.get(), 1);
}
