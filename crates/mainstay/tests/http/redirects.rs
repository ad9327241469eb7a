use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use mainstay::http::{Error, Http, RedirectRefused};

use crate::support::{Server, text};

fn to(status: u16, location: &str) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("location", location);
    response.body(Full::new("elsewhere".into())).unwrap()
}

/// Answers with what it was asked.
fn echo(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let body = String::from_utf8_lossy(request.body());
    let secret = request.headers().contains_key("authorization");
    let kind = request.headers().contains_key("content-type");
    text(format!(
        "{} {} {body} {secret} {kind}",
        request.method(),
        request.uri()
    ))
}

async fn server() -> Server {
    Server::http(async |request: Request<Bytes>| match request.uri().path() {
        "/loop" => to(302, "/loop"),
        "/nowhere" => to(302, "mailto:me@shop.test"),
        "/stay" => Response::builder()
            .status(302)
            .body(Full::default())
            .unwrap(),
        path => match path[1..].parse() {
            Ok(status) => to(status, "a/../there?x=1#part"),
            Err(_) => echo(&request),
        },
    })
    .await
}

#[tokio::test]
async fn none_is_followed_unless_that_is_asked_for() {
    let server = server().await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/302")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    let answer = answer.error_for_status().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "elsewhere");
    assert_eq!(server.seen.requests(), ["GET /302"]);
}

#[tokio::test]
async fn what_is_sent_on_depends_on_the_status() {
    let server = server().await;
    let client = Http::new().with_redirects(1).client();
    for (status, method, expected) in [
        (301, Method::GET, "GET /there?x=1 tea true true"),
        (301, Method::POST, "GET /there?x=1  true false"),
        (302, Method::POST, "GET /there?x=1  true false"),
        (302, Method::PUT, "PUT /there?x=1 tea true true"),
        (303, Method::PUT, "GET /there?x=1  true false"),
        (307, Method::POST, "POST /there?x=1 tea true true"),
        (308, Method::POST, "POST /there?x=1 tea true true"),
    ] {
        let request = client.request(method, &server.url(&format!("/{status}")));
        let request = request
            .header("authorization", "me")
            .header("content-type", "x")
            .body("tea");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.url(), server.url("/there?x=1#part"));
        assert_eq!(answer.text().await.unwrap(), expected, "{status}");
    }
    assert_eq!(
        server.seen.accepted(),
        1,
        "the bodies of redirects are read"
    );
}

#[tokio::test]
async fn they_come_to_an_end() {
    let server = server().await;
    let client = Http::new().with_redirects(3).client();
    let error = client.get(&server.url("/loop")).send().await.unwrap_err();
    assert!(matches!(
        error,
        Error::Redirect(RedirectRefused::TooMany(3))
    ));
    assert_eq!(server.seen.requests().len(), 4);
    let error = client
        .get(&server.url("/nowhere"))
        .send()
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Redirect(RedirectRefused::Location(_))
    ));
    let answer = client.get(&server.url("/stay")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn secrets_stay_with_their_origin() {
    let other = Arc::new(Server::http(async |request| echo(&request)).await);
    let url = other.url("/there");
    let server = Server::http(move |_| {
        let answer = to(307, &url);
        async { answer }
    })
    .await;
    let client = Http::new().with_redirects(1).client();
    let request = client
        .post(&server.url("/"))
        .header("authorization", "me")
        .body("tea");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "POST /there tea false false");
}

#[tokio::test]
async fn none_leads_away_from_tls() {
    let (server, http) = Server::https(&["h2"], async |_| to(302, "http://shop.test/")).await;
    let client = http.with_redirects(5).client();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    assert!(matches!(error, Error::Redirect(RedirectRefused::Downgrade)));
}
