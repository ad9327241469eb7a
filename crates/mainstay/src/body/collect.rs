use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::chunks::Chunks;
use super::hold::{Held, Then, is_above};

/// What came of a body of which all was to be read.
#[derive(Debug)]
pub(crate) enum Collected {
    Whole(Whole),
    /// It is above the limit: what was read of it, and then the rest.
    More(Held<Body>),
    Failed(Status),
}

/// A body that was read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    chunks: Chunks,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Reads a body to its end, if it takes no more than `limit` bytes, and as much again to keep them.
pub(crate) async fn collect(mut body: Body, limit: usize) -> Collected {
    let mut chunks = Chunks::default();
    let (mut size, mut frames) = (0_usize, 0_usize);
    let trailers = loop {
        let frame = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break None,
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return Collected::Failed(status),
        };
        match frame.into_data() {
            Ok(chunk) => {
                size = size.saturating_add(chunk.len());
                frames += 1;
                chunks.push(chunk);
            }
            Err(frame) => break frame.into_trailers().ok(),
        }
        if is_above(limit, size, frames) {
            return Collected::More(Held::new(chunks, Then::Body(body)));
        }
    };
    Collected::Whole(Whole { chunks, trailers })
}

impl Whole {
    pub(crate) fn new(chunk: Bytes, trailers: Option<HeaderMap>) -> Self {
        let mut chunks = Chunks::default();
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
        Self { chunks, trailers }
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        (0..self.chunks.len()).filter_map(|it| self.chunks.get(it))
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks().map(Bytes::len).sum()
    }

    /// Whether it is one message as gRPC sends it, and nothing else: a flag, its length, and itself.
    pub(crate) fn is_message(&self) -> bool {
        let mut prefix = self.chunks().flatten().skip(1).take(4);
        let length = prefix.try_fold(0_usize, |length, byte| {
            Some(length.checked_mul(256)? + usize::from(*byte))
        });
        length.and_then(|it| it.checked_add(5)) == Some(self.len())
    }

    pub(crate) fn into_body(self) -> Body {
        let then = self.trailers.map_or(Then::Nothing, Then::Trailers);
        Body::new(Held::<Body>::new(self.chunks, then))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn body(frames: Vec<Result<Frame<Bytes>, Status>>) -> Body {
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    fn data(size: usize) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(vec![7; size].into()))
    }

    fn trailers() -> Result<Frame<Bytes>, Status> {
        let trailers = [(Status::GRPC_STATUS, 0.into())];
        Ok(Frame::trailers(trailers.into_iter().collect()))
    }

    #[tokio::test]
    async fn what_is_not_above_the_limit_is_read_to_its_trailers_and_can_be_sent_on() {
        for frames in [vec![], vec![10], vec![3, 0, 7]] {
            let size = frames.iter().sum::<usize>();
            let frames = frames.into_iter().map(data).chain([trailers()]).collect();
            let Collected::Whole(whole) = collect(body(frames), 10).await else {
                panic!("it is not above the limit");
            };
            assert_eq!(whole.len(), size);
            let sent_on = whole.into_body().collect().await.unwrap();
            assert_eq!(sent_on.trailers().unwrap().len(), 1);
            assert_eq!(sent_on.to_bytes().len(), size);
        }
    }

    #[tokio::test]
    async fn of_what_is_above_the_limit_nothing_is_lost() {
        let long = vec![data(6), data(5), data(100), trailers()];
        let many = (0..1_000).map(|_| data(0)).chain([trailers()]).collect();
        for (frames, size) in [(long, 111), (many, 0)] {
            let Collected::More(rest) = collect(body(frames), 10).await else {
                panic!("it is above the limit");
            };
            let rest = rest.collect().await.unwrap();
            assert_eq!(rest.trailers().unwrap().len(), 1);
            assert_eq!(rest.to_bytes().len(), size);
        }
    }

    #[tokio::test]
    async fn a_body_that_fails_has_failed() {
        let frames = vec![data(1), Err(Status::aborted("half"))];
        let Collected::Failed(status) = collect(body(frames), 10).await else {
            panic!("it has failed");
        };
        assert_eq!(status.message(), "half");
    }
}
