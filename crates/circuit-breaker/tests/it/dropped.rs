//! Calls that end without an answer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
    time::Duration,
};

use mainstay_circuit_breaker::{
    Circuit, CircuitBreakerLayer, HalfOpen, Rules, SlowCallRate, State, Window,
};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::{Answer, consecutive, fail, open_time, seconds, state, wait};

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_do_not_open_the_circuit() {
    let circuit = Circuit::new(consecutive(1));
    let service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::new(circuit.clone()))
        .service_fn(never);
    for _ in 0..100 {
        timeout(seconds(1), service.clone().oneshot(()))
            .await
            .unwrap_err();
    }
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_opens_a_circuit_that_looks_for_slow_calls() {
    let window = Window::last_calls(10, 5).unwrap();
    let rules = Rules::new(SlowCallRate::new(1.0, seconds(1), window).unwrap());
    let circuit = Circuit::new(rules);
    let service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::new(circuit.clone()))
        .service_fn(never);
    for _ in 0..5 {
        assert_eq!(state(&circuit), State::Closed);
        timeout(seconds(1), service.clone().oneshot(()))
            .await
            .unwrap_err();
    }
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_that_is_given_up_is_a_failure_too() {
    let window = Window::last_calls(10, 10).unwrap();
    let slow = SlowCallRate::new(1.0, seconds(1), window).unwrap();
    let circuit = Circuit::new(consecutive(2).or(slow));
    for held_for in [Duration::from_millis(999), seconds(1), seconds(2)] {
        assert_eq!(state(&circuit), State::Closed);
        let permit = circuit.admit().unwrap();
        wait(held_for).await;
        drop(permit);
    }
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_that_is_given_up_has_failed() {
    let window = Window::last_calls(10, 10).unwrap();
    let slow = SlowCallRate::new(1.0, seconds(1), window).unwrap();
    let circuit = Circuit::new(consecutive(1).or(slow));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let probe = circuit.admit().unwrap();
    wait(seconds(1)).await;
    drop(probe);
    assert_eq!(circuit.snapshot().openings, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_at_its_deadline_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer = CircuitBreakerLayer::new(circuit.clone())
        .with_deadline(|within: &Duration| Some(Instant::now() + *within));
    let service = layer.layer(tower::service_fn(async |_: Duration| -> Answer {
        std::future::pending().await
    }));

    let patient = service.clone().oneshot(seconds(3));
    timeout(seconds(2), patient).await.unwrap_err();
    assert_eq!(state(&circuit), State::Closed);

    let impatient = service.clone().oneshot(seconds(2));
    timeout(seconds(2), impatient).await.unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_far_away_is_not_passed() {
    let millis = Duration::from_millis(u64::MAX);
    for within in [Duration::from_nanos(u64::MAX), millis, seconds(1 << 60)] {
        let circuit = Circuit::new(consecutive(1));
        let layer = CircuitBreakerLayer::new(circuit.clone())
            .with_deadline(move |_: &()| Instant::now().checked_add(within));
        wait(seconds(5)).await;
        let call = layer.layer(tower::service_fn(never)).oneshot(());
        timeout(seconds(1), call).await.unwrap_err();
        assert_eq!(state(&circuit), State::Closed, "{within:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_after_its_deadline_is_judged_by_its_answer() {
    let circuit = Circuit::new(consecutive(1));
    let layer =
        CircuitBreakerLayer::new(circuit.clone()).with_deadline(|_: &()| Some(Instant::now()));
    let service = layer.layer(tower::service_fn(async |_: ()| {
        tokio::time::sleep(seconds(1)).await;
        Answer::Ok("hello")
    }));
    service.oneshot(()).await.unwrap();
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_call_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let mut service = layer.layer(tower::service_fn(|_: ()| -> std::future::Ready<Answer> {
        panic!("no answer")
    }));
    service.ready().await.unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(service.call(())))).unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_inner_readiness_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let mut service = layer.layer(PanicsWhenAsked(tower::service_fn(never)));
    let mut cx = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| service.poll_ready(&mut cx).is_ready())).unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_answer_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let service = layer.layer(tower::service_fn(async |_: ()| -> Answer {
        tokio::task::yield_now().await;
        panic!("no answer")
    }));
    tokio::spawn(service.oneshot(())).await.unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer =
        CircuitBreakerLayer::new(circuit.clone()).with_classify(|_: &Answer| panic!("no verdict"));
    let service = layer.layer(tower::service_fn(async |_: ()| Answer::Ok("hello")));
    tokio::spawn(service.oneshot(())).await.unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_another_call_in_the_same_task_is_not_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let service = layer.layer(tower::service_fn(never));
    let task = async move {
        let call = std::pin::pin!(service.oneshot(()));
        tokio::select! {
            biased;
            _ = call => {}
            () = async { panic!("another") } => {}
        }
    };
    tokio::spawn(task).await.unwrap_err();
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_dropped_by_a_panic_is_a_failure() {
    let circuit = Circuit::new(consecutive(1));
    catch_unwind(|| {
        let _permit = circuit.admit().unwrap();
        panic!("no answer")
    })
    .unwrap_err();
    assert_eq!(state(&circuit), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_is_cancelled_does_not_leave_the_circuit_half_open() {
    let half_open = HalfOpen::new(1, 1).unwrap();
    let circuit = Circuit::new(
        consecutive(1)
            .with_half_open(half_open)
            .with_open_time(open_time()),
    );
    let layer = CircuitBreakerLayer::new(circuit.clone());
    let service = layer.layer(tower::service_fn(never));
    fail(&circuit, 1);
    wait(seconds(10)).await;
    let probe = tokio::spawn(service.oneshot(()));
    tokio::task::yield_now().await;
    circuit.admit().unwrap_err();
    probe.abort();
    probe.await.unwrap_err();
    let _probe = circuit.admit().expect("the probe was given back");
}

struct PanicsWhenAsked<S>(S);

impl<S: Service<()>> Service<()> for PanicsWhenAsked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        panic!("not to be asked")
    }

    fn call(&mut self, (): ()) -> S::Future {
        self.0.call(())
    }
}

async fn never(_: ()) -> Answer {
    std::future::pending().await
}
