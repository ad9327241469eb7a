//! What the log tells the person who reads it at night.

use std::{
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use mainstay_circuit_breaker::{Circuit, ConsecutiveFailures, OpenTime, Rules, Verdict};
use tracing::{Dispatch, dispatcher, subscriber::set_default};
use tracing_subscriber::fmt;

#[tokio::test(start_paused = true)]
async fn changes_are_told_at_info_and_refusals_at_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = set_default(subscriber);

    let open_time = OpenTime::new(Duration::from_secs(10), Duration::from_secs(60)).unwrap();
    let rules = Rules::new(ConsecutiveFailures::new(2).unwrap())
        .with_open_time(open_time.with_jitter(0.0).unwrap())
        .with_name("users");
    let circuit = Circuit::new(rules);
    for _ in 0..2 {
        circuit.admit().unwrap().settle(Verdict::failure());
    }
    circuit.admit().unwrap_err();
    tokio::time::advance(Duration::from_secs(10)).await;
    circuit.admit().unwrap().settle(Verdict::Success);
    circuit.force_open();
    circuit.admit().unwrap_err();
    circuit.disable();

    let expected = [
        r#" INFO circuit opened circuit="users" from=closed reason=2 failures in a row open_for=10s"#,
        r#"DEBUG call refused circuit="users" reason=2 failures in a row retry_after=10s"#,
        r#" INFO circuit half-open circuit="users" from=open reason=2 failures in a row"#,
        r#" INFO circuit closed circuit="users" from=half-open"#,
        r#" INFO circuit forced open circuit="users" from=closed"#,
        r#"DEBUG call refused circuit="users" reason=forced open"#,
        r#" INFO circuit disabled circuit="users" from=forced open"#,
    ];
    assert_eq!(log.lines(), expected);
}

/// The log is still being told of the first change when another thread makes the second.
#[test]
fn changes_that_follow_at_once_are_told_in_their_order() {
    let circuit = Circuit::new(Rules::new(ConsecutiveFailures::new(1).unwrap()));
    let (log, (opened, is_open)) = (Log::default(), mpsc::channel());
    let (is_reset, reset) = mpsc::channel();
    let (writer, other) = (log.clone(), circuit.clone());
    let gates = Mutex::new(Some((opened, reset)));
    let subscriber = fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || {
            let is_first = gates.lock().unwrap().take();
            if let Some((opened, reset)) = is_first {
                opened.send(()).unwrap();
                reset.recv().unwrap();
            }
            writer.clone()
        })
        .finish();
    let subscriber = Dispatch::new(subscriber);
    let resetting = thread::spawn({
        let subscriber = subscriber.clone();
        move || {
            is_open.recv().unwrap();
            dispatcher::with_default(&subscriber, || other.reset());
            is_reset.send(()).unwrap();
        }
    });
    dispatcher::with_default(&subscriber, || {
        circuit.admit().unwrap().settle(Verdict::failure());
    });
    resetting.join().unwrap();
    let lines = log.lines();
    assert!(lines[0].starts_with(" INFO circuit opened"), "{lines:?}");
    assert!(lines[1].starts_with(" INFO circuit closed"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn after_a_subscriber_has_panicked_the_log_is_told_again() {
    let circuit = Circuit::new(Rules::new(ConsecutiveFailures::new(1).unwrap()));
    let (log, panics) = (Log::default(), AtomicBool::new(true));
    let writer = log.clone();
    let subscriber = fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || {
            assert!(!panics.swap(false, Ordering::Relaxed), "as planned");
            writer.clone()
        })
        .finish();
    let _guard = set_default(subscriber);
    let forced = panic::catch_unwind(AssertUnwindSafe(|| circuit.force_open()));
    assert!(forced.is_err());
    circuit.reset();
    let lines = log.lines();
    assert_eq!(
        lines.last().unwrap(),
        " INFO circuit closed from=forced open"
    );
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
