//! What operators read.

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use mainstay_retry_backoff::{Hedge, Hedging, Plan, Retry};
use tower::{Service, ServiceExt};
use tracing_subscriber::fmt::MakeWriter;

use crate::script::{Script, Step, judge, ms, transient};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Lines without their time, and what is done meanwhile.
    fn of(run: impl FnOnce()) -> Vec<String> {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, run);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = log.lines().map(|it| it.trim().to_owned());
        lines.filter(|it| it.contains("mainstay")).collect()
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

#[test]
fn a_retry_and_its_end_are_told_with_the_name() {
    let plan = Plan::new(NonZeroU32::new(2).unwrap())
        .without_backoff()
        .with_name("kv");
    let lines = Log::of(|| {
        let retry = Retry::new(plan, judge, Script::new([transient()]));
        let _ = retry.oneshot(1).now_or_never().unwrap();
    });
    assert_eq!(
        lines,
        [
            "DEBUG mainstay_retry_backoff::future: retrying name=\"kv\" attempt=1 delay=0ns",
            "DEBUG mainstay_retry_backoff::future: not retried name=\"kv\" attempt=2 stop=Attempts",
        ]
    );
}

#[test]
fn a_request_that_succeeds_at_once_tells_nothing() {
    let lines = Log::of(|| {
        let retry = Retry::new(Plan::default(), judge, Script::new([Ok(1)]));
        let _ = retry.oneshot(1).now_or_never().unwrap();
    });
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn a_retry_that_came_too_late_is_told_as_such() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = Log::of(|| {
        runtime.block_on(async {
            let plan = Plan::default()
                .with_backoff([ms(10)])
                .with_total_time(ms(50));
            let mut retry = Retry::new(plan, judge, Script::new([transient()]));
            let mut call = std::pin::pin!(retry.ready().await.unwrap().call(1));
            assert_eq!(call.as_mut().now_or_never(), None);
            tokio::time::advance(ms(50)).await;
            assert_eq!(call.as_mut().now_or_never(), Some(transient()));
        });
    });
    assert_eq!(
        lines,
        [
            "DEBUG mainstay_retry_backoff::future: retrying attempt=1 delay=10ms",
            "DEBUG mainstay_retry_backoff::future: not retried attempt=1 stop=Deadline",
        ]
    );
}

#[test]
fn a_retry_that_found_no_service_ready_is_told_as_such() {
    let lines = Log::of(|| {
        let script = Script::slow_to_be_ready([Step(ms(0), transient())]);
        let plan = Plan::default().without_backoff().with_ready_within(ms(0));
        let mut retry = Retry::new(plan, judge, script);
        let ready = std::iter::repeat_with(|| retry.ready().now_or_never().is_some());
        assert!(ready.take(3).any(|it| it));
        let _ = retry.call(1).now_or_never().unwrap();
    });
    assert_eq!(
        lines[1..],
        ["DEBUG mainstay_retry_backoff::future: not ready for the retry attempt=1"]
    );
}

#[test]
fn a_hedge_is_told_with_the_name() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = Log::of(|| {
        runtime.block_on(async {
            let hedging = Hedging::new(ms(5)).with_name("kv");
            let script = Script::timed([Step(ms(9), Ok(1))]);
            let _ = Hedge::new(hedging, judge, script).oneshot(1).await;
        });
    });
    assert_eq!(
        lines,
        ["DEBUG mainstay_retry_backoff::hedge::future::next: hedging name=\"kv\" attempt=2"]
    );
}
