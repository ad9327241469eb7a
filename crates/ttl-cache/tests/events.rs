//! What the log tells the person who reads it at night.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use mainstay_ttl_cache::{Limits, Ttl, TtlCache};
use tracing::subscriber::set_default;
use tracing_subscriber::fmt;

#[tokio::test(start_paused = true)]
async fn failed_loads_and_invalidations_of_many_are_told_at_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = set_default(subscriber);

    let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
    let cache = TtlCache::<u64, u64>::named("users", Limits::new(10).unwrap(), ttl);
    let refused = || async { Err::<u64, _>("refused") };
    cache.get_or_load(&1, refused).await.unwrap_err();
    cache
        .get_or_load(&1, || async { panic!("fell over") as Result<u64, String> })
        .await
        .unwrap_err();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
    cache.invalidate(&1);
    cache.invalidate_tag("tag");
    cache.invalidate_if(|_, _| true);
    cache.invalidate_all();

    let expected = [
        r#"DEBUG load failed cache="users" cause=refused"#,
        r#"DEBUG load failed cache="users" cause=panicked: fell over"#,
        r#"DEBUG invalidated cache="users" what="by tag""#,
        r#"DEBUG invalidated cache="users" what="by predicate""#,
        r#"DEBUG invalidated cache="users" what="all""#,
    ];
    assert_eq!(log.lines(), expected);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
