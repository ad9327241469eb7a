//! The simulation of "Exponential Backoff and Jitter": clients that each update the same row once,
//! with optimistic locking, over a network with a delay of N(10, 2) ms. Its table, through the layer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use mainstay_retry_backoff::{
    ConstantBackoff, ExponentialBackoff, Jitter, Outcome, Plan, Retry, SeededBackoff, Unlimited,
};
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};

use crate::random::Random;

/// One row: clients, and the milliseconds and calls that it took, on average.
///
/// Calls are those of the published table. Times as well, but as the mean of up to 6,000 trials of
/// its simulator: a hundred, as published, are off by up to 8 % where clients are few.
type Row = (u64, f64, f64);

/// A simulated millisecond, in seconds: tokio's timers have no step shorter than a real one.
const MS: f64 = 0.01;

struct Net(RefCell<Random>);

impl Net {
    fn delay(&self) -> Duration {
        Duration::from_secs_f64(self.0.borrow_mut().normal(10.0, 2.0).abs() * MS)
    }
}

/// Until all clients have succeeded.
async fn trial<B>(clients: u64, backoff: B, seed: u64) -> (f64, u64)
where
    B: IntoIterator<Item = Duration> + Clone,
{
    let net = Rc::new(Net(RefCell::new(Random(seed))));
    let version = Rc::new(Cell::new(0));
    let calls = Rc::new(Cell::new(0));
    let update = service_fn(|(): ()| {
        let (net, version, calls) = (net.clone(), version.clone(), calls.clone());
        async move {
            sleep(net.delay()).await;
            let read = version.get();
            sleep(net.delay() + net.delay()).await;
            calls.set(calls.get() + 1);
            let is_current = read == version.get();
            version.set(version.get() + u64::from(is_current));
            sleep(net.delay()).await;
            is_current.then_some(()).ok_or(())
        }
    });
    let judge = |result: &Result<(), ()>| match result {
        Ok(()) => Outcome::Success,
        Err(()) => Outcome::transient(),
    };
    let plan = Plan::new(u32::MAX.try_into().unwrap())
        .with_backoff(backoff)
        .with_budget(Unlimited);
    let mut client = Retry::new(plan, judge, update);
    let begun = Instant::now();
    let mut running: FuturesUnordered<_> = (0..clients).map(|_| client.call(())).collect();
    while let Some(result) = running.next().await {
        result.unwrap();
    }
    (begun.elapsed().as_secs_f64() / MS, calls.get())
}

fn averages<B>(clients: u64, trials: u64, backoff: impl Fn(u64) -> B) -> (f64, f64)
where
    B: IntoIterator<Item = Duration> + Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (mut time, mut calls) = (0.0, 0.0);
    for seed in 0..trials {
        let trial = runtime.block_on(trial(clients, backoff(seed), seed << 32 | clients));
        time += trial.0;
        calls += trial.1 as f64;
    }
    (time / trials as f64, calls / trials as f64)
}

#[track_caller]
fn assert_rows<B>(rows: [Row; 5], backoff: impl Fn(u64) -> B)
where
    B: IntoIterator<Item = Duration> + Clone,
{
    for (clients, time, calls) in rows {
        // The time is that of the last client, and scatters by a quarter where there are few.
        let trials = (4_000 / clients).clamp(20, 250);
        let (its_time, its_calls) = averages(clients, trials, &backoff);
        let (by_time, by_calls) = (its_time / time - 1.0, its_calls / calls - 1.0);
        assert!(
            by_time.abs() < 0.05 && by_calls.abs() < 0.05,
            "{clients} clients: {its_time:.0} ms and {its_calls:.1} calls, not {time} and {calls}"
        );
    }
}

fn exponential(jitter: Jitter) -> impl Fn(u64) -> SeededBackoff {
    // The article begins with the second power of two, but for decorrelated jitter.
    let initial = if jitter == Jitter::Decorrelated {
        5.0
    } else {
        10.0
    };
    let [initial, max] = [initial, 2_000.0].map(|it| Duration::from_secs_f64(it * MS));
    let backoff = ExponentialBackoff::new(initial, max).unwrap();
    move |seed| backoff.with_jitter(jitter).with_seed(seed)
}

#[test]
fn full_jitter_costs_what_the_article_says() {
    let rows = [
        (10, 460.0, 38.0),
        (20, 999.0, 100.0),
        (50, 2_869.0, 333.0),
        (100, 4_913.0, 796.0),
        (190, 7_505.0, 1_771.0),
    ];
    assert_rows(rows, exponential(Jitter::Full));
}

#[test]
fn equal_jitter_costs_what_the_article_says() {
    let rows = [
        (10, 728.0, 42.0),
        (20, 1_621.0, 108.0),
        (50, 4_275.0, 346.0),
        (100, 6_618.0, 811.0),
        (190, 9_368.0, 1_759.0),
    ];
    assert_rows(rows, exponential(Jitter::Equal));
}

#[test]
fn decorrelated_jitter_costs_what_the_article_says() {
    let rows = [
        (10, 435.0, 37.0),
        (20, 817.0, 101.0),
        (50, 2_203.0, 373.0),
        (100, 4_621.0, 1_002.0),
        (190, 8_040.0, 2_437.0),
    ];
    assert_rows(rows, exponential(Jitter::Decorrelated));
}

#[test]
fn growth_without_jitter_costs_what_the_article_says() {
    let rows = [
        (10, 3_436.0, 51.0),
        (20, 14_578.0, 150.0),
        (50, 36_340.0, 622.0),
        (100, 62_573.0, 1_850.0),
        (190, 99_897.0, 5_182.0),
    ];
    assert_rows(rows, exponential(Jitter::None));
}

#[test]
fn retrying_at_once_costs_what_the_article_says() {
    let rows = [
        (10, 380.0, 50.0),
        (20, 602.0, 151.0),
        (50, 1_146.0, 687.0),
        (100, 2_022.0, 2_422.0),
        (190, 3_526.0, 7_994.0),
    ];
    assert_rows(rows, |_| ConstantBackoff::new(Duration::ZERO));
}

#[test]
fn grpcs_jitter_costs_what_its_formula_does_in_the_same_simulator() {
    let rows = [
        (10, 974.0, 43.5),
        (20, 2_372.0, 110.9),
        (50, 5_967.0, 358.4),
        (100, 9_315.0, 838.0),
        (190, 13_290.0, 1_819.0),
    ];
    assert_rows(rows, exponential(Jitter::Grpc));
}
