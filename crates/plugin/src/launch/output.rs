use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;

/// As upstream: the longest line that is read in one piece.
pub(crate) const LONGEST_LINE: u64 = 64 * 1024;

/// Enough to see a panic with its message, or an error with its causes.
const LINES_KEPT: usize = 20;
const LENGTH_KEPT: usize = 512;

/// Lines of a process's output, or pieces of lines that are too long.
#[derive(Debug)]
pub(crate) struct Lines(BufReader<Receiver>);

/// The last lines that a plugin wrote to stderr, for errors; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

/// What was read up to a line's end, the bound, or the end of the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Line(String),
    /// No end of a line within [`LONGEST_LINE`].
    Part(String),
    /// The last piece, without an end of line; empty if the output ended cleanly.
    End(String),
}

impl Lines {
    /// # Panics
    /// Outside a tokio runtime with IO.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self(BufReader::new(Receiver::from_owned_fd(pipe)?)))
    }

    /// Not cancel safe: what was read of a piece is lost with the future.
    pub(crate) async fn next(&mut self) -> io::Result<Piece> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.0).take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut bytes).await?;
        let reached_bound = bounded.limit() == 0;
        let line = bytes.strip_suffix(b"\n");
        let is_line = line.is_some();
        let text = String::from_utf8_lossy(line.unwrap_or(&bytes));
        let text = text.trim_end_matches('\r').to_owned();
        Ok(match (is_line, reached_bound) {
            (true, _) => Piece::Line(text),
            (false, true) => Piece::Part(text),
            (false, false) => Piece::End(text),
        })
    }
}

impl Tail {
    pub(crate) fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(shortened(line));
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// The beginning of a long line, for people.
pub(crate) fn shortened(line: &str) -> String {
    match line.char_indices().nth(LENGTH_KEPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
