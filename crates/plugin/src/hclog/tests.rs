use std::sync::Arc;

use proptest::prelude::*;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// What was written, in the pieces in which it was.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<String>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8(bytes.to_owned()).unwrap();
        self.0.lock().unwrap().push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The entries that are logged.
fn logged(log: impl FnOnce()) -> Vec<Map<String, Value>> {
    let written = Written::default();
    let layer = HclogLayer::with_writer(written.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let lines = written.0.lock().unwrap();
    let parse = |line: &String| {
        let entry = line.strip_suffix('\n').unwrap();
        assert!(!entry.contains('\n') && line.len() <= LONGEST_LINE);
        serde_json::from_str(entry).unwrap()
    };
    lines.iter().map(parse).collect()
}

#[test]
fn an_event_is_a_line_as_hclog_writes_it() {
    let mut entries = logged(|| {
        tracing::warn!(target: "kv.store", bytes = 12, ratio = 0.5, full = false, path = "/x", "low on\nspace");
        tracing::trace!(target: "t", "nothing");
    });
    for entry in &mut entries {
        let Some(Value::String(timestamp)) = entry.remove("@timestamp") else {
            panic!("{entry:?}")
        };
        // 2006-01-02T15:04:05.000000Z
        let digits: String = timestamp
            .chars()
            .map(|it| if it.is_ascii_digit() { '0' } else { it })
            .collect();
        assert_eq!(digits, "0000-00-00T00:00:00.000000Z");
    }
    let entries: Vec<_> = entries
        .into_iter()
        .map(|it| Value::Object(it).to_string())
        .collect();
    assert_eq!(
        entries,
        [
            r#"{"@level":"warn","@message":"low on\nspace","@module":"kv.store","bytes":12,"full":false,"path":"/x","ratio":0.5}"#,
            r#"{"@level":"trace","@message":"nothing","@module":"t"}"#,
        ]
    );
}

#[test]
fn the_spans_of_an_event_tell_their_fields_and_the_inner_ones_win() {
    let entries = logged(|| {
        let outer = tracing::info_span!(
            "outer",
            request = 1,
            who = "outer",
            late = tracing::field::Empty
        );
        let _outer = outer.enter();
        outer.record("late", true);
        let _inner = tracing::info_span!("inner", who = "inner", what = "inner").entered();
        tracing::info!(what = "event", "done");
    });
    let [entry] = entries.try_into().unwrap();
    assert_eq!(entry["request"], 1);
    assert_eq!(entry["who"], "inner");
    assert_eq!(entry["what"], "event");
    assert_eq!(entry["late"], true);
}

/// Go hosts panic if one of these is not text.
#[test]
fn no_field_takes_the_place_of_a_protocol_key() {
    let entries = logged(|| {
        let _span = tracing::info_span!("span", "@level" = 5, "@timestamp" = false).entered();
        tracing::info!("@message" = 5, "@@level" = 1.5, "@module" = true, "said");
        tracing::info!("@message" = 5);
    });
    for (entry, message) in entries.iter().zip(["said", ""]) {
        assert_eq!(entry["@message"], message);
        assert_eq!(entry["@level"], "info");
        assert!(entry["@module"].is_string() && entry["@timestamp"].is_string());
        assert_eq!(entry["message"], 5);
    }
    assert_eq!(entries[0]["level"], 1.5);
}

#[test]
fn values_that_json_does_not_know_are_text() {
    let error: Box<dyn std::error::Error> = "no route".into();
    let entries = logged(|| {
        tracing::info!(
            nan = f64::NAN,
            endless = f64::INFINITY,
            big = u128::MAX,
            debug = ?(1, "x"),
            error = &*error as &dyn std::error::Error,
        );
    });
    let text = [
        ("nan", "NaN"),
        ("endless", "inf"),
        ("big", "340282366920938463463374607431768211455"),
        ("debug", r#"(1, "x")"#),
        ("error", "no route"),
    ];
    for (name, value) in text {
        assert_eq!(entries[0][name], value);
    }
}

#[test]
fn what_hosts_would_tear_is_shortened() {
    let entries = logged(|| {
        tracing::info!(payload = "\u{1}".repeat(20_000), "small");
        tracing::info!("{}", "ä".repeat(40_000));
        tracing::info!("{}", "\u{1}".repeat(40_000));
    });
    assert_eq!(entries.len(), 3);
    for entry in &entries {
        assert_eq!(entry["truncated"], true);
        assert!(!entry.contains_key("payload"));
    }
    assert_eq!(entries[0]["@message"], "small");
    assert_eq!(entries[1]["@message"], "ä".repeat(4096));
}

proptest! {
    #[test]
    fn any_text_makes_one_line_that_can_be_read(message in any::<String>(), value in any::<String>()) {
        let entries = logged(|| tracing::info!(value, "{message}"));
        prop_assert_eq!(entries.len(), 1);
        prop_assert_eq!(&entries[0]["@message"], &Value::from(message));
        prop_assert_eq!(&entries[0]["value"], &Value::from(value));
    }
}

#[test]
fn what_cannot_be_written_is_no_panic() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let layer = HclogLayer::with_writer(Broken);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || tracing::error!("lost"));
}
