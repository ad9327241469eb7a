use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use tokio_stream::StreamExt as _;
use tokio_test::task::spawn;

use super::*;

/// What an answer is made of.
#[derive(Clone, Debug)]
pub(in crate::body) enum Piece {
    Data(Vec<u8>),
    /// It is not there yet when first asked for.
    Wait,
    Status(u8),
    Trailers,
    Error,
}

pub(in crate::body) fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Piece::Data),
        3 => Just(Piece::Wait),
        1 => (0..18_u8).prop_map(Piece::Status),
        1 => Just(Piece::Trailers),
        1 => Just(Piece::Error),
    ]
}

/// How an answer of these pieces is judged, and what it consists of.
pub(in crate::body) fn expected(pieces: &[Piece], answer: StatusCode) -> (Outcome, Vec<u8>) {
    let mut data = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data(it) => data.extend(it),
            Piece::Wait => {}
            Piece::Status(number) => {
                let code = Code::parse(number.to_string().as_bytes());
                return (Outcome::new(code, Cause::Answer), data);
            }
            Piece::Trailers => break,
            Piece::Error => return (Outcome::new(Code::Unavailable, Cause::Connection), data),
        }
    }
    (status::untold(answer), data)
}

/// Polled again after its end it panics.
pub(in crate::body) fn body(
    pieces: Vec<Piece>,
) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
    let frames = tokio_stream::iter(pieces).then(|piece| {
        Box::pin(async move {
            let mut trailers = HeaderMap::new();
            match piece {
                Piece::Data(data) => return Some(Ok(Frame::data(Bytes::from(data)))),
                Piece::Wait => {
                    tokio::task::yield_now().await;
                    return None;
                }
                Piece::Error => return Some(Err(std::io::ErrorKind::ConnectionReset.into())),
                Piece::Status(number) => {
                    trailers.insert("grpc-status", u16::from(number).into());
                }
                Piece::Trailers => {
                    trailers.insert("x", 1.into());
                }
            }
            Some(Ok(Frame::trailers(trailers)))
        })
    });
    StreamBody::new(frames.filter_map(|it| it))
}

proptest! {
    #[test]
    fn an_answer_passes_through_and_its_end_is_told_once(
        pieces in prop::collection::vec(piece(), 0..8),
        polls in 0..20_usize,
        http in prop_oneof![Just(200_u16), Just(503)],
    ) {
        let answer = StatusCode::from_u16(http).unwrap();
        let (outcome, data) = expected(&pieces, answer);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |outcome| told.lock().unwrap().push(outcome)
        };
        let mut watch = Watch::new(body(pieces), answer, tell);
        let mut received = Vec::new();
        let mut end = None;
        for _ in 0..polls {
            if end.is_some() {
                prop_assert!(watch.is_end_stream());
                prop_assert!(matches!(spawn(watch.frame()).poll(), Poll::Ready(None)));
                continue;
            }
            prop_assert!(!watch.is_end_stream());
            match spawn(watch.frame()).poll() {
                Poll::Pending => {}
                Poll::Ready(None) => prop_assert!(false, "an end without a status"),
                Poll::Ready(Some(Err(status))) => end = Some(status.code()),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => received.extend(data),
                    Err(_) => end = Some(tonic::Code::Ok),
                },
            }
        }
        prop_assert!(data.starts_with(&received));
        if let Some(end) = end {
            prop_assert_eq!(&received, &data);
            prop_assert_eq!(end == tonic::Code::Ok, outcome.cause == Cause::Answer);
            if outcome.cause != Cause::Answer {
                prop_assert_eq!(end, tonic::Code::from_i32(outcome.code.number().into()));
            }
        }
        drop(watch);
        let outcome = match end {
            Some(_) => outcome,
            None => Outcome::new(Code::Cancelled, Cause::Dropped),
        };
        prop_assert_eq!(&*told.lock().unwrap(), &[outcome]);
    }
}
