use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_http_client");

/// Serves until the test ends, and counts the requests.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let user = async move |Path(name): Path<String>| {
        counted.fetch_add(1, Relaxed);
        format!("{{\"name\":\"{name}\"}}")
    };
    let routes = Router::new()
        .route("/users/{name}", get(user))
        .route("/echo", post(async |body: String| body))
        .route(
            "/broken",
            get(async || (StatusCode::INTERNAL_SERVER_ERROR, "no disk")),
        )
        .route("/text", get(async || "hello"))
        // The program gives up in real time.
        .route("/slow", get(async || sleep(Duration::from_secs(60)).await));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, count)
}

#[tokio::test]
async fn what_is_asked_for_is_printed_and_connections_are_kept() {
    let (at, count) = server().await;
    let requests = [
        format!("get:http://{at}/users/alice"),
        format!("post:[1,2]@http://{at}/echo"),
        format!("get:http://{at}/users/bob"),
    ];
    let [alice, echo, bob] = &requests;
    assert_eq!(
        printed(PROGRAM, &["--concurrency", "1", alice, echo, bob]).await,
        format!(
            "{alice}: {{\"name\":\"alice\"}}\n{echo}: [1,2]\n{bob}: {{\"name\":\"bob\"}}\n\
             connections made: 1\n"
        )
    );
    assert_eq!(count.load(Relaxed), 2);
}

#[tokio::test]
async fn a_status_is_an_error_with_what_the_server_said() {
    let (at, _) = server().await;
    let requests = ["broken", "text", "users/alice"].map(|it| format!("get:http://{at}/{it}"));
    let requests: Vec<_> = requests.iter().map(String::as_str).collect();
    let (printed, complaint) = failed(PROGRAM, &requests).await;
    let lines: Vec<_> = printed.lines().collect();
    assert!(
        lines[0].contains("500") && lines[0].contains("no disk"),
        "{printed}"
    );
    assert!(
        lines[1].contains("not the JSON that was expected"),
        "{printed}"
    );
    assert!(lines[2].ends_with("{\"name\":\"alice\"}"), "{printed}");
    assert_eq!(complaint, "2 of 3 failed");
}

#[tokio::test]
async fn who_does_not_answer_in_time_or_at_all_is_named() {
    let (at, _) = server().await;
    let slow = format!("get:http://{at}/slow");
    let (printed, _) = failed(PROGRAM, &["--total-time", "50", &slow]).await;
    assert!(printed.contains("50ms"), "{printed}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("get:http://{}/", free.local_addr().unwrap());
    drop(free);
    let (printed, _) = failed(PROGRAM, &[&nobody]).await;
    assert!(printed.contains("refused"), "{printed}");
    let (printed, _) = failed(PROGRAM, &["put:x"]).await;
    assert!(
        printed.contains("expected get:URL or post:JSON@URL"),
        "{printed}"
    );
}
