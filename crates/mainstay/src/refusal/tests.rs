use std::num::NonZeroU32;

use mainstay_circuit_breaker::{Circuit, ConsecutiveFailures, Rules, Verdict};

use super::*;
use crate::cause::is_caused_by;
use crate::deadline::Whose;
use crate::limit::ConcurrencyLimit;

fn told(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    status(&of(&*error), error)
}

#[test]
fn an_open_circuit_says_when_to_come_back() {
    let circuit = Circuit::new(Rules::new(ConsecutiveFailures::new(1).unwrap()).with_name("users"));
    circuit.admit().unwrap().settle(Verdict::failure());
    let status = told(circuit.admit().unwrap_err());
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("users"), "{status}");
    let pushback = status.metadata().get(PUSHBACK).unwrap().to_str().unwrap();
    assert!(
        (1..=5_000).contains(&pushback.parse().unwrap()),
        "{pushback}"
    );
    assert!(is_caused_by::<Open>(&status));

    circuit.force_open();
    let status = told(circuit.admit().unwrap_err());
    assert!(
        !status.metadata().contains_key(PUSHBACK),
        "nobody knows when"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_limit_is_the_callers_too_much() {
    let limit = ConcurrencyLimit::new(NonZeroU32::MIN);
    let slot = limit.enter().await.unwrap();
    let begun = tokio::time::Instant::now();
    let full = limit.enter().await.unwrap_err();
    assert_eq!(begun.elapsed(), full.waited());
    let status = told(full);
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(is_caused_by::<Full>(&status));
    drop(slot);
    limit.enter().await.expect("there is room again");
}

#[test]
fn an_expired_deadline_is_one() {
    let expired = Expired {
        whose: Whose::Call,
        within: Duration::from_secs(2),
    };
    let status = told(expired);
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(status.message(), "the call was not done within 2s");
    assert!(is_caused_by::<Expired>(&status));
}

/// With all that is known of why.
#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_is_unavailable() {
    use mainstay_conn_pool::{Connection, Limits, PoolLayer};
    use tower_layer::Layer as _;

    struct Never;
    impl Connection for Never {}
    let connector = tower::service_fn(async |()| Err::<Never, _>("no licence"));
    let layer = PoolLayer::new(Limits::new(NonZeroU32::MIN)).with_name("kv");
    let pool = layer.layer(connector);
    let mut service = pool.clone();
    let refused = tower_service::Service::call(&mut service, ()).await;
    let status = told(refused.err().unwrap());
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(
        status.message().starts_with("backend of kv is down"),
        "{status}"
    );
    assert!(status.message().ends_with(": no licence"), "{status}");
    assert!(status.metadata().contains_key(PUSHBACK));

    pool.close();
    let refused = tower_service::Service::call(&mut service, ()).await;
    let status = told(refused.err().unwrap());
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(is_caused_by::<Closed>(&status));
}

#[test]
fn a_refusal_is_found_however_deep_it_is() {
    let expired = Expired {
        whose: Whose::Attempt,
        within: Duration::from_secs(1),
    };
    let deep = tonic::ConnectError(tonic::ConnectError(expired.into()).into());
    assert_eq!(find(&deep).unwrap().code, Code::DeadlineExceeded);
    assert_eq!(find(&std::io::Error::other("plain")), None);
    assert_eq!(told("plain").code(), tonic::Code::Unavailable);
}

#[test]
fn nobody_is_told_to_come_back_too_early() {
    for (nanos, told) in [(0, "0"), (1, "1"), (1_000_000, "1"), (1_000_001, "2")] {
        let refusal = Refusal {
            code: Code::Unavailable,
            pushback: Some(Duration::from_nanos(nanos)),
        };
        let status = status(&refusal, "closed for now".into());
        assert_eq!(status.metadata().get(PUSHBACK).unwrap(), told);
    }
}
