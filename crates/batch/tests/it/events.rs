//! What operators read, and how spans hang together.

use std::{
    io,
    sync::{Arc, Mutex},
};

use mainstay_batch::{Batch, BatchLayer};
use tokio_test::{assert_pending, task};
use tower::{Layer as _, Service};
use tracing::{
    info_span,
    span::{Attributes, Id},
    subscriber::with_default,
};
use tracing_subscriber::{
    Layer, Registry,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{Bench, limits, millis, tenfold, wait};

#[test]
fn the_span_of_a_batch_follows_from_those_of_its_items() {
    let links = Links::default();
    with_default(Registry::default().with(links.clone()), || {
        let mut bench = Bench::new(limits(10));
        let _one = info_span!("one").in_scope(|| bench.submit(1));
        let gone = info_span!("gone").in_scope(|| bench.submit(2));
        let _bare = bench.submit(3);
        let _two = info_span!("two").in_scope(|| bench.submit(4));
        drop(gone);
        // Those of the worker are not those of a batch.
        let items = [1, 3, 4];
        info_span!("worker").in_scope(|| bench.expect(&items).send_response(tenfold(&items)));
        bench.work();
    });
    let links = links.0.lock().unwrap();
    assert_eq!(links.follows, [("batch", "one"), ("batch", "two")]);
    assert_eq!(links.parents, [""; 0]);
    assert_eq!(links.open, [""; 0], "not closed");
}

#[test]
fn what_a_service_does_for_a_batch_is_within_its_span() {
    let lines = Log::of(|| {
        let service = tower::service_fn(|items: Vec<u32>| {
            tracing::info!("called");
            async move {
                tracing::info!("polled");
                Ok::<_, std::convert::Infallible>(tenfold(&items))
            }
        });
        let (batch, worker) = Batch::pair(service, limits(1));
        let _call = submit(&batch);
        let mut worker = task::spawn(worker);
        assert_pending!(worker.poll());
    });
    assert_eq!(
        lines[..2],
        [
            "INFO batch{items=1}: it::events: called",
            "INFO batch{items=1}: it::events: polled",
        ]
    );
}

#[test]
fn a_flush_a_shutdown_and_the_end_are_told_with_the_name() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = Log::of(|| {
        runtime.block_on(async {
            let (inner, mut calls) = tower_test::mock::pair::<Vec<u32>, crate::Answers>();
            calls.allow(10);
            let batch = BatchLayer::new(limits(1)).with_name("rows").layer(inner);
            let handle = batch.handle();
            let _calls = [submit(&batch), submit(&batch)];
            let mut flush = task::spawn(handle.flush());
            assert_pending!(flush.poll());
            tokio::task::yield_now().await;
            let mut shutdown = task::spawn(handle.shutdown(millis(10)));
            assert_pending!(shutdown.poll());
            handle.close();
            wait(millis(11)).await;
            assert_pending!(shutdown.poll());
            tokio::task::yield_now().await;
            assert!(shutdown.poll().is_ready());
        });
    });
    assert_eq!(
        lines,
        [
            r#"DEBUG mainstay_batch::event: batcher flushed batcher="rows" waiting=2"#,
            r#"INFO mainstay_batch::event: batcher closed batcher="rows" waiting=1 in_flight=1"#,
            r#"INFO mainstay_batch::event: batcher ended early batcher="rows" abandoned=2"#,
        ]
    );
}

fn submit(
    batch: &Batch<u32, u32>,
) -> task::Spawn<mainstay_batch::future::ResponseFuture<u32, u32, ()>> {
    let mut service = task::spawn(batch.clone());
    assert!(service.enter(|cx, mut it| it.poll_ready(cx)).is_ready());
    let mut call = task::spawn(service.enter(|_, mut it| it.call(1)));
    assert_pending!(call.poll());
    call
}

/// Which span follows from which, by their names.
#[derive(Clone, Default)]
struct Links(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    follows: Vec<(&'static str, &'static str)>,
    parents: Vec<&'static str>,
    open: Vec<&'static str>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Links {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let span = cx.span(id).unwrap();
        let mut seen = self.0.lock().unwrap();
        seen.open.push(span.name());
        seen.parents.extend(span.parent().map(|it| it.name()));
    }

    fn on_follows_from(&self, id: &Id, from: &Id, cx: Context<'_, S>) {
        let name = |id| cx.span(id).unwrap().name();
        let link = (name(id), name(from));
        self.0.lock().unwrap().follows.push(link);
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let name = cx.span(&id).unwrap().name();
        self.0.lock().unwrap().open.retain(|it| *it != name);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Lines without their time.
    fn of(run: impl FnOnce()) -> Vec<String> {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .finish();
        with_default(subscriber, run);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        log.lines().map(|it| it.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
