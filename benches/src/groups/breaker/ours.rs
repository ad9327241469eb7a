//! Our own rows.

use std::time::Duration;

use mainstay_circuit_breaker::{
    CircuitBreakerLayer, Circuits, ConsecutiveFailures, FailureRate, KeyLimits,
    KeyedCircuitBreakerLayer, Open, OpenTime, Rule, Rules, SlowCallRate, Window,
};
use tower::{Layer, Service};

use super::{FAILURES, OPEN_FOR, trip};
use crate::{
    backend::Backend,
    group::{Role::Ours, Row},
};

/// Longer than any call, and long enough for a thousand steps of a run.
const MINUTE: Duration = Duration::from_secs(60);

/// Closed circuits over `Backend<ONE_IN>`, which none of their rules may open.
pub(super) fn closed<const ONE_IN: u64>() -> Vec<Row> {
    let last_calls = Window::last_calls(100, 10).expect("10 of 100");
    let last_time = Window::last_time(MINUTE, 10).expect("a minute");
    let calls_failed = FailureRate::new(0.5, last_calls).expect("a half");
    let time_failed = FailureRate::new(0.5, last_time).expect("a half");
    let slow = SlowCallRate::new(0.5, MINUTE, last_time).expect("a half");
    vec![
        row::<ONE_IN>("mainstay, consecutive", consecutive()),
        row::<ONE_IN>("mainstay, last calls", calls_failed.into()),
        row::<ONE_IN>("mainstay, last time", time_failed.into()),
        row::<ONE_IN>("mainstay, slow calls", slow.into()),
        Row::service("mainstay, of 10,000 keys", Ours, || {
            let limits = KeyLimits::new(20_000, MINUTE).expect("two and more");
            let circuits = Circuits::new(Rules::new(consecutive()), limits);
            KeyedCircuitBreakerLayer::new(circuits, |request: &u64| request % 10_000)
                .layer(Backend::<ONE_IN>)
        }),
    ]
}

/// Circuits over `Backend<1>` that are open for an hour: `trip` opens them, and sees that they are.
pub(super) fn open() -> Vec<Row> {
    vec![Row::service("mainstay", Ours, || {
        let open_time = OpenTime::new(OPEN_FOR, OPEN_FOR).expect("an hour");
        let rules = Rules::new(consecutive()).with_open_time(open_time);
        let mut service = CircuitBreakerLayer::new(rules).layer(Backend::<1>);
        trip(
            |request, driver| {
                assert!(driver.ready(&mut service), "it is ready to refuse");
                driver.run(service.call(request))
            },
            |error| error.is::<Open>(),
        );
        service
    })]
}

fn consecutive() -> Rule {
    let rule = ConsecutiveFailures::new(FAILURES as u32);
    rule.expect("not zero").into()
}

fn row<const ONE_IN: u64>(name: &'static str, rule: Rule) -> Row {
    Row::service(name, Ours, move || {
        CircuitBreakerLayer::new(Rules::new(rule)).layer(Backend::<ONE_IN>)
    })
}
