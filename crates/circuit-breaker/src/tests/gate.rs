use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, advance};

use crate::{FailureRate, Rules, Verdict, Window, gate::Gate};

/// A thread reads its clock, is held up over the end of a step, and then asks with that time.
#[tokio::test(start_paused = true)]
async fn an_earlier_time_does_not_hide_what_came_later() {
    let window = Window::last_time(Duration::from_secs(1), 4).unwrap();
    let rules = Rules::new(FailureRate::new(0.25, window).unwrap());
    let gate = Gate::new(Arc::new(rules), 4, Instant::now());
    let call = |verdict| {
        let asked = || gate.ask(|machine| machine.admit(Instant::now())).0.ok();
        let pass = gate.pass().or_else(asked).expect("admitted");
        gate.settle(pass, verdict, None);
    };

    advance(Duration::from_millis(590)).await;
    let earlier = Instant::now();
    advance(Duration::from_millis(20)).await;
    call(Verdict::Success);
    call(Verdict::failure());
    gate.ask(|machine| machine.evaluate(1, earlier));
    call(Verdict::Success);
    call(Verdict::Success);
    assert!(!gate.word().passes(), "one of four failed");
}

/// Outside of a paused runtime the clock is behind what it was in it.
#[test]
fn a_circuit_that_is_used_again_counts_though_the_clock_has_gone_back() {
    let window = Window::last_time(Duration::from_millis(7_770), 3).unwrap();
    let rules = || Arc::new(Rules::new(FailureRate::new(0.5, window).unwrap()));
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let gate = Gate::new(rules(), 4, Instant::now());
    let succeed = || gate.settle(gate.pass().unwrap(), Verdict::Success, None);
    paused.block_on(async {
        for _ in 0..16 {
            advance(Duration::from_millis(777_000)).await;
            succeed();
        }
    });
    gate.retire();
    gate.begin(rules(), Instant::now());
    for _ in 0..3 {
        succeed();
    }
    let snapshot = gate.ask(|machine| machine.snapshot(Instant::now())).0;
    assert_eq!(snapshot.rules[0].calls, 3);
}
