use std::sync::atomic::AtomicBool;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

#[tokio::test]
async fn nothing_left_if_nothing_was_written_since() {
    let (mut ours, _theirs) = wired(64);
    ours.write_all(b"before").await.unwrap();
    let mark = ours.wire().mark();
    assert!(ours.wire().seal(mark));
    assert!(ours.wire().seal(mark), "it stays so");
}

#[tokio::test]
async fn what_was_written_has_left() {
    let (mut ours, _theirs) = wired(64);
    let mark = ours.wire().mark();
    ours.write_all(b"x").await.unwrap();
    assert!(!ours.wire().seal(mark));
    ours.write_all(b"y")
        .await
        .expect("it was not sealed, and goes on");
}

#[tokio::test]
async fn nothing_leaves_through_a_sealed_wire() {
    let (mut ours, mut theirs) = wired(64);
    let wire = ours.wire().clone();
    assert!(ours.wire().seal(ours.wire().mark()));
    for _ in 0..2 {
        let error = ours.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
    let error = ours
        .write_vectored(&[IoSlice::new(b"x")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    drop(ours);
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
    assert!(wire.seal(wire.mark()), "refused writes change nothing");
}

#[tokio::test]
async fn who_marked_earlier_than_a_sealed_wire_learns_what_left_before() {
    let (mut ours, _theirs) = wired(64);
    let early = ours.wire().mark();
    ours.write_all(b"x").await.unwrap();
    let late = ours.wire().mark();
    assert!(ours.wire().seal(late));
    assert!(!ours.wire().seal(early));
}

#[tokio::test]
async fn a_write_that_waits_or_fails_has_written_nothing() {
    let (mut ours, theirs) = wired(1);
    ours.write_all(b"x").await.unwrap();
    let mark = ours.wire().mark();
    {
        let mut write = tokio_test::task::spawn(ours.write_all(b"y"));
        assert!(write.poll().is_pending());
    }
    assert_eq!(ours.wire().mark(), mark);
    drop(theirs);
    assert!(ours.write_all(b"z").await.is_err());
    assert!(ours.wire().seal(mark));
}

/// A writer that may be sealed at any moment: what it managed to write is never denied.
#[test]
fn a_seal_and_a_write_never_both_win() {
    for _ in 0..2_000 {
        let wire = Wire::new();
        let mark = wire.mark();
        let wrote = AtomicBool::new(false);
        let denied = thread::scope(|scope| {
            scope.spawn(|| {
                if wire.begin() {
                    wrote.store(true, Ordering::SeqCst);
                    wire.end(true);
                }
            });
            wire.seal(mark)
        });
        assert!(!(denied && wrote.into_inner()));
    }
}

fn wired(room: usize) -> (Wired<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
    let (ours, theirs) = duplex(room);
    (Wired::new(ours), theirs)
}
