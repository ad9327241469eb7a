use mainstay::http::{Error, Http};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Server, limits, ms, text, until};

async fn slow() -> Server {
    Server::http(async |_| {
        // Real: closing is to come while it lasts.
        sleep(ms(50)).await;
        text("hello")
    })
    .await
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight() {
    let server = slow().await;
    let client = Http::new().with_limits(limits(1, 1)).client();
    // The second waits for a connection when it is closed.
    let answers: Vec<_> = (0..2)
        .map(|_| {
            let sending = client.get(&server.url("/")).send();
            tokio::spawn(async { sending.await?.text().await })
        })
        .collect();
    until(|| server.seen.requests().len() == 1).await;
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close(ms(5000)).await }
    });
    sleep(ms(10)).await;
    let late = client.get(&server.url("/")).send().await;
    assert!(matches!(late, Err(Error::Closed)));
    assert!(!closing.is_finished());
    closing.await.unwrap().unwrap();
    for answer in answers {
        assert!(answer.is_finished(), "closed before it");
        assert_eq!(answer.await.unwrap().unwrap(), "hello");
    }
    assert_eq!(server.seen.requests().len(), 2);
    until(|| server.seen.live() == 0).await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_in_flight() {
    let server = Server::http(async |_| text(vec![0; 1_000_000])).await;
    let client = Http::new().client();
    let answer = client.get(&server.url("/")).send().await.unwrap();
    let closing = client.close(ms(5000));
    tokio::pin!(closing);
    assert!(timeout(ms(20), closing.as_mut()).await.is_err());
    assert_eq!(answer.bytes().await.unwrap().len(), 1_000_000);
    closing.await.unwrap();
}

#[tokio::test]
async fn who_takes_too_long_is_cut_off() {
    let server = Server::http(async |_| {
        sleep(ms(5000)).await;
        text("hello")
    })
    .await;
    let client = Http::new().client();
    let sending = tokio::spawn(client.get(&server.url("/")).send());
    until(|| server.seen.requests().len() == 1).await;
    let begun = Instant::now();
    let error = client.close(ms(20)).await.unwrap_err();
    assert_eq!(error.sizes().lent, 1);
    assert!(matches!(sending.await.unwrap(), Err(Error::Failed(_))));
    assert!(begun.elapsed() < ms(2000));
}

#[tokio::test]
async fn the_last_clone_closes_its_connections() {
    let server = Server::http(async |_| text("hello")).await;
    let client = Http::new().client();
    let clone = client.clone();
    drop(client);
    let answer = clone.get(&server.url("/")).send().await.unwrap();
    drop(clone);
    assert_eq!(answer.text().await.unwrap(), "hello");
    until(|| server.seen.live() == 0).await;
}
