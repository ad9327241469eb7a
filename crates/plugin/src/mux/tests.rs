use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};
use tokio_util::either::Either;

use super::*;
use crate::connection::fresh;

const SOON: Duration = Duration::from_secs(20);

/// One side whose other side the test plays by hand, byte by byte.
struct Hand {
    session: Session,
    unannounced: mpsc::Receiver<MuxStream>,
    socket: UnixStream,
    driver: JoinHandle<()>,
}

fn by_hand(mode: Mode) -> Hand {
    let (ours, socket) = UnixStream::pair().unwrap();
    let (sender, unannounced) = mpsc::channel(BACKLOG);
    let ours = fresh(Either::Left(Either::Left(ours)));
    let (session, driver) = Session::new(ours, mode, Some(sender));
    Hand {
        session,
        unannounced,
        socket,
        driver: tokio::spawn(driver),
    }
}

/// A header: version 0, type, flags, stream, length.
fn header(kind: u8, flags: u16, stream: u32, length: u32) -> [u8; 12] {
    let mut header = [0; 12];
    header[1] = kind;
    header[2..4].copy_from_slice(&flags.to_be_bytes());
    header[4..8].copy_from_slice(&stream.to_be_bytes());
    header[8..].copy_from_slice(&length.to_be_bytes());
    header
}

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

impl Hand {
    /// The next frame, but for the pings by which yamux measures.
    async fn frame(&mut self) -> ([u8; 12], Vec<u8>) {
        let frame = async {
            loop {
                let mut header = [0; 12];
                self.socket.read_exact(&mut header).await.unwrap();
                if header[1] == PING {
                    continue;
                }
                let length = u32::from_be_bytes(header[8..].try_into().unwrap());
                let mut body = vec![
                    0;
                    if header[1] == DATA {
                        length as usize
                    } else {
                        0
                    }
                ];
                self.socket.read_exact(&mut body).await.unwrap();
                return (header, body);
            }
        };
        timeout(SOON, frame).await.unwrap()
    }

    async fn write(&mut self, bytes: &[&[u8]]) {
        self.socket.write_all(&bytes.concat()).await.unwrap();
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.unwrap()
}

#[tokio::test]
async fn a_stream_that_upstream_opens_is_taken_at_once_and_carries_bytes_both_ways() {
    let mut hand = by_hand(Mode::Server);
    // It opens them by an empty window update.
    hand.write(&[&header(WINDOW, SYN, 1, 0)]).await;
    assert_eq!(hand.frame().await, (header(DATA, ACK, 1, 0), vec![]));
    let mut stream = soon(hand.unannounced.recv()).await.unwrap();
    hand.write(&[&header(DATA, 0, 1, 5), b"hello"]).await;
    let mut buf = [0; 5];
    soon(stream.read_exact(&mut buf)).await.unwrap();
    assert_eq!(&buf, b"hello");
    stream.write_all(b"world").await.unwrap();
    assert_eq!(
        hand.frame().await,
        (header(DATA, 0, 1, 5), b"world".to_vec())
    );
    stream.shutdown().await.unwrap();
    assert_eq!(hand.frame().await.0, header(DATA, FIN, 1, 0));
    hand.write(&[&header(DATA, FIN, 1, 0)]).await;
    assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 0);
}

#[tokio::test]
async fn each_side_numbers_the_streams_that_it_opens_in_its_own_way() {
    for (mode, numbers) in [(Mode::Client, [1, 3]), (Mode::Server, [2, 4])] {
        let mut hand = by_hand(mode);
        for number in numbers {
            let session = hand.session.clone();
            let opening = tokio::spawn(async move { session.open().await });
            assert_eq!(hand.frame().await, (header(DATA, SYN, number, 0), vec![]));
            // As upstream takes it.
            hand.write(&[&header(WINDOW, ACK, number, 0)]).await;
            let mut stream = soon(opening).await.unwrap().unwrap();
            stream.write_all(b"x").await.unwrap();
            assert_eq!(
                hand.frame().await,
                (header(DATA, 0, number, 1), b"x".to_vec())
            );
            drop(stream);
            assert_eq!(hand.frame().await.0, header(DATA, RST, number, 0));
        }
    }
}

#[tokio::test]
async fn none_is_opened_before_the_other_side_has_taken_the_last() {
    let mut hand = by_hand(Mode::Client);
    let opening = [(); 2].map(|()| {
        let session = hand.session.clone();
        tokio::spawn(async move { session.open().await.unwrap() })
    });
    assert_eq!(hand.frame().await.0, header(DATA, SYN, 1, 0));
    let more = timeout(Duration::from_millis(20), hand.frame()).await;
    assert!(more.is_err(), "{more:?}");
    assert!(opening.iter().all(|it| !it.is_finished()));
    hand.write(&[&header(WINDOW, ACK, 1, 0)]).await;
    assert_eq!(hand.frame().await.0, header(DATA, SYN, 3, 0));
    hand.write(&[&header(WINDOW, ACK, 3, 0)]).await;
    for opening in opening {
        soon(opening).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_does_not_say_that_it_has_taken_a_stream_is_believed_to_have() {
    let mut hand = by_hand(Mode::Client);
    let stream = soon(hand.session.open()).await.unwrap();
    assert!(!stream.is_taken());
    assert_eq!(hand.frame().await.0, header(DATA, SYN, 1, 0));
}

#[tokio::test]
async fn streams_go_through_the_doors_in_the_order_in_which_these_were_opened() {
    let mut hand = by_hand(Mode::Server);
    let (first, mut first_streams) = mpsc::channel(1);
    let (second, mut second_streams) = mpsc::channel(1);
    assert!(hand.session.open_door(second) && hand.session.open_door(first));
    for number in [1, 3, 5] {
        hand.write(&[&header(DATA, SYN, number, 1), &[number as u8]])
            .await;
    }
    let streams = [
        &mut second_streams,
        &mut first_streams,
        &mut hand.unannounced,
    ];
    for (streams, number) in streams.into_iter().zip([1, 3, 5]) {
        let mut stream = soon(streams.recv()).await.unwrap();
        assert_eq!(soon(stream.read_u8()).await.unwrap(), number);
    }
}

#[tokio::test]
async fn a_stream_whose_door_has_nobody_behind_it_is_reset() {
    let mut hand = by_hand(Mode::Server);
    let (gone, streams) = mpsc::channel(1);
    drop(streams);
    hand.session.open_door(gone);
    hand.write(&[&header(WINDOW, SYN, 1, 0)]).await;
    assert_eq!(hand.frame().await.0, header(DATA, ACK, 1, 0));
    assert_eq!(hand.frame().await.0, header(DATA, RST, 1, 0));
    // The next is the next.
    hand.write(&[&header(WINDOW, SYN, 3, 0)]).await;
    soon(hand.unannounced.recv()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_door_that_nobody_came_through_is_closed_after_five_seconds() {
    let mut hand = by_hand(Mode::Server);
    let (door, mut streams) = mpsc::channel(1);
    hand.session.open_door(door);
    advance(DOOR_WITHIN).await;
    hand.write(&[&header(WINDOW, SYN, 1, 0)]).await;
    hand.unannounced.recv().await.unwrap();
    assert!(streams.try_recv().is_err());
}

#[tokio::test]
async fn doors_without_end_are_refused() {
    let hand = by_hand(Mode::Server);
    let (door, _streams) = mpsc::channel(1);
    for _ in 0..BACKLOG {
        assert!(hand.session.open_door(door.clone()));
    }
    assert!(!hand.session.open_door(door));
}

#[tokio::test]
async fn a_ping_is_answered() {
    let mut hand = by_hand(Mode::Server);
    hand.write(&[&header(PING, SYN, 0, 77)]).await;
    let mut frame = [0; 12];
    loop {
        soon(hand.socket.read_exact(&mut frame)).await.unwrap();
        if frame[3] == ACK as u8 {
            break;
        }
    }
    assert_eq!(frame, header(PING, ACK, 0, 77));
}

#[tokio::test]
async fn what_is_no_yamux_ends_the_session_and_nothing_else() {
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &header(9, 0, 0, 0),
        &header(DATA, SYN, 2, 0),
        &header(DATA, SYN, 1, u32::MAX),
        &header(PING, ACK, 0, 5),
        &header(GO_AWAY, 0, 0, 0),
    ] {
        let mut hand = by_hand(Mode::Server);
        hand.write(&[bytes]).await;
        let socket = &mut hand.socket;
        // Some of it is told to the other side first, which is then to close.
        let _ = timeout(
            Duration::from_millis(50),
            socket.read_to_end(&mut Vec::new()),
        )
        .await;
        let _ = socket.shutdown().await;
        soon(hand.driver).await.unwrap();
        assert!(hand.session.has_ended());
        assert!(soon(hand.session.open()).await.is_err());
    }
}

#[tokio::test]
async fn it_ends_when_nobody_can_open_a_stream_any_more_or_the_other_side_is_gone() {
    let hand = by_hand(Mode::Server);
    drop(hand.session);
    soon(hand.driver).await.unwrap();

    let mut hand = by_hand(Mode::Client);
    let session = hand.session.clone();
    let opening = tokio::spawn(async move { session.open().await });
    hand.frame().await;
    drop(hand.socket);
    soon(hand.driver).await.unwrap();
    // It was as good as open, and shows its end when it is read.
    if let Ok(mut stream) = soon(opening).await.unwrap() {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_was_written_before_it_closes_still_leaves() {
    let mut hand = by_hand(Mode::Server);
    hand.write(&[&header(WINDOW, SYN, 1, 0)]).await;
    let mut stream = soon(hand.unannounced.recv()).await.unwrap();
    stream.write_all(&[7; 100_000]).await.unwrap();
    drop(stream);
    soon(hand.session.inbound_over()).await;
    hand.session.close();
    let mut received = Vec::new();
    soon(hand.socket.read_to_end(&mut received)).await.unwrap();
    let sevens = received.iter().filter(|byte| **byte == 7).count();
    assert_eq!(sevens, 100_000);
    assert_eq!(received[received.len() - 12..], header(GO_AWAY, 0, 0, 0));
    soon(hand.driver).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_its_writer_back_and_no_other() {
    let (one, other) = UnixStream::pair().unwrap();
    let [one, other] = [one, other].map(|it| fresh(Either::Left(Either::Left(it))));
    let (sender, mut incoming) = mpsc::channel(BACKLOG);
    let (client, driver) = Session::new(one, Mode::Client, None);
    tokio::spawn(driver);
    let (_server, driver) = Session::new(other, Mode::Server, Some(sender));
    tokio::spawn(driver);

    let mut slow = soon(client.open()).await.unwrap();
    let _unread = soon(incoming.recv()).await.unwrap();
    let mut written = 0;
    let write = async {
        loop {
            written += slow.write(&[0; 4096]).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_millis(100), write).await.is_err());
    assert_eq!(written, yamux::DEFAULT_CREDIT as usize);

    let mut quick = soon(client.open()).await.unwrap();
    let mut served = soon(incoming.recv()).await.unwrap();
    quick.write_all(b"x").await.unwrap();
    assert_eq!(soon(served.read_u8()).await.unwrap(), b'x');
}
