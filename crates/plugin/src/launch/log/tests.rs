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

proptest! {
    #[test]
    fn no_line_makes_it_panic(line: String, json in "[{}\\[\\]\":,@a-z0-9]{0,60}") {
        let _ = entry(&line);
        let _ = entry(&format!("{{{json}"));
    }
}
