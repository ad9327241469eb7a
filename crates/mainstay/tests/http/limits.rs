use std::sync::Arc;

use mainstay::http::Http;

use crate::support::{Server, limits, ms, text, until};

async fn slow() -> Server {
    Server::http(async |_| {
        // Real, so that there is a crowd.
        tokio::time::sleep(ms(3)).await;
        text("hello")
    })
    .await
}

#[tokio::test]
async fn no_server_sees_more_connections_than_the_limit() {
    let servers = Arc::new([slow().await, slow().await, slow().await]);
    let client = Http::new().with_limits(limits(5, 3)).client();
    let callers = (0..60).map(|nth| {
        let (client, servers) = (client.clone(), servers.clone());
        tokio::spawn(async move {
            for round in 0..5 {
                let server = &servers[(nth + round) % 3];
                let sending = client.get(&server.url("/")).send();
                if nth % 7 == 0 {
                    // Some lose patience, and cost their connection.
                    drop(tokio::time::timeout(ms(2), sending).await);
                } else {
                    assert_eq!(sending.await.unwrap().text().await.unwrap(), "hello");
                }
                let live: u32 = servers.iter().map(|it| it.seen.live()).sum();
                // The server hears of an end a little later than the client.
                assert!(live <= 5 + 9, "{live} connections");
            }
        })
    });
    for caller in futures_util::future::join_all(callers).await {
        caller.unwrap();
    }
    let sizes = client.snapshot();
    assert!(sizes.created >= 5);
}

#[tokio::test]
async fn who_has_patience_never_finds_more_than_the_limit() {
    let servers = [slow().await, slow().await];
    let client = Http::new().with_limits(limits(4, 3)).client();
    let urls = (0..80).map(|nth| servers[nth % 2].url("/"));
    let answers = urls.map(|url| {
        let client = client.clone();
        async move { client.get(&url).send().await.unwrap().text().await.unwrap() }
    });
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(|it| it == "hello"));
    for server in &servers {
        assert!(
            (1..=3).contains(&server.seen.peak()),
            "{} connections",
            server.seen.peak()
        );
    }
}

#[tokio::test]
async fn who_comes_first_is_served_first() {
    let server = slow().await;
    let client = Http::new().with_limits(limits(1, 1)).client();
    let answers = (0..20).map(|nth| client.get(&server.url(&format!("/{nth}"))).send());
    let read = answers.map(|answer| async move { answer.await.unwrap().text().await.unwrap() });
    futures_util::future::join_all(read).await;
    let expected: Vec<_> = (0..20).map(|nth| format!("GET /{nth}")).collect();
    assert_eq!(server.seen.requests(), expected);
    assert_eq!(server.seen.accepted(), 1);
}

#[tokio::test]
async fn one_after_the_other_needs_one_connection() {
    let server = Server::http(async |_| text("hello")).await;
    let client = Http::new().client();
    for _ in 0..100 {
        let answer = client.get(&server.url("/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
    assert_eq!(server.seen.accepted(), 1);
}

#[tokio::test]
async fn one_that_the_server_closes_while_nobody_uses_it_is_missed() {
    let server = Server::http(async |_| text("hello")).await;
    let client = Http::new().client();
    client
        .get(&server.url("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(client.snapshot().sizes.idle, 1);
    drop(server);
    until(|| client.snapshot().sizes.idle == 0).await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let server = Server::http(async |_| text("hello")).await;
    let client = Http::new().with_idle_time(ms(50)).unwrap().client();
    client
        .get(&server.url("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(server.seen.live(), 1);
    until(|| server.seen.live() == 0).await;
    client.get(&server.url("/")).send().await.unwrap();
    assert_eq!(server.seen.accepted(), 2);
}
