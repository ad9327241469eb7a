use http::StatusCode;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio_test::task::spawn;

use super::super::watch::tests::{Piece, body, expected, piece};
use super::*;
use crate::outcome::{Cause, Code};

proptest! {
    #[test]
    fn an_answer_is_judged_whole_or_above_the_limit_not_at_all(
        pieces in prop::collection::vec(piece(), 0..8),
        limit in 0..100_usize,
    ) {
        let (outcome, data) = expected(&pieces, StatusCode::OK);
        let size = pieces
            .iter()
            .map_while(|it| match it {
                Piece::Data(data) => Some(data.len()),
                Piece::Wait => Some(0),
                _ => None,
            })
            .sum::<usize>();
        let mut hold = spawn(Hold::new(Response::new(body(pieces)), limit));
        let judged = loop {
            if let Poll::Ready(judged) = hold.poll() {
                break judged;
            }
        };
        prop_assert_eq!(judged.outcome, (size <= limit).then_some(outcome));
        let mut held = judged.response.into_body();
        let mut received = Vec::new();
        let end = loop {
            prop_assert!(!held.is_end_stream() || outcome.cause == Cause::NoStatus);
            match spawn(held.frame()).poll() {
                Poll::Pending => prop_assert!(judged.outcome.is_none(), "it is all there"),
                Poll::Ready(None) => break None,
                Poll::Ready(Some(Err(error))) => break Some(Err(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => received.extend(data),
                    Err(frame) => break Some(Ok(frame.into_trailers().unwrap())),
                },
            }
        };
        prop_assert_eq!(received, data);
        match end {
            None => prop_assert_eq!((judged.outcome, outcome.cause), (None, Cause::NoStatus)),
            Some(Ok(mut trailers)) if judged.outcome.is_some() => {
                prop_assert_eq!(status::told(&mut trailers), Some(outcome));
            }
            Some(Ok(_)) => prop_assert_ne!(outcome.cause, Cause::Connection),
            Some(Err(error)) => {
                prop_assert_eq!(status::failed(&*error).code, outcome.code);
            }
        }
        if judged.outcome.is_some() {
            prop_assert!(held.is_end_stream());
            prop_assert!(matches!(spawn(held.frame()).poll(), Poll::Ready(None)));
        }
    }
}

#[test]
fn the_limit_is_what_may_be_kept() {
    let few = OVERHEAD / size_of::<Bytes>();
    for (len, frames, judged) in [
        (3, 1, true),
        (4, 1, false),
        (0, few, true),
        (0, few + 1, false),
    ] {
        let mut pieces = vec![Piece::Data(vec![0; len]); frames];
        pieces.push(Piece::Status(0));
        let mut hold = spawn(Hold::new(Response::new(body(pieces)), 3));
        let answer = loop {
            if let Poll::Ready(answer) = hold.poll() {
                break answer;
            }
        };
        assert_eq!(answer.outcome.is_some(), judged);
    }
}

#[test]
fn headers_that_tell_are_the_whole_answer_and_the_body_is_left_alone() {
    let mut response = Response::new(body(Vec::new()));
    response.headers_mut().insert("grpc-status", 8.into());
    let Poll::Ready(judged) = spawn(Hold::new(response, 0)).poll() else {
        panic!("it has nothing to wait for")
    };
    let said = Outcome::new(Code::ResourceExhausted, Cause::Answer);
    assert_eq!(judged.outcome, Some(said));
    assert_eq!(judged.response.headers()["grpc-status"], "8");
}

#[test]
fn an_answer_of_one_chunk_is_held_without_an_allocation() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let body = http_body_util::Full::new(Bytes::from_static(b"message"))
        .with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let cost = allocation_counter::measure(|| {
        let mut hold = Hold::new(Response::new(body), 1 << 20);
        let Poll::Ready(judged) = Pin::new(&mut hold).poll(&mut cx) else {
            panic!("it is all there")
        };
        assert_eq!(judged.outcome, Some(Outcome::new(Code::Ok, Cause::Answer)));
        let mut held = judged.response.into_body();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut held).poll_frame(&mut cx) {
            drop(frame);
        }
    });
    assert_eq!(cost.count_total, 0);
}
