use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::task::coop::consume_budget;

/// As upstream: the longest line that is read in one piece.
pub(crate) const LONGEST_LINE: u64 = 64 * 1024;

/// Enough to see a panic with its message, or an error with its causes.
const LINES_KEPT: usize = 20;
const LENGTH_KEPT: usize = 512;

/// Lines of a process's output, or pieces of lines that are too long.
#[derive(Debug)]
pub(crate) struct Lines<R = Receiver> {
    reader: BufReader<R>,
    begun: Vec<u8>,
}

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
        Ok(Self::over(Receiver::from_owned_fd(pipe)?))
    }
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn over(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
            begun: Vec::new(),
        }
    }

    /// Cancel safe: what was read of a piece is kept for the next call.
    pub(crate) async fn next(&mut self) -> io::Result<Piece> {
        // Thousands of short lines come of one read, and tokio counts reads: without this, a plugin
        // that floods its stderr would have the thread to itself for seconds.
        consume_budget().await;
        let room = LONGEST_LINE.saturating_sub(self.begun.len() as u64);
        let mut bounded = (&mut self.reader).take(room);
        bounded.read_until(b'\n', &mut self.begun).await?;
        let reached_bound = bounded.limit() == 0;
        let bytes = std::mem::take(&mut self.begun);
        Ok(match bytes.strip_suffix(b"\n") {
            Some(line) => Piece::Line(text(line)),
            None if reached_bound => Piece::Part(text(&bytes)),
            None => Piece::End(text(&bytes)),
        })
    }

    /// What was read of a piece that has no end yet.
    pub(crate) fn begun(&self) -> String {
        text(&self.begun)
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

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\r').to_owned()
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
