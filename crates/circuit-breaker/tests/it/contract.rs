//! What tower asks of every service.

use mainstay_circuit_breaker::{
    Changes, Circuit, CircuitBreaker, CircuitBreakerLayer, Circuits, KeyedCircuitBreaker, Open,
    Permit, State, future::ResponseFuture,
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_test::{assert_request_eq, mock};

use crate::{Answer, consecutive, fail, open_of, seconds, state, succeed, wait};

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<Circuit>();
    check::<Changes>();
    check::<Circuits<String>>();
    check::<CircuitBreakerLayer>();
    check::<CircuitBreaker<()>>();
    check::<KeyedCircuitBreaker<(), String, fn(&()) -> String>>();
    check::<ResponseFuture<std::future::Ready<Answer>, ()>>();
    check::<Permit>();
    check::<Open>();
}

#[tokio::test(start_paused = true)]
async fn forwards_readiness() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    let mut response = task::spawn(service.call(()));
    assert_request_eq!(handle, ()).send_response("hello");
    assert_eq!(assert_ready_ok!(response.poll()), "hello");
    assert_pending!(service.poll_ready());

    handle.send_error("gone");
    assert_eq!(assert_ready_err!(service.poll_ready()).to_string(), "gone");
}

/// A mock panics if it is called before it was polled to readiness.
#[tokio::test(start_paused = true)]
async fn calls_only_what_it_readied() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, mut handle) = mock::spawn_layer::<(), &str, _>(layer);
    assert_ready_ok!(service.poll_ready());
    let mut clone = service.get_ref().clone();
    drop(service);

    // Ready to refuse, and then the circuit closes: the inner service is not ready for that.
    circuit.force_open();
    clone.ready().await.unwrap();
    circuit.reset();
    open_of(clone.call(()).await);

    clone.ready().await.unwrap();
    let mut response = task::spawn(clone.call(()));
    assert_pending!(response.poll());
    assert_request_eq!(handle, ()).send_response("hello");
    assert_ready_ok!(response.poll());
}

#[tokio::test(start_paused = true)]
#[should_panic = "poll_ready must be called first"]
async fn a_clone_is_not_ready() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let mut service = layer.layer(tower::service_fn(async |_: ()| Answer::Ok("hello")));
    service.ready().await.unwrap();
    drop(service.clone().call(()));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_no_trace() {
    let layer = CircuitBreakerLayer::new(consecutive(1));
    let circuit = layer.circuit().clone();
    let (mut service, _handle) = mock::spawn_layer::<(), &str, _>(layer);

    // In the closed circuit.
    let before = circuit.snapshot();
    for polls in 0..3 {
        give_up(&mut service, polls);
        assert_eq!(circuit.snapshot(), before);
    }
    // And in the half-open one.
    fail(&circuit, 1);
    wait(seconds(10)).await;
    drop(circuit.admit().unwrap());
    let before = circuit.snapshot();
    for polls in 0..3 {
        give_up(&mut service, polls);
        assert_eq!(circuit.snapshot(), before);
    }
    succeed(&circuit, 1);
    assert_eq!(state(&circuit), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_and_their_clones_share_the_circuit() {
    let layer = CircuitBreakerLayer::new(consecutive(3));
    let failing = || tower::service_fn(async |_: ()| Err::<(), _>("gone"));
    let one = layer.layer(failing());
    let other = layer.clone().layer(failing());
    for service in [one.clone(), one.clone(), other.clone()] {
        let error = service.oneshot(()).await.unwrap_err();
        assert_eq!(error.to_string(), "gone");
    }
    open_of(one.oneshot(()).await);
    open_of(other.oneshot(()).await);
}

#[tokio::test(start_paused = true)]
async fn stacks_upon_itself_and_upon_other_layers() {
    let layer = || CircuitBreakerLayer::new(consecutive(1));
    let service = ServiceBuilder::new()
        .layer(layer())
        .boxed_clone()
        .layer(layer())
        .service_fn(async |_: ()| Err::<(), _>("gone"));
    let error = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
    open_of(service.oneshot(()).await);
}

/// Makes a call, polls it so many times, and drops it.
fn give_up<R, S>(service: &mut mock::Spawn<CircuitBreaker<S>>, polls: u32)
where
    S: Service<(), Response = R>,
    S::Error: Into<tower::BoxError>,
{
    assert_ready_ok!(service.poll_ready());
    let mut response = task::spawn(service.call(()));
    for _ in 0..polls {
        assert!(response.poll().is_pending());
    }
}
