use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;

use super::*;

fn entry(line: &str) -> (Level, String) {
    let entry = Entry::parse(line);
    (entry.level, entry.message.into_owned())
}

#[test]
fn a_line_of_hclogs_json_is_understood() {
    let line = r#"{"@level":"warn","@message":"plugin address","@module":"kv.store","@timestamp":"2026-11-22T05:16:04.287039Z","address":"/tmp/plugin426022732","tries":3}"#;
    let entry = Entry::parse(line);
    assert_eq!(entry.level, Level::WARN);
    assert_eq!(entry.message, "plugin address");
    assert_eq!(entry.module.as_deref(), Some("kv.store"));
    let fields = Value::Object(entry.fields).to_string();
    assert_eq!(fields, r#"{"address":"/tmp/plugin426022732","tries":3}"#);
}

#[test]
fn text_has_the_level_in_front_or_is_debug() {
    assert_eq!(entry("[INFO]  ready"), (Level::INFO, "ready".into()));
    assert_eq!(entry("[ERROR] no"), (Level::ERROR, "no".into()));
    assert_eq!(entry("[WARN] [x] y"), (Level::WARN, "[x] y".into()));
    assert_eq!(entry("[oh] no"), (Level::DEBUG, "[oh] no".into()));
    assert_eq!(entry("plain"), (Level::DEBUG, "plain".into()));
    assert_eq!(entry(""), (Level::DEBUG, String::new()));
}

#[test]
fn json_that_is_no_log_entry_is_text() {
    for line in [
        r#"{"message":"x"}"#,
        r#"{"@message":7,"@level":"info"}"#,
        r#"{"@message":"cut"#,
        "{}",
        "[1,2]",
    ] {
        assert_eq!(entry(line), (Level::DEBUG, line.into()));
    }
    // Upstream's hosts panic on a level or a time that is no text.
    let strange = r#"{"@message":"m","@level":3,"@timestamp":{"a":1}}"#;
    assert_eq!(entry(strange), (Level::DEBUG, "m".into()));
}

#[test]
fn a_panic_of_rust_is_recognised_with_and_without_the_threads_number() {
    assert!(is_rust_panic("thread 'main' panicked at src/main.rs:1:1:"));
    assert!(is_rust_panic(
        "thread 'tokio-rt-worker' (17) panicked at src/main.rs:1:1:"
    ));
    assert!(!is_rust_panic("thread 'main' is fine"));
}

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The events that come of these lines of stderr, and the tail.
fn forwarded(stderr: &str) -> (Vec<String>, Tail) {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let (reader, mut pipe) = io::pipe().unwrap();
    pipe.write_all(stderr.as_bytes()).unwrap();
    drop(pipe);
    let tail = Tail::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let lines = Lines::new(OwnedFd::from(reader)).unwrap();
            forward_stderr(lines, "kv".into(), tail.clone()).await;
        });
    });
    let written = written.0.lock().unwrap_or_else(PoisonError::into_inner);
    let events = String::from_utf8(written.clone()).unwrap();
    let events = events.lines().map(|line| line.trim().to_owned()).collect();
    (events, tail)
}

#[test]
fn lines_become_events_in_their_level_with_the_plugins_name_and_their_fields() {
    let (events, tail) = forwarded(concat!(
        "[WARN] low on memory\n",
        r#"{"@level":"info","@message":"ready","@module":"kv.store","port":7}"#,
        "\nplain, and the last",
    ));
    assert_eq!(
        events,
        [
            r#"WARN mainstay_plugin::stderr: low on memory plugin="kv""#,
            concat!(
                r#"INFO mainstay_plugin::stderr: ready plugin="kv" module="kv.store" "#,
                r#"fields="{\"port\":7}""#
            ),
            r#"DEBUG mainstay_plugin::stderr: plain, and the last plugin="kv""#,
        ]
    );
    assert_eq!(tail.lines().len(), 3);
}

#[test]
fn the_trace_behind_a_panic_of_go_is_an_error_and_the_lines_behind_one_of_rust_are_not() {
    let levels = |stderr: &str| {
        let (events, _) = forwarded(stderr);
        let level = |event: String| event.split(' ').next().unwrap().to_owned();
        events.into_iter().map(level).collect::<Vec<_>>()
    };
    let go = "before\npanic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n";
    assert_eq!(levels(go), ["DEBUG", "ERROR", "ERROR", "ERROR", "ERROR"]);
    let rust = "thread 'main' (7) panicked at src/main.rs:1:1:\nbehind\n";
    assert_eq!(levels(rust), ["ERROR", "DEBUG"]);
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(line: String, json in "[{}\\[\\]\":,@a-z0-9]{0,60}") {
        let _ = entry(&line);
        let _ = entry(&format!("{{{json}"));
    }
}
