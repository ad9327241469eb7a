use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::Status;
use tower::service_fn;

use super::*;
use crate::body::{Hold, Memory, Recorder, Watch};
use crate::outcome::{Cause, Code, Outcome, Processed};
use crate::peer::{self, DATA, END_STREAM, HEADERS, Peer, RST_STREAM};
use crate::status;

const PLENTY: usize = 1 << 20;
/// A message of three bytes, with the five before it.
const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";
/// The greeting of a server, and DATA on no stream.
const BROKEN: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const OK: &[(&str, &str)] = &[("grpc-status", "0")];

mod proofs {
    use super::*;

    #[tokio::test]
    async fn a_call_that_waits_for_a_connection_which_is_closed_never_left() {
        let (connection, stream) = peer::half_connected().await;
        drop(stream);
        connection.closed().await;
        let outcome = status::failed(&*call(&connection, body()).await.unwrap_err());
        assert_eq!(outcome, lost().with_processed(Processed::Never));
    }

    #[tokio::test]
    async fn a_call_after_a_goaway_never_left() {
        let (connection, mut peer) = peer::connected().await;
        let first = tokio::spawn(call(&connection, body()));
        assert_eq!(peer.request().await, 1);
        peer.go_away(1, Reason::NO_ERROR).await;
        peer.settle().await;
        let error = call(&connection, body()).await.unwrap_err();
        assert_eq!(
            status::failed(&*error),
            lost().with_processed(Processed::Never)
        );
        peer.trailers_only(1, OK).await;
        first.await.unwrap().expect("the one before goes on");
        drop(connection);
        while let Some(frame) = peer.frame().await {
            assert_eq!(frame.kind, peer::GOAWAY, "nothing else was sent");
        }
    }

    #[tokio::test]
    async fn a_stream_above_the_last_of_a_goaway_was_refused_and_one_below_goes_on() {
        let (connection, mut peer) = peer::connected().await;
        let below = tokio::spawn(call(&connection, body()));
        assert_eq!(peer.request().await, 1);
        let above = tokio::spawn(call(&connection, body()));
        assert_eq!(peer.request().await, 3);
        peer.go_away(1, Reason::NO_ERROR).await;
        let error = above.await.unwrap().unwrap_err();
        assert_eq!(
            status::failed(&*error),
            lost().with_processed(Processed::Refused)
        );
        peer.trailers_only(1, OK).await;
        let response = below.await.unwrap().expect("it goes on");
        assert!(response.headers().contains_key("grpc-status"));
    }

    #[tokio::test]
    async fn a_stream_below_the_last_of_a_goaway_may_have_run() {
        for reason in [Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
            let (connection, mut peer) = peer::connected().await;
            let call = tokio::spawn(call(&connection, body()));
            assert_eq!(peer.request().await, 1);
            peer.go_away(1, reason).await;
            peer.settle().await;
            drop(peer);
            let error = call.await.unwrap().unwrap_err();
            assert_eq!(status::failed(&*error), lost());
        }
    }

    #[tokio::test]
    async fn a_refused_stream_was_refused() {
        let (connection, mut peer) = peer::connected().await;
        let call = tokio::spawn(call(&connection, body()));
        let stream = peer.request().await;
        peer.reset(stream, Reason::REFUSED_STREAM).await;
        let outcome = status::failed(&*call.await.unwrap().unwrap_err());
        let refused = Outcome::new(Code::Unavailable, Cause::Reset);
        assert_eq!(outcome, refused.with_processed(Processed::Refused));
    }

    #[tokio::test]
    async fn a_stream_that_is_reset_may_have_run() {
        for (reason, code) in [
            (Reason::CANCEL, Code::Cancelled),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::HTTP_1_1_REQUIRED, Code::Unknown),
        ] {
            let (connection, mut peer) = peer::connected().await;
            let call = tokio::spawn(call(&connection, body()));
            let stream = peer.request().await;
            peer.reset(stream, reason).await;
            let outcome = status::failed(&*call.await.unwrap().unwrap_err());
            assert_eq!(outcome, Outcome::new(code, Cause::Reset));
        }
    }

    #[tokio::test]
    async fn a_call_that_was_written_may_have_run() {
        let (connection, mut peer) = peer::connected().await;
        let call = tokio::spawn(call(&connection, body()));
        peer.request().await;
        drop(peer);
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(status::failed(&*error), lost());
    }

    /// The other side speaks no HTTP/2: the fault is found here, and ends the connection.
    #[tokio::test]
    async fn a_connection_that_breaks_the_protocol_is_lost() {
        let (connection, mut peer) = peer::connected().await;
        let call = tokio::spawn(call(&connection, body()));
        peer.request().await;
        peer.data(0, b"on no stream", 0).await;
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(status::failed(&*error), lost());
    }

    #[tokio::test]
    async fn a_call_of_which_nothing_was_written_never_left() {
        let (ours, theirs) = duplex(64);
        // So little room that not even the greeting is through.
        let connection = peer::over(ours).await;
        settle().await;
        let call = call(&connection, body());
        settle().await;
        drop(theirs);
        let error = call.await.unwrap_err();
        assert!(error.is::<NeverLeft>(), "{error:?}");
        assert_eq!(
            status::failed(&*error),
            lost().with_processed(Processed::Never)
        );
    }

    /// The other side goes on reading, and could get what was buffered.
    #[tokio::test]
    async fn what_never_left_does_not_leave_later() {
        for broken in [false, true] {
            let (ours, mut theirs) = duplex(64);
            let connection = peer::over(ours).await;
            settle().await;
            let call = call(&connection, body());
            settle().await;
            if broken {
                theirs.write_all(BROKEN).await.unwrap();
            } else {
                theirs.shutdown().await.unwrap();
            }
            let error = call.await.unwrap_err();
            assert!(error.is::<NeverLeft>(), "{error:?}");
            drop(connection);
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            assert_eq!(received.len(), 64, "the greeting, as far as there was room");
        }
    }

    /// Nothing of the one above the last stream was written either.
    #[tokio::test]
    async fn a_goaway_lets_what_it_does_not_refuse_be_written() {
        let (ours, theirs) = duplex(256);
        let connection = peer::over(ours).await;
        let mut peer = Peer::accept(theirs, &[]).await;
        peer.settle().await;
        let message = Body::new(Full::new(Bytes::from(vec![0; 4096])));
        let first = tokio::spawn(call(&connection, message));
        assert_eq!(peer.frame().await.unwrap().kind, HEADERS);
        settle().await;
        let second = call(&connection, body());
        settle().await;
        peer.go_away(1, Reason::NO_ERROR).await;
        let error = second.await.unwrap_err();
        assert_eq!(
            status::failed(&*error),
            lost().with_processed(Processed::Refused)
        );
        assert_eq!(peer.request().await, 1);
        peer.trailers_only(1, OK).await;
        first.await.unwrap().expect("it goes on");
    }

    /// hyper keeps it back while there are as many streams as the other side allows.
    #[tokio::test]
    async fn a_body_that_was_never_asked_for_was_not_processed() {
        const MAX_CONCURRENT_STREAMS: u16 = 3;
        let (connection, stream) = peer::half_connected().await;
        let mut peer = Peer::accept(stream, &[(MAX_CONCURRENT_STREAMS, 1)]).await;
        peer.settle().await;
        let first = tokio::spawn(call(&connection, body()));
        peer.request().await;
        let mut recorder = Recorder::new(body(), PLENTY, &Memory::new(usize::MAX));
        let second = recorder.attempt().unwrap();
        let second = tokio::spawn(call(&connection, Body::new(second)));
        peer.settle().await;
        drop(peer);
        let error = second.await.unwrap().unwrap_err();
        let asked = recorder.withdraw();
        assert!(!asked);
        let outcome = status::failed(&*error);
        assert_eq!(outcome.without_body(false).processed, Processed::Never);
        let error = first.await.unwrap().unwrap_err();
        assert_eq!(status::failed(&*error), lost(), "the other one was sent");
    }

    #[tokio::test]
    async fn a_connection_that_could_not_be_made_carried_nothing() {
        let connector = service_fn(async |_: Uri| {
            Err::<TokioIo<UnixStream>, _>(std::io::Error::from(
                std::io::ErrorKind::ConnectionRefused,
            ))
        });
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .connect_with_connector_lazy(connector);
        let error = send(channel, body()).await.unwrap_err();
        assert_eq!(
            status::failed(&*error),
            lost().with_processed(Processed::Never)
        );
    }

    #[tokio::test]
    async fn the_timer_of_tonic_is_a_deadline() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut ours = Some(TokioIo::new(ours));
        let connector = service_fn(move |_: Uri| {
            std::future::ready(ours.take().ok_or(std::io::Error::other("once")))
        });
        let channel = tonic::transport::Endpoint::from_static("http://localhost")
            .timeout(Duration::from_millis(1))
            .connect_with_connector_lazy(connector);
        let error = send(channel, body()).await.unwrap_err();
        let late = Outcome::new(Code::DeadlineExceeded, Cause::Deadline);
        assert_eq!(status::failed(&*error), late);
        // As it is where only a status is left of it.
        assert_eq!(status::failed(&Status::from_error(error)), late);
        drop(theirs);
    }
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn a_whole_answer_is_judged_by_its_trailers() {
        let (response, _) = answered(async |peer, stream| {
            peer.headers(stream).await;
            peer.data(stream, MESSAGE, 0).await;
            peer.trailers(
                stream,
                &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "7")],
            )
            .await;
        })
        .await;
        let judged = Hold::new(response, PLENTY).await;
        let pushback = crate::outcome::Pushback::After(Duration::from_millis(7));
        let said = Outcome::new(Code::Unavailable, Cause::Answer).with_pushback(pushback);
        assert_eq!(judged.outcome, Some(said));
        let body = judged.response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "14");
        assert_eq!(body.to_bytes(), MESSAGE);
    }

    #[tokio::test]
    async fn an_answer_of_trailers_only_is_judged_by_its_headers() {
        let (response, _) = answered(async |peer, stream| {
            peer.trailers_only(stream, &[("grpc-status", "5"), ("grpc-message", "no%20x")])
                .await;
        })
        .await;
        assert_eq!(response.headers()["grpc-message"], "no%20x");
        let judged = Hold::new(response, PLENTY).await;
        let said = Outcome::new(Code::NotFound, Cause::Answer);
        assert_eq!(judged.outcome, Some(said));
        assert!(judged.response.headers().contains_key("grpc-status"));
    }

    #[tokio::test]
    async fn an_answer_that_ends_without_trailers_is_unknown() {
        let (response, _) = answered(async |peer, stream| {
            peer.headers(stream).await;
            peer.data(stream, MESSAGE, END_STREAM).await;
        })
        .await;
        assert_unknown(response).await;
    }

    /// hyper makes a clean end of it.
    #[tokio::test]
    async fn an_answer_that_is_reset_without_an_error_is_unknown() {
        let (response, _peer) = answered(async |peer, stream| {
            peer.headers(stream).await;
            peer.data(stream, &MESSAGE[..6], 0).await;
            peer.reset(stream, Reason::NO_ERROR).await;
        })
        .await;
        assert_unknown(response).await;
    }

    #[tokio::test]
    async fn an_answer_whose_connection_ends_is_unavailable_and_may_have_run() {
        for message in [&MESSAGE[..0], &MESSAGE[..6], MESSAGE] {
            let (response, peer) = answered(async |peer, stream| {
                peer.headers(stream).await;
                peer.data(stream, message, 0).await;
            })
            .await;
            drop(peer);
            let judged = Hold::new(response, PLENTY).await;
            assert_eq!(judged.outcome, Some(lost()));
            let error = judged.response.into_body().collect().await.unwrap_err();
            let status = Status::from_error(error);
            assert_eq!(status.code(), tonic::Code::Unavailable);
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_refused_after_its_headers_has_run() {
        for reason in [Reason::REFUSED_STREAM, Reason::CANCEL] {
            let (response, _peer) = answered(async |peer, stream| {
                peer.headers(stream).await;
                peer.data(stream, b"", 0).await;
                peer.reset(stream, reason).await;
            })
            .await;
            let outcome = Hold::new(response, PLENTY).await.outcome.unwrap();
            assert_eq!(outcome.cause, Cause::Reset);
            assert_eq!(outcome.processed, Processed::Maybe);
        }
    }

    #[tokio::test]
    async fn a_stream_is_watched_to_its_end() {
        let (response, _) = answered(async |peer, stream| {
            peer.headers(stream).await;
            peer.data(stream, MESSAGE, 0).await;
            peer.trailers(stream, OK).await;
        })
        .await;
        let (body, mut outcomes) = watched(response);
        let body = body.collect().await.unwrap();
        assert_eq!(body.to_bytes(), MESSAGE);
        let said = Outcome::new(Code::Ok, Cause::Answer);
        assert_eq!(outcomes.recv().await, Some(said));
        assert_eq!(outcomes.recv().await, None);
    }

    #[tokio::test]
    async fn a_stream_whose_connection_ends_is_unavailable() {
        let (response, peer) = answered(async |peer, stream| {
            peer.headers(stream).await;
            peer.data(stream, MESSAGE, 0).await;
        })
        .await;
        let (body, mut outcomes) = watched(response);
        drop(peer);
        let status = body.collect().await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.source().is_some(), "the cause is there");
        assert_eq!(outcomes.recv().await, Some(lost()));
    }

    #[tokio::test]
    async fn a_quiet_stream_yields_its_headers_at_once() {
        let (response, mut peer) = answered(async |peer, stream| peer.headers(stream).await).await;
        let (mut body, mut outcomes) = watched(response);
        let mut frame = tokio_test::task::spawn(body.frame());
        assert!(frame.poll().is_pending());
        drop(frame);
        drop(body);
        let dropped = Outcome::new(Code::Cancelled, Cause::Dropped);
        assert_eq!(outcomes.recv().await, Some(dropped));
        let frame = peer.frame().await.unwrap();
        assert_eq!(frame.kind, RST_STREAM, "and the other side learns of it");
    }

    async fn assert_unknown(response: Response<Incoming>) {
        let judged = Hold::new(response, PLENTY).await;
        let untold = Outcome::new(Code::Unknown, Cause::NoStatus);
        assert_eq!(judged.outcome, Some(untold));
        let error = judged.response.into_body().collect().await.unwrap_err();
        let status = Status::from_error(error);
        assert_eq!(status.code(), tonic::Code::Unknown);
    }
}

mod requests {
    use super::*;

    #[tokio::test]
    async fn the_end_goes_out_with_the_message() {
        let (connection, mut peer) = peer::connected().await;
        let mut recorder = Recorder::new(body(), PLENTY, &Memory::new(usize::MAX));
        for _ in 0..2 {
            let replay = recorder.attempt().unwrap();
            let _call = tokio::spawn(call(&connection, Body::new(replay)));
            let kinds = [peer.frame().await.unwrap(), peer.frame().await.unwrap()];
            let kinds = kinds.map(|it| (it.kind, it.flags & END_STREAM));
            assert_eq!(kinds, [(HEADERS, 0), (DATA, END_STREAM)]);
        }
    }

    /// Its response is still waited for, and its body has nothing to send.
    #[tokio::test]
    async fn an_attempt_that_is_superseded_resets_its_stream() {
        let (connection, mut peer) = peer::connected().await;
        let mut recorder = Recorder::new(endless(b"a"), PLENTY, &Memory::new(usize::MAX));
        let first = Body::new(recorder.attempt().unwrap());
        let first = tokio::spawn(call(&connection, first));
        assert_eq!(peer.frame().await.unwrap().kind, HEADERS);
        assert_eq!(peer.frame().await.unwrap().payload, b"a");
        let second = Body::new(recorder.attempt().unwrap());
        let reset = peer.frame().await.unwrap();
        assert_eq!((reset.kind, reset.stream), (RST_STREAM, 1));
        assert_eq!(reset.payload, u32::from(Reason::CANCEL).to_be_bytes());
        assert!(first.await.unwrap().is_err());
        let _second = tokio::spawn(call(&connection, second));
        assert_eq!(peer.frame().await.unwrap().kind, HEADERS);
        assert_eq!(peer.frame().await.unwrap().payload, b"a");
    }

    #[tokio::test]
    async fn a_body_that_fails_fails_its_call_with_its_own_status() {
        let (connection, _peer) = peer::connected().await;
        let failing = StreamBody::new(tokio_stream::iter([
            Ok(Frame::data(Bytes::from("a"))),
            Err(Status::invalid_argument("too large")),
        ]));
        let mut recorder = Recorder::new(Body::new(failing), PLENTY, &Memory::new(usize::MAX));
        let replay = recorder.attempt().unwrap();
        let error = call(&connection, Body::new(replay)).await.unwrap_err();
        assert_eq!(status::failed(&*error).cause, Cause::Request);
        assert_eq!(recorder.failure().unwrap().message(), "too large");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_resets_its_stream() {
        let (connection, mut peer) = peer::connected().await;
        let mut dropped = tokio_test::task::spawn(call(&connection, body()));
        assert!(dropped.poll().is_pending());
        peer.request().await;
        drop(dropped);
        let reset = peer.frame().await.unwrap();
        assert_eq!(reset.kind, RST_STREAM);
        assert_eq!(reset.payload, u32::from(Reason::CANCEL).to_be_bytes());
    }

    #[tokio::test]
    async fn they_say_where_they_go_and_who_sent_them_unless_they_did() {
        let connection = served(|request| {
            let agent = request.headers()[USER_AGENT].to_str().unwrap();
            let text = format!("{} {agent}", request.uri());
            std::future::ready(Body::new(Full::new(Bytes::from(text))))
        })
        .await;
        let text = async |request| {
            let response = connection.clone().call(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let ours = concat!("grpc-rust-mainstay/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            text(request(body())).await,
            format!("http://localhost/shop.v1.Cart/Get {ours}")
        );
        let mut theirs = request(body());
        *theirs.uri_mut() = Uri::from_static("https://example.com/a/b.C/D");
        let headers = theirs.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("me"));
        assert_eq!(text(theirs).await, "https://example.com/a/b.C/D me");
    }

    /// The server echoes, the caller does not read: the source is asked for no more than there is
    /// room for on the way. Then all of it arrives.
    #[tokio::test]
    async fn a_stream_both_ways_is_held_back_by_who_does_not_read() {
        const CHUNK: usize = 64 * 1024;
        const CHUNKS: usize = 512;
        let connection = served(|request| std::future::ready(Body::new(request.into_body()))).await;
        let (asked, mut count) = tokio::sync::watch::channel(0);
        let chunks = (0..CHUNKS).map(move |index| {
            asked.send_replace(index + 1);
            let byte = u8::try_from(index % 256).unwrap();
            Ok::<_, Status>(Frame::data(Bytes::from(vec![byte; CHUNK])))
        });
        let mut recorder = Recorder::new(
            Body::new(StreamBody::new(tokio_stream::iter(chunks))),
            PLENTY,
            &Memory::new(usize::MAX),
        );
        let replay = recorder.attempt().unwrap();
        let response = call(&connection, Body::new(replay)).await.unwrap();
        recorder.commit();
        while let Ok(Ok(())) = timeout(Duration::from_millis(200), count.changed()).await {}
        let asked = *count.borrow();
        assert!(
            asked < CHUNKS / 2,
            "{asked} chunks are on the way, which is {} MiB",
            (asked * CHUNK) >> 20
        );
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            for byte in data {
                assert_eq!(usize::from(byte), (received / CHUNK) % 256);
                received += 1;
            }
        }
        assert_eq!(received, CHUNK * CHUNKS);
    }
}

mod connections {
    use super::*;

    #[tokio::test]
    async fn dead_stays_dead() {
        let (mut connection, peer) = peer::connected().await;
        assert!(ready(&mut connection).await.is_ok());
        assert!(!connection.is_closed());
        drop(peer);
        connection.closed().await;
        assert!(connection.is_closed());
        for _ in 0..2 {
            let error = ready(&mut connection).await.unwrap_err();
            assert_eq!(
                status::failed(&*error),
                lost().with_processed(Processed::Never)
            );
            assert!(ready(&mut connection.clone()).await.is_err());
        }
    }

    #[tokio::test]
    async fn it_ends_with_the_last_clone_and_the_last_call() {
        let (connection, mut peer) = peer::connected().await;
        let call = tokio::spawn(call(&connection, body()));
        let stream = peer.request().await;
        drop(connection.clone());
        drop(connection);
        peer.settle().await;
        peer.trailers_only(stream, OK).await;
        call.await.unwrap().expect("it is answered");
        assert!(peer.frame().await.is_none_or(|it| it.kind == peer::GOAWAY));
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_at_once_is_no_connection() {
        let (ours, theirs) = duplex(1);
        drop(theirs);
        let stream = mainstay_plugin::Wired::new(ours);
        let wire = stream.wire().clone();
        let error = Connection::open(stream, wire, Origin::default())
            .await
            .unwrap_err();
        assert_eq!(
            status::failed(&error),
            lost().with_processed(Processed::Never)
        );
    }

    async fn ready(connection: &mut Connection) -> Result<(), BoxError> {
        poll_fn(|cx| connection.poll_ready(cx)).await
    }
}

mod faults {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Call,
        /// The other side reads so many bytes, or what there is.
        Read(usize),
        Settle,
    }

    #[derive(Clone, Copy, Debug)]
    enum End {
        /// It is killed.
        Dropped,
        /// It says that it sends no more, and reads all that comes.
        Closed,
        /// It breaks the protocol, and reads all that comes.
        Broken,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Call),
            3 => (1..200_usize).prop_map(Step::Read),
            2 => Just(Step::Settle),
        ]
    }

    proptest! {
        /// However little room there is, and however much was read, when a connection ends.
        #[test]
        fn a_call_that_never_left_did_not_arrive(
            room in 24..400_usize,
            steps in prop::collection::vec(step(), 1..24),
            end in prop_oneof![Just(End::Dropped), Just(End::Closed), Just(End::Broken)],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(async {
                let (ours, mut theirs) = duplex(room);
                let connection = peer::over(ours).await;
                let mut received = Vec::new();
                let mut calls = Vec::new();
                for step in steps {
                    match step {
                        Step::Call => calls.push(tokio::spawn(call(&connection, body()))),
                        Step::Read(len) => read(&mut theirs, len, &mut received).await,
                        Step::Settle => settle().await,
                    }
                }
                match end {
                    End::Dropped => drop(theirs),
                    End::Closed => {
                        theirs.shutdown().await.unwrap();
                        settle().await;
                        drop(connection);
                        theirs.read_to_end(&mut received).await.unwrap();
                    }
                    End::Broken => {
                        theirs.write_all(BROKEN).await.unwrap();
                        settle().await;
                        drop(connection);
                        theirs.read_to_end(&mut received).await.unwrap();
                    }
                }
                let arrived = arrived(&received);
                for (index, call) in calls.into_iter().enumerate() {
                    let error = call.await.unwrap().expect_err("nobody answers");
                    let outcome = status::failed(&*error);
                    prop_assert_eq!(outcome.code, Code::Unavailable);
                    prop_assert_eq!(outcome.cause, Cause::Connection);
                    if index < arrived {
                        prop_assert_eq!(outcome.processed, Processed::Maybe);
                    }
                }
                Ok(())
            })?;
        }
    }

    async fn read(stream: &mut tokio::io::DuplexStream, len: usize, received: &mut Vec<u8>) {
        let mut buffer = vec![0; len];
        let mut read = tokio_test::task::spawn(stream.read(&mut buffer));
        if let std::task::Poll::Ready(len) = read.poll() {
            drop(read);
            received.extend(&buffer[..len.unwrap()]);
        }
    }

    /// How many requests there are in what was received, which come in the order of the calls.
    fn arrived(mut received: &[u8]) -> usize {
        received = received.get(peer::PREFACE.len()..).unwrap_or_default();
        let mut requests = 0;
        while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = received {
            let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let Some(rest) = rest.get(len..) else { break };
            requests += usize::from(*kind == HEADERS);
            received = rest;
        }
        requests
    }
}

fn lost() -> Outcome {
    Outcome::new(Code::Unavailable, Cause::Connection)
}

fn body() -> Body {
    Body::new(Full::new(Bytes::from_static(MESSAGE)))
}

/// Sends this, and then nothing, for ever.
fn endless(data: &'static [u8]) -> Body {
    use tokio_stream::StreamExt as _;
    let data = tokio_stream::once(Ok::<_, Status>(Frame::data(Bytes::from_static(data))));
    Body::new(StreamBody::new(data.chain(tokio_stream::pending())))
}

fn request(body: Body) -> Request<Body> {
    Request::post("/shop.v1.Cart/Get").body(body).unwrap()
}

/// Made at once, so that it is on its way before it is waited for.
fn call(connection: &Connection, body: Body) -> Call {
    connection.clone().call(request(body))
}

async fn send<S>(mut service: S, body: Body) -> Result<S::Response, BoxError>
where
    S: Service<Request<Body>, Error: Into<BoxError>>,
{
    poll_fn(|cx| service.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    service.call(request(body)).await.map_err(Into::into)
}

/// The response to a call that was answered so, and who answered.
async fn answered(answer: impl AsyncFnOnce(&mut Peer, u32)) -> (Response<Incoming>, Peer) {
    let (connection, mut peer) = peer::connected().await;
    let call = tokio::spawn(call(&connection, body()));
    let stream = peer.request().await;
    answer(&mut peer, stream).await;
    (call.await.unwrap().unwrap(), peer)
}

type Outcomes = tokio::sync::mpsc::UnboundedReceiver<Outcome>;

fn watched(
    response: Response<Incoming>,
) -> (
    impl http_body::Body<Data = Bytes, Error = Status> + Unpin,
    Outcomes,
) {
    let (sender, outcomes) = tokio::sync::mpsc::unbounded_channel();
    let answer = response.status();
    let tell = move |outcome| sender.send(outcome).unwrap();
    (Watch::new(response.into_body(), answer, tell), outcomes)
}

/// A connection to a server that answers so.
async fn served<F, R>(answer: F) -> Connection
where
    F: Fn(Request<Incoming>) -> R + Send + 'static,
    R: Future<Output = Body> + Send + 'static,
{
    let (ours, theirs) = UnixStream::pair().unwrap();
    let service = hyper::service::service_fn(move |request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(Response::new(answer.await)) }
    });
    let server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(theirs), service));
    peer::over(ours).await
}

/// Lets all tasks do what they can.
async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
