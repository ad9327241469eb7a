use std::error::Error as _;
use std::sync::atomic::Ordering;

use http::{Request, Response, StatusCode, Version};
use mainstay::http::{Error, Http};
use serde_json::{Value, json};

use crate::support::{Loopback, Server, ms, text};

#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    fn sent<T: Send>(_: T) {}
    check(&Http::new());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = Http::new().client();
        check(&client);
        sent(client.get("http://localhost/").send());
    });
}

#[tokio::test]
async fn json_goes_there_and_back() {
    let server = Server::http(async |request: Request<bytes::Bytes>| {
        let kind = request.headers()["content-type"].to_str().unwrap();
        let told: Value = serde_json::from_slice(request.body()).unwrap();
        let host = request.headers()["host"].to_str().unwrap();
        text(json!({ "kind": kind, "told": told, "host": host }).to_string())
    })
    .await;
    let client = Http::new().client();
    let order = json!({ "item": "tea" });
    let answer = client
        .post(&server.url("/orders?now#part"))
        .json(&order)
        .send();
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_11)
    );
    assert_eq!(answer.url(), server.url("/orders?now#part"));
    let expected = json!({
        "kind": "application/json",
        "told": order,
        "host": server.address.to_string(),
    });
    assert_eq!(answer.json::<Value>().await.unwrap(), expected);
    assert_eq!(server.seen.requests(), ["POST /orders"]);

    let answer = client
        .get(&server.url("/"))
        .header("content-type", "x")
        .body("1");
    let text = answer.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("\"told\":1"));
}

#[tokio::test]
async fn what_is_not_json_is_an_error() {
    let server = Server::http(async |_| text("tea")).await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    let error = answer.json::<Value>().await.unwrap_err();
    assert!(matches!(error, Error::Json(_)));
    assert!(error.source().is_some());
}

#[tokio::test]
async fn many_share_a_connection_of_http2() {
    let (server, http) = Server::https(&["h2", "http/1.1"], async |request| {
        // Real, so that all are there at once.
        tokio::time::sleep(ms(20)).await;
        text(request.uri().to_string())
    })
    .await;
    let client = http.client();
    let all = (0..50).map(|nth| {
        let request = client.get(&server.url(&format!("/{nth}")));
        async move { request.send().await.unwrap() }
    });
    for (nth, answer) in futures_util::future::join_all(all)
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(answer.text().await.unwrap(), server.url(&format!("/{nth}")));
    }
    assert_eq!(server.seen.accepted(), 1);
}

#[tokio::test]
async fn http11_goes_over_tls_where_the_server_has_no_other() {
    for alpn in [&["http/1.1"][..], &[]] {
        let (server, http) = Server::https(alpn, async |_| text("hello")).await;
        let client = http.client();
        let answers = (0..5).map(|_| client.get(&server.url("/")).send());
        for answer in futures_util::future::join_all(answers).await {
            let answer = answer.unwrap();
            assert_eq!(answer.version(), Version::HTTP_11);
            assert_eq!(answer.text().await.unwrap(), "hello");
        }
        assert!(server.seen.accepted() <= 5);
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_asked() {
    let (server, _) = Server::https(&["h2"], async |_| text("hello")).await;
    let client = Http::new().with_resolver(Loopback::default()).client();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    let cause = error.source().expect("the connector's").to_string();
    // Or there are no roots at all on this machine.
    assert!(
        cause.contains("invalid peer certificate") || cause.contains("no root"),
        "{cause}"
    );
    assert!(server.seen.requests().is_empty());
}

#[tokio::test]
async fn a_status_of_failure_is_an_error_with_a_piece_of_the_body() {
    let server = Server::http(async |_| {
        let mut answer = text("no tea\n".repeat(10_000));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
            .headers_mut()
            .insert("retry-after", "7".parse().unwrap());
        answer
    })
    .await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/tea")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error = answer.error_for_status().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    let begins = format!(
        "503 Service Unavailable from {}: no tea\\nno",
        server.url("/tea")
    );
    assert!(error.to_string().starts_with(&begins), "{error}");
    assert!(error.to_string().len() < 500);
    let Error::Status(error) = error else {
        panic!()
    };
    assert_eq!(error.body().len(), 8 * 1024);
    assert_eq!(error.retry_after(), Some(ms(7000)));
}

#[tokio::test]
async fn a_status_of_success_is_the_answer() {
    let server = Server::http(async |_| {
        Response::builder()
            .status(204)
            .body(Default::default())
            .unwrap()
    })
    .await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    let answer = answer.error_for_status().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_by_send() {
    let client = Http::new().client();
    for (url, expected) in [
        ("orders", "the URL cannot be read"),
        (
            "ftp://shop.test/",
            "the URL is not one of http or https with a host",
        ),
        (
            "http://me:secret@shop.test/",
            "the URL has credentials in it: send them in a header",
        ),
    ] {
        let error = client.get(url).header("x", "y").send().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let wrong = client.get("http://shop.test/").header("x y", "z");
    assert!(matches!(wrong.send().await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_body_that_is_too_long_for_memory_is_not_read() {
    let server = Server::http(async |_| text(vec![0; 2000])).await;
    let client = Http::new().with_max_body(1999).client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert!(matches!(answer.bytes().await, Err(Error::TooLarge(it)) if it.limit() == 1999));
    let client = Http::new().with_max_body(2000).client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 2000);
}

#[tokio::test]
async fn a_name_is_looked_up_once() {
    let server = Server::http(async |_| {
        // Real, so that connections are needed at once.
        tokio::time::sleep(ms(10)).await;
        text("hello")
    })
    .await;
    let names = Loopback::default();
    let client = Http::new().with_resolver(names.clone()).client();
    let url = format!("http://shop.test:{}/", server.address.port());
    let answers = (0..20).map(|_| client.get(&url).send());
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(server.seen.peak() > 1);
    assert_eq!(names.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_known_of_a_name_bridges_an_outage_of_the_resolver() {
    let server = Server::http(async |_| {
        let mut answer = text("hello");
        let close = "close".parse().unwrap();
        answer.headers_mut().insert("connection", close);
        answer
    })
    .await;
    let names = Loopback::default();
    let client = Http::new().with_resolver(names.clone()).client();
    let url = format!("http://shop.test:{}/", server.address.port());
    let ask = async || client.get(&url).send().await?.text().await;
    let pass = async |time| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    for _ in 0..3 {
        assert_eq!(ask().await.unwrap(), "hello");
    }
    assert_eq!(
        (server.seen.accepted(), names.0.load(Ordering::SeqCst)),
        (3, 1)
    );

    names.1.store(true, Ordering::SeqCst);
    pass(ms(301_000)).await;
    assert_eq!(ask().await.unwrap(), "hello");
    assert_eq!(names.0.load(Ordering::SeqCst), 2);
    pass(ms(3_600_000)).await;
    let error = ask().await.unwrap_err();
    assert!(matches!(error, Error::NoConnection(_)), "{error:?}");
    let cause = error.source().and_then(std::error::Error::source);
    assert_eq!(cause.unwrap().to_string(), "no answer");
}
