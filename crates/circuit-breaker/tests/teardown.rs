//! Calls that end with their thread. Apart from other tests, since a clock that was ever paused in the
//! process cannot be read any more when a thread ends.

use std::{cell::RefCell, thread};

use mainstay_circuit_breaker::{Circuit, ConsecutiveFailures, Permit, Rules, State, Verdict};

/// A permit can outlive whatever else its thread has.
#[test]
fn a_circuit_can_open_while_a_thread_ends() {
    struct FailsAtTheEnd(Option<Permit>);

    impl Drop for FailsAtTheEnd {
        fn drop(&mut self) {
            self.0.take().unwrap().settle(Verdict::failure());
        }
    }

    thread_local! {
        static LAST: RefCell<Option<FailsAtTheEnd>> = const { RefCell::new(None) };
    }

    for uses_it_before in [false, true] {
        let circuit = Circuit::new(rules());
        let permit = circuit.admit().unwrap();
        let thread = thread::spawn(move || {
            LAST.set(Some(FailsAtTheEnd(Some(permit))));
            if uses_it_before {
                let other = Circuit::new(rules());
                other.admit().unwrap().settle(Verdict::failure());
            }
        });
        thread.join().unwrap();
        assert_eq!(circuit.state(), State::Open);
    }
}

fn rules() -> Rules {
    Rules::new(ConsecutiveFailures::new(1).unwrap())
}
