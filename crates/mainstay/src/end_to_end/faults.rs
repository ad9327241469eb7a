//! Answers that go wrong at any place.

use h2::Reason;
use proptest::prelude::*;

use super::*;
use crate::peer::{END_STREAM, Peer};

#[derive(Clone, Debug)]
enum Answer {
    Never(Break),
    TrailersOnly(u8),
    Begun {
        /// How much there is of the one message, in two frames.
        message: [usize; 2],
        end: End,
    },
}

#[derive(Clone, Debug)]
enum End {
    Trailers(u8),
    /// A clean end.
    NoTrailers,
    Break(Break),
}

#[derive(Clone, Copy, Debug)]
enum Break {
    Close,
    Reset(Reason),
    /// Of this call.
    Refuse,
    /// It lets this call go on, and closes.
    Leave,
}

const MESSAGE: &[u8] = b"\0\0\0\0\x02\x08\x01";

fn answer() -> impl Strategy<Value = Answer> {
    let message = [0..4_usize, 0..4_usize].prop_map(|[a, b]| [a + a / 3, b]);
    prop_oneof![
        breaks().prop_map(Answer::Never),
        status().prop_map(Answer::TrailersOnly),
        (message, end()).prop_map(|(message, end)| Answer::Begun { message, end }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        status().prop_map(End::Trailers),
        Just(End::NoTrailers),
        breaks().prop_map(End::Break),
    ]
}

fn status() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0_u8), 0..18_u8]
}

fn breaks() -> impl Strategy<Value = Break> {
    prop_oneof![
        Just(Break::Close),
        (0..14_u32).prop_map(|it| Break::Reset(it.into())),
        Just(Break::Refuse),
        Just(Break::Leave),
    ]
}

proptest! {
    #[test]
    fn a_caller_learns_what_happened_whatever_goes_wrong(
        answer in answer(),
        pauses in prop::collection::vec(any::<bool>(), 8),
        streaming in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (connection, peer) = peer::connected().await;
            let stack = Parts::over([connection]);
            let mut client = HealthClient::new(stack.clone());
            let answering = tokio::spawn(play(peer, answer.clone(), pauses));
            let received = async {
                if !streaming {
                    return client.check(nobody()).await.map(drop);
                }
                let mut updates = client.watch(nobody()).await?.into_inner();
                while updates.message().await?.is_some() {}
                Ok(())
            };
            let received = timeout(Duration::from_secs(5), received).await;
            let received = received.expect("it does not hang");
            let code = received.map_or_else(|status| status.code(), |()| tonic::Code::Ok);
            let (expected, outcome) = expected(&answer, streaming);
            prop_assert_eq!(code, expected);
            prop_assert_eq!(stack.outcomes(), [outcome]);
            drop(answering.await);
            Ok(())
        })?;
    }
}

async fn play(mut peer: Peer, answer: Answer, pauses: Vec<bool>) -> Option<Peer> {
    let mut pauses = pauses.into_iter();
    let stream = peer.request().await;
    let end = match answer {
        Answer::Never(it) => End::Break(it),
        Answer::TrailersOnly(status) => {
            let status = status.to_string();
            peer.trailers_only(stream, &[("grpc-status", &status)])
                .await;
            return Some(peer);
        }
        Answer::Begun { message, end } => {
            peer.headers(stream).await;
            let mut rest = MESSAGE;
            for len in message {
                if pauses.next().unwrap_or_default() {
                    peer.settle().await;
                }
                let (data, more) = rest.split_at(len);
                peer.data(stream, data, 0).await;
                rest = more;
            }
            end
        }
    };
    if pauses.next().unwrap_or_default() {
        peer.settle().await;
    }
    match end {
        End::Trailers(status) => {
            let status = status.to_string();
            peer.trailers(stream, &[("grpc-status", &status)]).await;
        }
        End::NoTrailers => peer.data(stream, b"", END_STREAM).await,
        End::Break(Break::Close) => return None,
        End::Break(Break::Reset(reason)) => peer.reset(stream, reason).await,
        End::Break(Break::Refuse) => peer.go_away(0, Reason::NO_ERROR).await,
        End::Break(Break::Leave) => {
            peer.go_away(stream, Reason::NO_ERROR).await;
            return None;
        }
    }
    Some(peer)
}

/// What the caller gets, and how the attempt is judged.
fn expected(answer: &Answer, streaming: bool) -> (tonic::Code, Outcome) {
    let unavailable = Outcome::new(Code::Unavailable, Cause::Connection);
    let (message, end) = match answer {
        Answer::TrailersOnly(status) => ([0, 0], End::Trailers(*status)),
        Answer::Never(it) => ([0, 0], End::Break(*it)),
        Answer::Begun { message, end } => (*message, end.clone()),
    };
    let never_begun = matches!(answer, Answer::Never(_));
    let outcome = match end {
        End::Trailers(status) => {
            Outcome::new(Code::parse(status.to_string().as_bytes()), Cause::Answer)
        }
        End::NoTrailers => Outcome::new(Code::Unknown, Cause::NoStatus),
        End::Break(Break::Close | Break::Leave) => unavailable,
        // To hyper it is a clean end if there is no error in it.
        End::Break(Break::Refuse | Break::Reset(Reason::NO_ERROR)) if !never_begun => {
            Outcome::new(Code::Unknown, Cause::NoStatus)
        }
        End::Break(Break::Refuse) => unavailable.with_processed(Processed::Refused),
        End::Break(Break::Reset(reason)) => {
            let code = match u32::from(reason) {
                7 => Code::Unavailable,
                8 => Code::Cancelled,
                11 => Code::ResourceExhausted,
                12 => Code::PermissionDenied,
                5 | 13 => Code::Unknown,
                _ => Code::Internal,
            };
            let outcome = Outcome::new(code, Cause::Reset);
            match never_begun && reason == Reason::REFUSED_STREAM {
                true => outcome.with_processed(Processed::Refused),
                false => outcome,
            }
        }
    };
    let code = tonic::Code::from_i32(outcome.code.number().into());
    if code != tonic::Code::Ok {
        return (code, outcome);
    }
    // All went well but for the message, about which tonic says something where it must have one.
    let whole = streaming || message[0] + message[1] == MESSAGE.len();
    let code = if whole { code } else { tonic::Code::Internal };
    (code, outcome)
}
