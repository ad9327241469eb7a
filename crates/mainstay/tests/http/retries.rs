use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use mainstay::circuit_breaker::{ConsecutiveFailures, Rules};
use mainstay::http::{Client, Error, Http};
use mainstay::retry_backoff::{ExponentialBackoff, Plan};
use tokio::time::Instant;

use crate::support::{Server, ms, text};

/// Fails so often, then is well.
async fn failing(times: u32, failure: fn() -> Response<Full<Bytes>>) -> Server {
    let left = Arc::new(AtomicU32::new(times));
    Server::http(move |_| {
        let is_failure = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1))
            .is_ok();
        async move { if is_failure { failure() } else { text("hello") } }
    })
    .await
}

fn busy(retry_after: &str) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(503)
        .header("retry-after", retry_after);
    response.body(Full::new("busy".into())).unwrap()
}

fn retrying() -> Client {
    let backoff = ExponentialBackoff::new(ms(1), ms(10)).unwrap();
    Http::new()
        .with_retries(Plan::default().with_backoff(backoff))
        .client()
}

#[tokio::test]
async fn what_may_be_sent_twice_is_tried_again() {
    let server = failing(2, || busy("0")).await;
    let client = retrying();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert_eq!(server.seen.requests().len(), 3);
    assert_eq!(server.seen.accepted(), 1, "what failed is read to its end");
}

#[tokio::test]
async fn what_may_not_is_not() {
    let server = failing(2, || busy("0")).await;
    let client = retrying();
    let answer = client.post(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let known = client
        .post(&server.url("/"))
        .header("idempotency-key", "1")
        .idempotent(true);
    assert_eq!(known.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.seen.requests().len(), 3);
}

#[tokio::test]
async fn nothing_is_without_being_asked_for() {
    let server = failing(1, || busy("0")).await;
    let answer = Http::new()
        .client()
        .get(&server.url("/"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_last_answer_is_the_answer() {
    let server = failing(9, || busy("0")).await;
    let answer = retrying().get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "busy");
    assert_eq!(server.seen.requests().len(), 3);
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let server = failing(1, || busy("1")).await;
    let begun = Instant::now();
    assert!(retrying().get(&server.url("/")).send().await.is_ok());
    assert!(begun.elapsed() >= ms(1000));

    let server = failing(1, || {
        #[expect(
            clippy::disallowed_types,
            reason = "dates on the wire are of the wall clock"
        )]
        let soon = std::time::SystemTime::now() + Duration::from_secs(2);
        busy(&httpdate::fmt_http_date(soon))
    })
    .await;
    let begun = Instant::now();
    assert!(retrying().get(&server.url("/")).send().await.is_ok());
    // Dates are of whole seconds.
    assert!(begun.elapsed() >= ms(900));

    // More than a request may take is not waited for.
    let server = failing(1, || busy("100000000000000000000")).await;
    let answer = retrying().get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_connection_that_failed_is_tried_again_where_that_is_safe() {
    let server = Server::raw(|mut stream, nth, seen| async move {
        use tokio::io::AsyncWriteExt;
        while crate::support::read(&mut stream, &seen).await.is_some() {
            if nth == 0 {
                return;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let client = retrying();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert_eq!(server.seen.requests().len(), 2);
}

#[tokio::test]
async fn each_host_has_a_circuit() {
    let bad = failing(99, || {
        Response::builder()
            .status(500)
            .body(Full::default())
            .unwrap()
    })
    .await;
    let good = failing(0, || busy("0")).await;
    let rules = Rules::new(ConsecutiveFailures::new(2).unwrap());
    let client = Http::new().with_breakers(rules).client();
    for _ in 0..2 {
        let answer = client.get(&bad.url("/")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let error = client.get(&bad.url("/")).send().await.unwrap_err();
    assert!(matches!(error, Error::Open(it) if it.retry_after().is_some()));
    assert_eq!(bad.seen.requests().len(), 2);
    assert!(client.get(&good.url("/")).send().await.is_ok());
}
