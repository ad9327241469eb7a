//! Many threads at once.

use std::{
    pin::pin,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use mainstay_circuit_breaker::{Circuit, CircuitBreakerLayer, OpenTime, Verdict};
use tower::{Layer, Service};

use crate::{Answer, consecutive, fail, half_open};

/// Each cycle ends with a failed probe, which opens the circuit for a nanosecond: it is half-open
/// again when they all come for the next.
#[test]
fn no_cycle_admits_more_probes_than_permitted() {
    const THREADS: u32 = 64;
    const CYCLES: usize = 10_000;
    const PROBES: u32 = 3;

    let nanosecond = Duration::from_nanos(1);
    let open_time = OpenTime::new(nanosecond, nanosecond).unwrap();
    let rules = consecutive(1).with_open_time(open_time);
    let circuit = Circuit::new(rules.with_half_open(half_open(PROBES, PROBES)));
    let barrier = Barrier::new(THREADS as usize);
    let admitted: Vec<_> = (0..CYCLES).map(|_| AtomicU32::new(0)).collect();

    fail(&circuit, 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for admitted in &admitted {
                    barrier.wait();
                    let probe = circuit.admit().ok();
                    admitted.fetch_add(probe.is_some().into(), SeqCst);
                    barrier.wait();
                    if let Some(probe) = probe {
                        probe.settle(Verdict::failure());
                    }
                }
            });
        }
    });
    for admitted in admitted {
        assert_eq!(admitted.into_inner(), PROBES);
    }
    // Of the three failures of a cycle the first one decides.
    assert_eq!(circuit.snapshot().openings, 1 + CYCLES as u64);
    assert_eq!(circuit.snapshot().late, 2 * CYCLES as u64);
}

/// No refusal waits for anything, however many come at once.
#[test]
fn refusals_never_wait() {
    let circuit = Circuit::new(consecutive(1));
    circuit.force_open();
    let layer = CircuitBreakerLayer::new(circuit);
    thread::scope(|scope| {
        for _ in 0..8 {
            let mut service = layer.layer(tower::service_fn(async |_: ()| Answer::Ok("hello")));
            scope.spawn(move || {
                let mut cx = Context::from_waker(Waker::noop());
                for _ in 0..10_000 {
                    assert!(service.poll_ready(&mut cx).is_ready());
                    let response = pin!(service.call(()));
                    assert!(response.poll(&mut cx).is_ready());
                }
            });
        }
    });
}
