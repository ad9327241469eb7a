use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::chunks::Chunks;
use super::memory::{Memory, Share};
use super::replay::Replay;

/// The body of a caller's request, which is recorded while it is sent, so that it can be sent again.
///
/// It is owned by the call, and gives a [`Replay`] to each attempt. Only the last of them reads on;
/// those before fail at their next poll, for which they are woken, and so reset their stream. What
/// was read is kept up to a limit, and until [`commit`](Self::commit).
///
/// Dropped without that, it takes the body away from the last attempt too, and drops it.
#[derive(Debug)]
pub(crate) struct Recorder {
    tape: Arc<Tape>,
    committed: bool,
}

/// What a [`Recorder`] and its [`Replay`]s share.
///
/// The source is the caller's: it is taken out to be polled, and dropped, without the lock, as is
/// whatever else could run code of others.
#[derive(Debug)]
pub(super) struct Tape(Mutex<State>);

#[derive(Debug)]
struct State {
    source: Source,
    end: Option<End>,
    /// All chunks so far while recording; else those that the present attempt has yet to read.
    chunks: Chunks,
    /// How many of them the present attempt has read.
    read: usize,
    /// What the chunks take of the memory for all calls, while recording.
    share: Share,
    limit: usize,
    recording: bool,
    /// Which attempt may read: the one that has the same number.
    epoch: u64,
    /// Whether the present attempt's body was polled, or had no need to be.
    polled: bool,
    /// The present attempt, where it waits.
    waiting: Option<Waker>,
}

#[derive(Debug)]
enum Source {
    /// To be polled by the next who needs more of it; fresh if it gave nothing yet.
    Idle { body: Body, fresh: bool },
    /// A reader is polling it at this moment.
    Lent,
    /// It has ended, or nobody is interested any more.
    Gone,
}

/// How the source ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Complete,
    Trailers(HeaderMap),
    Failed(Status),
}

/// What is there for a reader.
#[derive(Debug)]
pub(super) enum Next<'a> {
    Chunk {
        chunk: Bytes,
        last: bool,
    },
    End(End),
    /// More must be read from the source, and given back.
    Source(Loan<'a>),
    /// Somebody else, who is of an earlier attempt, is polling the source.
    Busy,
    Superseded,
}

/// The source, in the hands of a reader.
#[derive(Debug)]
pub(super) struct Loan<'a> {
    tape: &'a Tape,
    body: Option<Body>,
    pub(super) fresh: bool,
}

/// What a reader got from the source.
#[derive(Debug, Default)]
pub(super) struct Pulled {
    pub(super) chunks: Chunks,
    pub(super) end: Option<End>,
}

impl Recorder {
    /// Records at most `limit` bytes, what it takes to keep them included, and no more than there is
    /// left of the `memory` for all calls.
    pub(crate) fn new(body: Body, limit: usize, memory: &Memory) -> Self {
        let complete = body.is_end_stream();
        let state = State {
            source: if complete {
                Source::Gone
            } else {
                Source::Idle { body, fresh: true }
            },
            end: complete.then_some(End::Complete),
            chunks: Chunks::default(),
            read: 0,
            share: memory.share(),
            limit,
            recording: true,
            epoch: 0,
            polled: complete,
            waiting: None,
        };
        Self {
            tape: Arc::new(Tape(Mutex::new(state))),
            committed: false,
        }
    }

    /// The body for another attempt, which puts an end to the one before; none if what was read is
    /// not all there any more.
    pub(crate) fn attempt(&mut self) -> Option<Replay> {
        let mut state = self.tape.lock();
        if !state.recording {
            return None;
        }
        let waiting = state.supersede();
        state.read = 0;
        state.polled = state.is_empty();
        let replay = Replay::new(Arc::clone(&self.tape), state.epoch, state.is_empty());
        drop(state);
        wake(waiting);
        Some(replay)
    }

    /// Whether [`attempt`](Self::attempt) would give another.
    pub(crate) fn can_replay(&self) -> bool {
        self.tape.lock().recording
    }

    /// Takes the body away from the present attempt, and says whether that ever asked for it.
    ///
    /// If not, nothing of it was sent, nor will be. An empty body counts as asked for: nobody needs
    /// to.
    pub(crate) fn withdraw(&mut self) -> bool {
        let mut state = self.tape.lock();
        let waiting = state.supersede();
        let polled = state.polled;
        drop(state);
        wake(waiting);
        polled
    }

    /// The status that the body ended with, if it failed. No attempt can do better.
    pub(crate) fn failure(&self) -> Option<Status> {
        match &self.tape.lock().end {
            Some(End::Failed(status)) => Some(status.clone()),
            _ => None,
        }
    }

    /// There will be no other attempt: the present one reads on, and nothing is kept.
    pub(crate) fn commit(mut self) {
        self.committed = true;
        let forgotten = self.tape.lock().stop_recording();
        drop(forgotten);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut state = self.tape.lock();
        let waiting = state.supersede();
        state.recording = false;
        state.share.give_back();
        let source = match state.source {
            Source::Idle { .. } => mem::replace(&mut state.source, Source::Gone),
            Source::Lent | Source::Gone => Source::Gone,
        };
        let chunks = mem::take(&mut state.chunks);
        drop(state);
        wake(waiting);
        drop((source, chunks));
    }
}

impl Tape {
    /// A panic leaves nothing half done: none can happen while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the attempt of this `epoch` reads next.
    pub(super) fn next(&self, epoch: u64, waker: &Waker) -> Next<'_> {
        let mut state = self.lock();
        if state.epoch != epoch {
            return Next::Superseded;
        }
        state.polled = true;
        if let Some(next) = state.read() {
            return next;
        }
        match mem::replace(&mut state.source, Source::Lent) {
            Source::Idle { body, fresh } => Next::Source(Loan {
                tape: self,
                body: Some(body),
                fresh,
            }),
            Source::Lent => {
                drop(state);
                self.wait(epoch, waker)
            }
            Source::Gone => {
                state.source = Source::Gone;
                // Only what is superseded finds no source and no end.
                Next::Superseded
            }
        }
    }

    /// Wait for the source to come back, unless it just did.
    fn wait(&self, epoch: u64, waker: &Waker) -> Next<'_> {
        let waker = waker.clone();
        let mut state = self.lock();
        let before = if state.epoch != epoch {
            drop(state);
            return Next::Superseded;
        } else if matches!(state.source, Source::Lent) {
            state.waiting.replace(waker)
        } else {
            drop(state);
            waker.wake();
            return Next::Busy;
        };
        drop(state);
        drop(before);
        Next::Busy
    }

    /// Takes back a source that had nothing, and says whether the attempt may wait for it; `waker` is
    /// told when it is superseded.
    pub(super) fn gives_nothing(&self, epoch: u64, mut loan: Loan<'_>, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.lock();
        if let Some(body) = loan.body.take() {
            state.source = Source::Idle {
                body,
                fresh: loan.fresh,
            };
        }
        if state.epoch == epoch {
            let before = state.waiting.replace(waker);
            drop(state);
            drop(before);
            return true;
        }
        // A later attempt that waits must poll for itself: the source knows our waker only.
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
        false
    }

    /// Takes back a source, with what it gave, and says what the attempt of this `epoch` reads next.
    pub(super) fn gives(&self, epoch: u64, mut loan: Loan<'_>, mut pulled: Pulled) -> Next<'_> {
        let body = loan.body.take();
        let mut state = self.lock();
        let mut forgotten = None;
        while let Some(chunk) = pulled.chunks.pop() {
            forgotten = state.append(chunk).or(forgotten);
        }
        state.end = pulled.end;
        let (source, unwanted) = match body {
            Some(body) if state.end.is_none() => (Source::Idle { body, fresh: false }, None),
            ended => (Source::Gone, ended),
        };
        state.source = source;
        let (next, waiting) = if state.epoch == epoch {
            (state.read(), None)
        } else {
            (None, state.waiting.take())
        };
        drop(state);
        wake(waiting);
        drop((forgotten, unwanted));
        next.unwrap_or(Next::Superseded)
    }
}

impl State {
    /// Nobody reads any more, until the next attempt.
    fn supersede(&mut self) -> Option<Waker> {
        self.epoch += 1;
        self.waiting.take()
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && matches!(self.end, Some(End::Complete))
    }

    /// What is there already.
    fn read(&mut self) -> Option<Next<'static>> {
        let chunk = if self.recording {
            self.chunks.get(self.read).cloned()
        } else {
            self.chunks.pop()
        };
        if let Some(chunk) = chunk {
            self.read += usize::from(self.recording);
            let last = self.read == self.chunks.len() && matches!(self.end, Some(End::Complete));
            return Some(Next::Chunk { chunk, last });
        }
        self.end.clone().map(Next::End)
    }

    /// Gives back what is forgotten because of it.
    fn append(&mut self, chunk: Bytes) -> Option<Chunks> {
        let mut forgotten = None;
        if self.recording {
            let size = size(&chunk);
            let fits = self.share.size().saturating_add(size) <= self.limit;
            if !fits || !self.share.grow(size) {
                forgotten = Some(self.stop_recording());
            }
        }
        self.chunks.push(chunk);
        forgotten
    }

    fn stop_recording(&mut self) -> Chunks {
        self.recording = false;
        self.share.give_back();
        self.chunks.split_off_front(mem::take(&mut self.read))
    }
}

impl Loan<'_> {
    pub(super) fn body(&mut self) -> Pin<&mut Body> {
        let body = self.body.as_mut();
        Pin::new(body.expect("only who gives the loan back takes it out"))
    }
}

impl Drop for Loan<'_> {
    /// It was not given back, so it panicked, and is not to be polled again.
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let mut state = self.tape.lock();
        state.source = Source::Gone;
        state.end = Some(End::Failed(Status::internal("the request body panicked")));
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
        drop(body);
    }
}

const fn size(chunk: &Bytes) -> usize {
    chunk.len().saturating_add(size_of::<Bytes>())
}

fn wake(waiting: Option<Waker>) {
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
