use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::io::AsyncRead;
use tracing::Level;

use super::output::{Lines, Piece, Tail};

/// A line of a plugin's stderr, as a log entry.
#[derive(Debug, PartialEq)]
struct Entry<'a> {
    level: Level,
    message: Cow<'a, str>,
    module: Option<String>,
    fields: Map<String, Value>,
}

/// Forwards stderr to `tracing` until it ends, and keeps the last lines.
pub(crate) async fn forward_stderr(
    mut stderr: Lines<impl AsyncRead + Unpin>,
    plugin: Arc<str>,
    tail: Tail,
) {
    let mut panicked = false;
    loop {
        let (line, last) = match stderr.next().await {
            Ok(Piece::Line(line) | Piece::Part(line)) => (line, false),
            Ok(Piece::End(line)) => (line, true),
            Err(error) => {
                tracing::warn!(%plugin, error = &error as &dyn std::error::Error, "stderr lost");
                return;
            }
        };
        if !(last && line.is_empty()) {
            tail.push(&line);
            let mut entry = Entry::parse(&line);
            // In Go a panic ends the process: what follows is its trace and has no level.
            panicked |= line.starts_with("panic: ") || line.starts_with("fatal error: ");
            if panicked || is_rust_panic(&line) {
                entry.level = Level::ERROR;
            }
            entry.emit(&plugin);
        }
        if last {
            return;
        }
    }
}

/// Reads what a plugin prints after the handshake: a full pipe would stop it.
pub(crate) async fn forward_stdout(mut stdout: Lines<impl AsyncRead + Unpin>, plugin: Arc<str>) {
    while let Ok(piece) = stdout.next().await {
        match piece {
            Piece::Line(line) | Piece::Part(line) => {
                tracing::debug!(target: "mainstay_plugin::stdout", %plugin, "{line}");
            }
            Piece::End(line) => {
                if !line.is_empty() {
                    tracing::debug!(target: "mainstay_plugin::stdout", %plugin, "{line}");
                }
                return;
            }
        }
    }
}

impl<'a> Entry<'a> {
    /// hclog's JSON, or text with hclog's level in front, or any text.
    fn parse(line: &'a str) -> Self {
        Self::json(line).unwrap_or_else(|| {
            let (level, message) = leveled(line);
            Self {
                level,
                message: message.into(),
                module: None,
                fields: Map::new(),
            }
        })
    }

    fn json(line: &str) -> Option<Self> {
        if !line.starts_with('{') {
            return None;
        }
        let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let Value::String(message) = fields.remove("@message")? else {
            return None;
        };
        let mut text = |key| match fields.remove(key) {
            Some(Value::String(text)) => Some(text),
            other => other.map(|value| value.to_string()),
        };
        let level = text("@level").as_deref().and_then(level);
        let module = text("@module");
        // The time of the event here is as good, and a field of tracing's own.
        text("@timestamp");
        Some(Self {
            level: level.unwrap_or(Level::DEBUG),
            message: message.into(),
            module,
            fields,
        })
    }

    fn emit(&self, plugin: &str) {
        let Self {
            message,
            module,
            fields,
            ..
        } = self;
        let module = module.as_deref();
        let fields = (!fields.is_empty()).then(|| Value::Object(fields.clone()).to_string());
        // The level of an event is part of its call site, hence five of them.
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(target: "mainstay_plugin::stderr", $level, plugin, module, fields, "{message}")
            };
        }
        match self.level {
            Level::TRACE => emit!(Level::TRACE),
            Level::DEBUG => emit!(Level::DEBUG),
            Level::INFO => emit!(Level::INFO),
            Level::WARN => emit!(Level::WARN),
            Level::ERROR => emit!(Level::ERROR),
        }
    }
}

fn leveled(line: &str) -> (Level, &str) {
    line.strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(name, rest)| Some((level(name)?, rest.trim_start())))
        .unwrap_or((Level::DEBUG, line))
}

fn level(name: &str) -> Option<Level> {
    match name.trim().to_ascii_lowercase().as_str() {
        "trace" => Some(Level::TRACE),
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" => Some(Level::WARN),
        "error" => Some(Level::ERROR),
        _ => None,
    }
}

/// One thread's or task's: the lines behind it are again like any other.
fn is_rust_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

#[cfg(test)]
mod tests;
