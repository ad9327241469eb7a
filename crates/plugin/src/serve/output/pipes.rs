use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::generated::StdioData;
use crate::generated::stdio_data::Channel;

/// As upstream: the most that is sent in one piece.
const CHUNK: usize = 1024;

/// The reading ends of what the process prints to.
#[derive(Debug)]
pub(crate) struct Pipes {
    stdout: Receiver,
    stderr: Receiver,
    /// Read, and given back.
    left: Option<StdioData>,
}

impl Pipes {
    /// # Panics
    /// Outside a tokio runtime with IO.
    pub(crate) fn new(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            stdout: Receiver::from_owned_fd(stdout)?,
            stderr: Receiver::from_owned_fd(stderr)?,
            left: None,
        })
    }

    /// The next piece of either; none when both have ended, or one cannot be read.
    ///
    /// Cancel safe: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<StdioData> {
        if let Some(chunk) = self.left.take() {
            return Some(chunk);
        }
        let (mut stdout, mut stderr) = ([0; CHUNK], [0; CHUNK]);
        let (channel, bytes) = tokio::select! {
            Ok(len @ 1..) = self.stdout.read(&mut stdout) => (Channel::Stdout, &stdout[..len]),
            Ok(len @ 1..) = self.stderr.read(&mut stderr) => (Channel::Stderr, &stderr[..len]),
            else => return None,
        };
        Some(data(channel, bytes))
    }

    /// What is there already; it does not depend on what tokio was told by then.
    pub(crate) fn next_now(&mut self) -> Option<StdioData> {
        if let Some(chunk) = self.left.take() {
            return Some(chunk);
        }
        let mut bytes = [0; CHUNK];
        let pipes = [
            (Channel::Stdout, self.stdout.as_fd()),
            (Channel::Stderr, self.stderr.as_fd()),
        ];
        pipes.into_iter().find_map(|(channel, pipe)| {
            // The pipes do not block, since tokio has them.
            let len = rustix::io::read(pipe, &mut bytes).unwrap_or(0);
            (len > 0).then(|| data(channel, &bytes[..len]))
        })
    }

    /// Puts back what is left of a piece.
    pub(crate) fn give_back(&mut self, rest: StdioData) {
        self.left = Some(rest).filter(|rest| !rest.data.is_empty());
    }
}

fn data(channel: Channel, bytes: &[u8]) -> StdioData {
    StdioData {
        channel: channel.into(),
        data: bytes.to_vec(),
    }
}
