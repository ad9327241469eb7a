use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use http_body::Frame;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};

use super::super::replay::Superseded;
use super::*;

const PLENTY: usize = 1 << 20;

#[test]
fn the_end_goes_out_with_the_only_chunk() {
    let (feed, mut recorder) = recorder(PLENTY);
    feed.data("a");
    feed.end();
    for _ in 0..2 {
        let mut replay = recorder.attempt().unwrap();
        assert!(!replay.is_end_stream(), "tonic would take it for empty");
        assert_eq!(data(poll(&mut replay)), "a");
        assert!(replay.is_end_stream());
        assert!(assert_ready!(poll(&mut replay)).is_none());
    }
}

#[test]
fn the_end_that_the_source_knows_goes_out_with_any_chunk() {
    let body = http_body_util::StreamBody::new(tokio_stream::iter([Ok::<_, Infallible>(
        Frame::data(Bytes::from_static(b"a")),
    )]));
    let body = Full {
        inner: body.map_err(|never| match never {}).boxed_unsync(),
        left: 1,
    };
    let mut recorder = Recorder::new(Body::new(body), PLENTY, &Memory::new(usize::MAX));
    let mut replay = recorder.attempt().unwrap();
    assert_eq!(data(poll(&mut replay)), "a");
    assert!(replay.is_end_stream());
}

#[test]
fn a_stream_is_read_ahead_by_one_chunk_and_once() {
    let (feed, mut recorder) = recorder(PLENTY);
    for chunk in ["a", "b", "c", "d"] {
        feed.data(chunk);
    }
    let mut replay = recorder.attempt().unwrap();
    let polls = ["a", "b", "c", "d"].map(|chunk| {
        assert_eq!(data(poll(&mut replay)), chunk);
        feed.polls()
    });
    assert_eq!(polls, [2, 2, 3, 4]);
}

#[test]
fn a_chunk_does_not_wait_for_the_next() {
    let (feed, mut recorder) = recorder(PLENTY);
    let mut replay = recorder.attempt().unwrap();
    assert_pending!(poll(&mut replay));
    feed.data("a");
    assert_eq!(data(poll(&mut replay)), "a");
    assert!(!replay.is_end_stream());
    assert_pending!(poll(&mut replay));
    feed.end();
    assert!(assert_ready!(poll(&mut replay)).is_none());
    assert!(replay.is_end_stream());
}

#[test]
fn an_attempt_reads_what_was_recorded_and_then_on() {
    let (feed, mut recorder) = recorder(PLENTY);
    feed.data("a");
    let mut first = recorder.attempt().unwrap();
    assert_eq!(data(poll(&mut first)), "a");
    let mut second = recorder.attempt().unwrap();
    feed.data("b");
    feed.end();
    assert_eq!(data(poll(&mut second)), "a");
    assert_eq!(data(poll(&mut second)), "b");
    assert!(assert_ready!(poll(&mut second)).is_none());
}

#[test]
fn a_new_attempt_wakes_the_one_before_which_is_cancelled() {
    let (_feed, mut recorder) = recorder(PLENTY);
    let mut first = recorder.attempt().unwrap();
    let mut waiting = spawn(poll_fn(|cx| Pin::new(&mut first).poll_frame(cx)));
    assert_pending!(waiting.poll());
    let _second = recorder.attempt().unwrap();
    assert!(waiting.is_woken());
    let status = assert_ready!(waiting.poll()).unwrap().unwrap_err();
    let superseded = find::<Superseded>(&status).expect("it says why");
    let reset = find::<h2::Error>(superseded).expect("it says how to reset the stream");
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
    drop(waiting);
    assert!(first.is_end_stream());
}

#[test]
fn above_the_limit_there_is_no_other_attempt_and_the_first_goes_on() {
    let (feed, mut recorder) = recorder(2 * (1 + size_of::<Bytes>()));
    let mut first = recorder.attempt().unwrap();
    for chunk in ["a", "b"] {
        feed.data(chunk);
        assert_eq!(data(poll(&mut first)), chunk);
        assert!(recorder.can_replay());
    }
    feed.data("c");
    assert_eq!(data(poll(&mut first)), "c");
    assert!(!recorder.can_replay());
    assert!(recorder.attempt().is_none());
    feed.data("d");
    feed.end();
    assert_eq!(data(poll(&mut first)), "d");
    assert!(assert_ready!(poll(&mut first)).is_none());
}

#[test]
fn what_is_above_the_limit_is_not_kept() {
    let (feed, mut recorder) = recorder(100);
    let mut replay = recorder.attempt().unwrap();
    let chunks = [40, 80, 10].map(|len| Bytes::from(vec![0; len]));
    for chunk in &chunks {
        feed.send(Frame::data(chunk.clone()));
        drop(data(poll(&mut replay)));
    }
    for chunk in chunks {
        assert!(chunk.is_unique());
    }
}

#[test]
fn a_body_that_is_committed_is_read_on_and_not_kept() {
    let (feed, mut recorder) = recorder(PLENTY);
    let chunks = ["a", "b", "c"].map(|it| Bytes::from(it.as_bytes().to_vec()));
    for chunk in &chunks {
        feed.send(Frame::data(chunk.clone()));
    }
    let mut replay = recorder.attempt().unwrap();
    assert_eq!(data(poll(&mut replay)), "a");
    recorder.commit();
    assert!(chunks[0].is_unique());
    assert_eq!(data(poll(&mut replay)), "b");
    assert!(chunks[1].is_unique());
    assert_eq!(data(poll(&mut replay)), "c");
    assert!(chunks[2].is_unique());
    assert_pending!(poll(&mut replay));
    feed.end();
    assert!(assert_ready!(poll(&mut replay)).is_none());
}

#[test]
fn what_a_later_attempt_has_yet_to_read_is_there_after_commit() {
    let (feed, mut recorder) = recorder(PLENTY);
    for chunk in ["a", "b", "c"] {
        feed.data(chunk);
    }
    let mut first = recorder.attempt().unwrap();
    for chunk in ["a", "b", "c"] {
        assert_eq!(data(poll(&mut first)), chunk);
    }
    feed.end();
    assert!(assert_ready!(poll(&mut first)).is_none());
    let mut second = recorder.attempt().unwrap();
    assert_eq!(data(poll(&mut second)), "a");
    recorder.commit();
    assert_eq!(data(poll(&mut second)), "b");
    assert!(!second.is_end_stream());
    assert_eq!(data(poll(&mut second)), "c");
    assert!(second.is_end_stream());
}

#[test]
fn what_was_read_ahead_is_there_after_the_limit_and_after_commit() {
    let (feed, mut recorder) = recorder(100);
    feed.data("a");
    feed.send(Frame::data(vec![b'b'; 100].into()));
    let mut replay = recorder.attempt().unwrap();
    assert_eq!(data(poll(&mut replay)), "a");
    assert!(!recorder.can_replay());
    recorder.commit();
    assert_eq!(data(poll(&mut replay)), [b'b'; 100][..]);
}

#[test]
fn a_body_that_fails_is_remembered_with_its_status() {
    let (feed, mut recorder) = recorder(PLENTY);
    feed.data("a");
    feed.fail(Status::invalid_argument("too large"));
    assert!(recorder.failure().is_none());
    for _ in 0..2 {
        let mut replay = recorder.attempt().unwrap();
        assert_eq!(data(poll(&mut replay)), "a");
        let status = assert_ready!(poll(&mut replay)).unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(assert_ready!(poll(&mut replay)).is_none());
    }
    let status = recorder.failure().expect("it failed");
    assert_eq!(status.message(), "too large");
}

#[test]
fn it_is_known_whether_a_body_was_asked_for() {
    let (_feed, mut recorder) = recorder(PLENTY);
    let mut replay = recorder.attempt().unwrap();
    assert!(!recorder.withdraw());
    assert!(
        assert_ready!(poll(&mut replay)).unwrap().is_err(),
        "it stays so"
    );
    let mut replay = recorder.attempt().unwrap();
    assert_pending!(poll(&mut replay));
    assert!(recorder.withdraw());
    let _replay = recorder.attempt().unwrap();
    assert!(!recorder.withdraw(), "of another attempt");
}

#[test]
fn an_empty_body_counts_as_asked_for() {
    let mut recorder = Recorder::new(Body::empty(), PLENTY, &Memory::new(usize::MAX));
    for _ in 0..2 {
        let replay = recorder.attempt().unwrap();
        assert!(replay.is_end_stream());
        assert!(recorder.withdraw());
    }
}

#[test]
fn trailers_are_sent_again() {
    let (feed, mut recorder) = recorder(PLENTY);
    feed.data("a");
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "y".parse().unwrap());
    feed.send(Frame::trailers(trailers.clone()));
    for _ in 0..2 {
        let mut replay = recorder.attempt().unwrap();
        assert_eq!(data(poll(&mut replay)), "a");
        assert!(!replay.is_end_stream());
        let frame = assert_ready!(poll(&mut replay)).unwrap().unwrap();
        assert_eq!(frame.into_trailers().unwrap(), trailers);
        assert!(replay.is_end_stream());
    }
}

#[test]
fn its_size_is_not_told() {
    let mut recorder = Recorder::new(
        Body::new(http_body_util::Full::new(Bytes::from("a"))),
        PLENTY,
        &Memory::new(usize::MAX),
    );
    assert_eq!(recorder.attempt().unwrap().size_hint().exact(), None);
}

#[test]
fn a_dropped_call_takes_the_body_away() {
    let (feed, mut recorder) = recorder(PLENTY);
    let mut replay = recorder.attempt().unwrap();
    let mut waiting = spawn(poll_fn(|cx| Pin::new(&mut replay).poll_frame(cx)));
    assert_pending!(waiting.poll());
    assert!(!feed.is_dropped());
    drop(recorder);
    assert!(feed.is_dropped());
    assert!(waiting.is_woken());
    assert!(assert_ready!(waiting.poll()).unwrap().is_err());
}

#[test]
fn a_source_is_dropped_when_it_has_ended() {
    let (feed, mut recorder) = recorder(PLENTY);
    let mut replay = recorder.attempt().unwrap();
    feed.data("a");
    feed.end();
    assert_eq!(data(poll(&mut replay)), "a");
    assert!(feed.is_dropped());
}

#[test]
fn a_source_that_panics_has_failed() {
    let body = Hooked {
        hook: Some(Box::new(|| panic!("the source"))),
        then: None,
    };
    let mut recorder = Recorder::new(Body::new(body), PLENTY, &Memory::new(usize::MAX));
    let mut first = recorder.attempt().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| poll(&mut first)));
    assert!(panic.is_err());
    assert_eq!(
        recorder.failure().unwrap().code(),
        tonic::Code::Internal,
        "and nobody waits for it"
    );
    let mut second = recorder.attempt().unwrap();
    assert!(assert_ready!(poll(&mut second)).unwrap().is_err());
}

/// The source, in the middle of being polled, starts another attempt: as from another thread.
#[test]
fn an_attempt_that_begins_while_the_source_is_polled_waits_for_it_and_loses_nothing() {
    for chunk in [None, Some("a")] {
        let shared = Arc::new(Mutex::new(None::<(Recorder, Option<Replay>)>));
        let seen = Arc::clone(&shared);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let body = Hooked {
            hook: Some(Box::new(move || {
                let mut seen = seen.lock().unwrap();
                let (recorder, replay) = seen.as_mut().unwrap();
                *replay = recorder.attempt();
                let replay = Pin::new(replay.as_mut().unwrap());
                assert_pending!(replay.poll_frame(&mut Context::from_waker(&waker)));
            })),
            then: chunk,
        };
        let mut recorder = Recorder::new(Body::new(body), PLENTY, &Memory::new(usize::MAX));
        let mut first = recorder.attempt().unwrap();
        *shared.lock().unwrap() = Some((recorder, None));
        let frame = assert_ready!(poll(&mut first)).unwrap();
        assert!(find::<Superseded>(&frame.unwrap_err()).is_some());
        assert!(woken.0.load(Ordering::SeqCst));
        let (_recorder, second) = shared.lock().unwrap().take().unwrap();
        let mut second = second.unwrap();
        assert_eq!(data(poll(&mut second)), chunk.unwrap_or("later"));
    }
}

#[test]
fn attempts_on_other_threads_lose_nothing() {
    for _ in 0..200 {
        let (feed, mut recorder) = recorder(PLENTY);
        thread::scope(|scope| {
            scope.spawn(move || {
                for chunk in ["a", "b", "c", "d", "e"] {
                    feed.data(chunk);
                }
                feed.end();
            });
            let mut last = None;
            for _ in 0..4 {
                let replay = recorder.attempt().unwrap();
                last = Some(scope.spawn(|| block_on(collect(replay))));
            }
            let read = last.unwrap().join().unwrap();
            assert_eq!(read.unwrap(), b"abcde");
        });
    }
}

#[test]
fn a_message_that_is_sent_once_costs_one_allocation() {
    let body = Body::new(http_body_util::Full::new(Bytes::from_static(b"message")));
    let waker = spawn(()).enter(|cx, _| cx.waker().clone());
    let memory = Memory::new(usize::MAX);
    let cost = allocation_counter::measure(|| {
        let mut recorder = Recorder::new(body, PLENTY, &memory);
        let mut replay = recorder.attempt().unwrap();
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut replay).poll_frame(&mut cx).is_ready());
        assert!(replay.is_end_stream());
    });
    assert_eq!(cost.count_total, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    End,
    Poll(usize),
    Attempt,
    Withdraw,
    Drop(usize),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60_usize).prop_map(Step::Send),
        1 => Just(Step::End),
        8 => (0..4_usize).prop_map(Step::Poll),
        3 => Just(Step::Attempt),
        1 => Just(Step::Withdraw),
        1 => (0..4_usize).prop_map(Step::Drop),
        1 => Just(Step::Commit),
    ]
}

proptest! {
    /// Attempts are polled in any order, dropped at any time, up to four of them at once.
    #[test]
    fn an_attempt_reads_a_prefix_of_what_was_sent(
        steps in prop::collection::vec(step(), 0..80),
        limit in 0..400_usize,
    ) {
        let (feed, recorder) = recorder(limit);
        let mut recorder = Some(recorder);
        let mut sent = Vec::<u8>::new();
        let mut ended = false;
        // Number, body, what it read, and whether it is over.
        let mut attempts = Vec::<(usize, Replay, Vec<u8>, bool)>::new();
        let mut present = 0;
        let mut number = 0;
        for step in steps {
            match step {
                Step::Send(len) if !ended => {
                    let chunk: Vec<_> = (0..len).map(|it| (sent.len() + it) as u8).collect();
                    sent.extend(&chunk);
                    feed.send(Frame::data(chunk.into()));
                }
                Step::End => {
                    ended = true;
                    feed.end();
                }
                Step::Poll(index) => {
                    let Some((mine, replay, read, over)) = attempts.get_mut(index) else { continue };
                    let end_before = replay.is_end_stream();
                    match poll(replay) {
                        Poll::Ready(Some(Ok(frame))) => {
                            prop_assert!(!*over && !end_before);
                            prop_assert_eq!(*mine, present, "only the last reads");
                            read.extend(frame.into_data().unwrap());
                            prop_assert!(sent.starts_with(read));
                            if replay.is_end_stream() {
                                prop_assert!(ended);
                                prop_assert_eq!(&*read, &sent);
                                *over = true;
                            }
                        }
                        Poll::Ready(Some(Err(_))) => {
                            prop_assert!(!*over);
                            prop_assert_ne!(*mine, present, "the last does not fail");
                            *over = true;
                        }
                        Poll::Ready(None) => {
                            if *mine == present {
                                prop_assert!(ended);
                                prop_assert_eq!(&*read, &sent);
                            } else {
                                prop_assert!(*over);
                            }
                            *over = true;
                        }
                        Poll::Pending => {
                            prop_assert_eq!(*mine, present, "only the last waits");
                            prop_assert!(!ended);
                            prop_assert_eq!(&*read, &sent, "it waits only if there is nothing");
                        }
                    }
                }
                Step::Attempt => {
                    let Some(recorder) = &mut recorder else { continue };
                    let possible = recorder.can_replay();
                    let replay = recorder.attempt();
                    prop_assert_eq!(replay.is_some(), possible);
                    if let Some(replay) = replay {
                        number += 1;
                        present = number;
                        let over = replay.is_end_stream();
                        attempts.insert(0, (number, replay, Vec::new(), over));
                        attempts.truncate(4);
                    }
                }
                Step::Withdraw => {
                    let Some(recorder) = &mut recorder else { continue };
                    let _ = recorder.withdraw();
                    present = usize::MAX;
                }
                Step::Drop(index) if index < attempts.len() => drop(attempts.remove(index)),
                Step::Commit => {
                    if let Some(recorder) = recorder.take() {
                        recorder.commit();
                    }
                }
                Step::Send(_) | Step::Drop(_) => {}
            }
        }
    }
}

/// The caller's end of a body.
struct Feed {
    sender: Mutex<Option<mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    polls: AtomicUsize,
    drops: AtomicUsize,
}

struct Fed {
    receiver: mpsc::UnboundedReceiver<Result<Frame<Bytes>, Status>>,
    seen: Arc<Seen>,
}

fn recorder(limit: usize) -> (Feed, Recorder) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let seen = Arc::<Seen>::default();
    let body = Fed {
        receiver,
        seen: Arc::clone(&seen),
    };
    let sender = Mutex::new(Some(sender));
    let recorder = Recorder::new(Body::new(body), limit, &Memory::new(usize::MAX));
    (Feed { sender, seen }, recorder)
}

impl Feed {
    fn data(&self, chunk: &'static str) {
        self.send(Frame::data(chunk.into()));
    }

    fn send(&self, frame: Frame<Bytes>) {
        self.give(Ok(frame));
    }

    fn fail(&self, status: Status) {
        self.give(Err(status));
    }

    fn give(&self, frame: Result<Frame<Bytes>, Status>) {
        if let Some(sender) = &*self.sender.lock().unwrap() {
            let _ = sender.send(frame);
        }
    }

    fn end(&self) {
        *self.sender.lock().unwrap() = None;
    }

    fn polls(&self) -> usize {
        self.seen.polls.load(Ordering::SeqCst)
    }

    fn is_dropped(&self) -> bool {
        self.seen.drops.load(Ordering::SeqCst) == 1
    }
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.seen.polls.fetch_add(1, Ordering::SeqCst);
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.seen.drops.fetch_add(1, Ordering::SeqCst);
    }
}

/// Knows when it has given its last chunk.
struct Full<B> {
    inner: B,
    left: usize,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Full<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        assert!(self.left > 0, "polled after its end");
        self.left -= 1;
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// Runs its hook at the first poll, with `then` for its result; later there is always more.
struct Hooked {
    hook: Option<Box<dyn FnOnce() + Send>>,
    then: Option<&'static str>,
}

impl http_body::Body for Hooked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(hook) = self.hook.take() else {
            return Poll::Ready(Some(Ok(Frame::data("later".into()))));
        };
        hook();
        match self.then {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk.into())))),
            None => Poll::Pending,
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Frames = Poll<Option<Result<Frame<Bytes>, Status>>>;

fn poll(replay: &mut Replay) -> Frames {
    spawn(()).enter(|cx, _| Pin::new(replay).poll_frame(cx))
}

#[track_caller]
fn data(frame: Frames) -> Bytes {
    let frame = assert_ready!(frame)
        .expect("not the end")
        .expect("no error");
    frame.into_data().expect("data")
}

fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.find_map(|error| error.downcast_ref())
}

async fn collect(replay: Replay) -> Result<Vec<u8>, Status> {
    Ok(replay.collect().await?.to_bytes().to_vec())
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
