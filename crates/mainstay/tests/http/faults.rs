use std::error::Error as _;

use mainstay::http::{Client, Error, Http};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::support::{Server, limits, ms, read, text, until};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What a server does.
#[derive(Clone, Copy)]
enum Step {
    Write(&'static [u8]),
    /// So many KiB of a body.
    Fill(usize),
    /// Milliseconds, for real: the client's time is.
    Wait(u64),
    Reset,
    Close,
}

use Step::{Close, Fill, Reset, Wait, Write};

/// The first request is answered by these steps; all others with `hello`.
async fn once(steps: &'static [Step]) -> Server {
    Server::raw(move |mut stream, nth, seen| async move {
        let mut steps = if nth == 0 { steps } else { &[] };
        while read(&mut stream, &seen).await.is_some() {
            for step in std::mem::take(&mut steps) {
                let done = match *step {
                    Write(bytes) => stream.write_all(bytes).await,
                    Fill(kib) => stream.write_all(&vec![b'x'; kib * 1024]).await,
                    Wait(time) => {
                        sleep(ms(time)).await;
                        Ok(())
                    }
                    Reset => return stream.set_zero_linger().unwrap(),
                    Close => return,
                };
                if done.is_err() {
                    return;
                }
            }
            if nth > 0 || seen.requests().len() > 1 {
                stream.write_all(HELLO).await.unwrap();
            }
        }
    })
    .await
}

async fn says_hello(client: &Client, server: &Server) {
    let answer = client.get(&server.url("/next")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
}

fn impatient() -> Client {
    let http = Http::new().with_limits(limits(1, 1));
    http.with_total_time(ms(100)).unwrap().client()
}

#[tokio::test]
async fn a_slow_head_costs_its_connection_and_no_other_request() {
    let server = once(&[
        Wait(150),
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"),
    ])
    .await;
    let client = impatient();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    assert!(
        matches!(error, Error::TimedOut(it) if it.within() == ms(100)),
        "{error:?}"
    );
    says_hello(&client, &server).await;
    assert_eq!(server.seen.accepted(), 2);
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let server = once(&[
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nslow "),
        Wait(200),
    ])
    .await;
    let client = impatient();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert!(matches!(answer.bytes().await, Err(Error::TimedOut(_))));
    says_hello(&client, &server).await;
    assert_eq!(server.seen.accepted(), 2);
}

#[tokio::test]
async fn a_request_may_have_a_time_of_its_own() {
    let server = once(&[Wait(150), Write(HELLO)]).await;
    let client = impatient();
    let patient = client.get(&server.url("/")).total_time(ms(5000));
    assert!(patient.send().await.is_ok());
}

#[tokio::test]
async fn a_reset_in_the_middle_is_an_error() {
    for steps in [
        &[Reset][..],
        &[Write(b"HTTP/1.1 200 O"), Reset],
        &[
            Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nslow "),
            Wait(20),
            Reset,
        ],
    ] {
        let server = once(steps).await;
        let client = Http::new().client();
        let exchange = async { client.get(&server.url("/")).send().await?.bytes().await };
        let error = exchange.await.unwrap_err();
        assert!(matches!(error, Error::Failed(_)), "{error:?}");
        assert!(error.source().is_some());
        says_hello(&client, &server).await;
        assert_eq!(server.seen.requests(), ["GET /", "GET /next"]);
    }
}

#[tokio::test]
async fn a_body_that_is_too_short_is_an_error() {
    let server = once(&[
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"),
        Close,
    ])
    .await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert!(matches!(answer.bytes().await, Err(Error::Failed(_))));
    says_hello(&client, &server).await;
}

#[tokio::test]
async fn what_comes_behind_a_body_is_no_answer_to_the_next() {
    let server = once(&[
        Write(HELLO),
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake"),
    ])
    .await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    until(|| server.seen.live() == 0).await;
    says_hello(&client, &server).await;
}

#[tokio::test]
async fn answers_of_1xx_are_not_the_answer() {
    let server = once(&[
        Write(b"HTTP/1.1 100 Continue\r\n\r\n"),
        Write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"),
        Wait(5),
        Write(HELLO),
    ])
    .await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    says_hello(&client, &server).await;
    assert_eq!(server.seen.accepted(), 1);
}

#[tokio::test]
async fn headers_without_end_are_an_error() {
    let server = once(&[
        Write(b"HTTP/1.1 200 OK\r\nx: "),
        Fill(4096),
        Write(b"\r\n\r\n"),
    ])
    .await;
    let client = Http::new().client();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    says_hello(&client, &server).await;
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let server = once(&[Write(b"220 mail.test ESMTP\r\n")]).await;
    let client = Http::new().client();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    says_hello(&client, &server).await;
}

/// The server says nothing of it: half of the requests come when it has just closed.
#[tokio::test]
async fn no_request_is_sent_twice_where_connections_are_closed_early() {
    let server = Server::raw(|mut stream, nth, seen| async move {
        for _ in 0..nth % 4 {
            if read(&mut stream, &seen).await.is_none() {
                return;
            }
            if stream.write_all(HELLO).await.is_err() {
                return;
            }
        }
    })
    .await;
    let client = Http::new().with_limits(limits(3, 3)).client();
    let mut answered = 0;
    for nth in 0..300 {
        let request = client.post(&server.url(&format!("/{nth}"))).body("once");
        // Some fail, since the server may have acted on them; or since it closes one after the other.
        if let Ok(answer) = request.send().await {
            assert_eq!(answer.text().await.unwrap(), "hello");
            answered += 1;
        }
    }
    let mut seen = server.seen.requests();
    assert!(answered > 100, "{answered}");
    assert!(seen.len() >= answered);
    seen.sort();
    let all = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), all, "sent twice");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    let server = Server::raw(|mut stream, _, seen| async move {
        read(&mut stream, &seen).await;
        stream.write_all(HELLO).await.unwrap();
    })
    .await;
    let client = Http::new().client();
    for nth in 1..=20 {
        let answer = client.post(&server.url("/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
        until(|| server.seen.live() == 0).await;
        // For the client to hear of it, as a real one would.
        sleep(ms(2)).await;
        assert_eq!(server.seen.requests().len(), nth);
    }
}

#[tokio::test]
async fn a_short_body_that_is_dropped_unread_costs_nothing() {
    for steps in [
        &[Write(HELLO)][..],
        &[
            Write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"),
            Wait(20),
            Write(b"llo"),
        ],
        &[
            Write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
            Wait(20),
            Write(b"0\r\n\r\n"),
        ],
    ] {
        let server = once(steps).await;
        let client = Http::new().with_limits(limits(1, 1)).client();
        drop(client.get(&server.url("/")).send().await.unwrap());
        says_hello(&client, &server).await;
        assert_eq!(server.seen.accepted(), 1);
    }
}

#[tokio::test]
async fn a_long_body_that_is_dropped_unread_costs_its_connection() {
    for steps in [
        &[
            Write(b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n"),
            Fill(1024),
        ][..],
        &[
            Write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100000\r\n"),
            Fill(1024),
            Write(b"\r\n0\r\n\r\n"),
        ],
    ] {
        let server = once(steps).await;
        let client = Http::new().with_limits(limits(1, 1)).client();
        drop(client.get(&server.url("/")).send().await.unwrap());
        says_hello(&client, &server).await;
        assert_eq!(server.seen.accepted(), 2);
        assert_eq!(client.snapshot().sizes.lent, 0);
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_read_for_no_more_than_a_second() {
    let server = once(&[
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"),
        Wait(5000),
    ])
    .await;
    let client = Http::new().with_limits(limits(1, 1)).client();
    drop(client.get(&server.url("/")).send().await.unwrap());
    says_hello(&client, &server).await;
    assert_eq!(server.seen.accepted(), 2);
}

#[tokio::test]
async fn a_dropped_request_costs_its_connection_and_no_other_request() {
    let server = once(&[
        Wait(50),
        Write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"),
    ])
    .await;
    let client = Http::new().with_limits(limits(1, 1)).client();
    let sending = client.get(&server.url("/")).send();
    assert!(tokio::time::timeout(ms(20), sending).await.is_err());
    says_hello(&client, &server).await;
    assert_eq!(server.seen.accepted(), 2);
}

#[tokio::test]
async fn a_dropped_stream_of_http2_costs_nothing_else() {
    let (server, http) = Server::https(&["h2"], async |request| {
        if request.uri().path() == "/slow" {
            sleep(ms(50)).await;
        }
        text("hello".repeat(100_000))
    })
    .await;
    let client = http.client();
    let slow = client.get(&server.url("/slow")).send();
    assert!(tokio::time::timeout(ms(20), slow).await.is_err());
    for _ in 0..20 {
        drop(client.get(&server.url("/")).send().await.unwrap());
    }
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 500_000);
    assert_eq!(server.seen.accepted(), 1);
}

/// Connections take leave all the time, while others are asking.
#[tokio::test]
async fn what_a_server_of_http2_did_not_look_at_is_sent_again() {
    let (server, http) = Server::https(&["h2"], async |request| {
        sleep(ms(5)).await;
        text(request.uri().path().to_owned())
    })
    .await;
    let client = http.client();
    server.seen.leave_after(ms(8));
    let callers = (0..4).map(async |caller| {
        for nth in 0..30 {
            let path = format!("/{caller}/{nth}");
            let request = client.post(&server.url(&path)).body("once");
            assert_eq!(request.send().await.unwrap().text().await.unwrap(), path);
        }
    });
    futures_util::future::join_all(callers).await;
    assert!(server.seen.accepted() > 1);
    let mut seen = server.seen.requests();
    assert_eq!(seen.len(), 120);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 120, "sent twice");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_cause() {
    let server = Server::http(async |_| text("hello")).await;
    let (url, _) = (server.url("/"), drop(server));
    let client = Http::new().client();
    let error = client.get(&url).send().await.unwrap_err();
    assert!(matches!(error, Error::NoConnection(_)));
    assert!(error.source().unwrap().to_string().contains("refused"));
}
