use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::serve::Stderr;

/// Upstream's hosts take lines of less than 64 KiB for one entry; this leaves room for what they add.
const LONGEST_LINE: usize = 60 * 1024;

/// What is kept of the message of an entry that is too long, in bytes; escaped it may be six times that.
const MESSAGE_KEPT: usize = 8 * 1024;

/// Writes events as lines of hclog's JSON, for a host to put into its own log with level and fields.
///
/// A line has `@message`, `@level`, `@module` (the event's target), `@timestamp`, the fields of the spans
/// that the event is in, the inner ones last, and its own, which win. These four are always text, and
/// fields whose names begin with `@` lose that, since Go hosts panic on an `@level` of another type.
/// An entry of more than 60 KiB, which Go hosts would tear, loses its fields and the end of its message,
/// and has `truncated`.
///
/// What cannot be written, because the host is gone, is lost without a word.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let subscriber = tracing_subscriber::registry().with(mainstay_plugin::HclogLayer::new());
/// # tracing::subscriber::with_default(subscriber, || tracing::info!(port = 1, "ready"));
/// ```
pub struct HclogLayer(Mutex<Box<dyn Write + Send>>);

/// Fields as JSON, also as what is kept with a span.
#[derive(Debug, Default)]
struct Fields {
    message: Option<String>,
    others: Map<String, Value>,
}

impl HclogLayer {
    /// Writes to the process's own [`Stderr`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_writer(Stderr)
    }

    /// Writes elsewhere, a line at a time.
    #[must_use]
    pub fn with_writer(writer: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(writer)))
    }
}

impl Default for HclogLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HclogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HclogLayer").finish_non_exhaustive()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HclogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut entry = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                entry.extend(fields.others.clone());
            }
        }
        entry.append(&mut own.others);
        let message = own.message.unwrap_or_default();
        let line = line(event, &message, entry);
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody may read it any more, and that is no reason to panic.
        let _ = writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush());
    }
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        let name = field.name();
        // How the `log` crate's records say where they come from.
        if name.starts_with("log.") {
            return;
        }
        self.others
            .insert(name.trim_start_matches('@').to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            self.insert(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = Some(value.to_owned());
        } else {
            self.insert(field, value.into());
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for those that are not finite.
        let number = serde_json::Number::from_f64(value);
        self.insert(
            field,
            number.map_or_else(|| value.to_string().into(), Value::Number),
        );
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.insert(field, text.into());
    }
}

fn line(event: &Event<'_>, message: &str, mut entry: Map<String, Value>) -> String {
    let metadata = event.metadata();
    let level = match *metadata.level() {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    };
    let mut timestamp = String::new();
    // It is UTC with microseconds, as hclog's; a String takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let protocol = |message: &str| {
        [
            ("@level", level.to_owned()),
            ("@message", message.to_owned()),
            ("@module", metadata.target().to_owned()),
            ("@timestamp", timestamp.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
    };
    entry.extend(protocol(message));
    let line = Value::Object(entry).to_string() + "\n";
    if line.len() <= LONGEST_LINE {
        return line;
    }
    let kept = message.char_indices().map(|(at, it)| at + it.len_utf8());
    let end = kept
        .take_while(|end| *end <= MESSAGE_KEPT)
        .last()
        .unwrap_or(0);
    let mut entry: Map<_, _> = protocol(&message[..end]).into_iter().collect();
    entry.insert("truncated".to_owned(), true.into());
    Value::Object(entry).to_string() + "\n"
}

#[cfg(test)]
mod tests;
