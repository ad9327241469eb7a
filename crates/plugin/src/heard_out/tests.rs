use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::UnixStream;

use super::*;

#[tokio::test]
async fn what_was_said_before_the_end_is_read_after_a_write_has_failed() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut ours = HeardOut::new(ours);
    theirs.write_all(b"farewell").await.unwrap();
    drop(theirs);
    for _ in 0..2 {
        ours.write_all(b"?").await.unwrap();
        let written = ours.write_vectored(&[IoSlice::new(b"?")]).await;
        assert_eq!(written.unwrap(), 1);
        ours.flush().await.unwrap();
    }
    let mut heard = String::new();
    ours.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "farewell");
}

/// It shut its half down, and lives on: there is no end to wait for.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_more_is_not_waited_for_long() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = theirs.into_std().unwrap();
    theirs.shutdown(std::net::Shutdown::Read).unwrap();
    let mut ours = HeardOut::new(ours);
    let mut buf = [0];
    let mut read = tokio_test::task::spawn(async { ours.read(&mut buf).await });
    assert!(read.poll().is_pending());
    drop(read);
    ours.write_all(b"?").await.unwrap();
    let begun = tokio::time::Instant::now();
    let error = ours.read(&mut buf).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(begun.elapsed() >= HEARD_FOR);
}

/// Whoever waits in reading is told that a write has failed.
#[tokio::test]
async fn a_write_that_fails_wakes_its_task() {
    let (ours, theirs) = duplex(1);
    drop(theirs);
    let mut ours = HeardOut::new(ours);
    let mut task = tokio_test::task::spawn(async {
        ours.write_all(b"?").await.unwrap();
        std::future::pending::<()>().await;
    });
    assert!(task.poll().is_pending());
    assert!(task.is_woken());
}
