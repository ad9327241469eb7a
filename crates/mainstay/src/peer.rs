//! The other side of a connection, frame by frame, to do what no library lets a server do.

use mainstay_plugin::Wired;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::connection::{Connection, Origin};

/// A server that speaks HTTP/2 by hand.
pub(crate) struct Peer<S = UnixStream> {
    stream: S,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with its peer, which has been told no limits.
pub(crate) async fn connected() -> (Connection, Peer) {
    let (connection, stream) = half_connected().await;
    (connection, Peer::accept(stream, &[]).await)
}

/// A connection whose peer has done nothing yet.
pub(crate) async fn half_connected() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (over(ours).await, theirs)
}

pub(crate) async fn over<T>(stream: T) -> Connection
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Wired::new(stream);
    let wire = stream.wire().clone();
    Connection::open(stream, wire, Origin::default())
        .await
        .unwrap()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn accept(mut stream: S, settings: &[(u16, u32)]) -> Self {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut peer = Self { stream };
        let mut payload = Vec::new();
        for (key, value) in settings {
            payload.extend(key.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        peer.send(SETTINGS, 0, 0, &payload).await;
        peer
    }

    /// The next frame that says something about a stream; none at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any_frame().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    async fn any_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        })
    }

    /// Reads a whole request, and gives its stream.
    pub(crate) async fn request(&mut self) -> u32 {
        loop {
            let frame = self.frame().await.expect("a request");
            if frame.flags & END_STREAM != 0 {
                return frame.stream;
            }
        }
    }

    /// Returns when the other side has seen all that was sent.
    pub(crate) async fn settle(&mut self) {
        self.send(PING, 0, 0, b"settled?").await;
        while let Some(frame) = self.any_frame().await {
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
                (PING, ACK) => return,
                _ => {}
            }
        }
    }

    pub(crate) async fn headers(&mut self, stream: u32) {
        let block = block(true, &[("content-type", "application/grpc")]);
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    pub(crate) async fn data(&mut self, stream: u32, data: &[u8], flags: u8) {
        self.send(DATA, flags, stream, data).await;
    }

    pub(crate) async fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = block(false, fields);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
            .await;
    }

    pub(crate) async fn trailers_only(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = block(true, fields);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
            .await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, reason: h2::Reason) {
        let reason = u32::from(reason).to_be_bytes();
        self.send(RST_STREAM, 0, stream, &reason).await;
    }

    pub(crate) async fn go_away(&mut self, last: u32, reason: h2::Reason) {
        let reason = u32::from(reason).to_be_bytes();
        let payload = [last.to_be_bytes(), reason].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = len[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // It may have gone.
        let _ = self.stream.write_all(&frame).await;
    }
}

/// Fields as literals, which need no table.
fn block(status: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    if status {
        block.push(0x88); // :status 200
    }
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}
