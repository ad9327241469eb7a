use std::time::Duration;

use mainstay_circuit_breaker::Open;
use mainstay_examples_testing::{BoxError, stack};
use tokio::time::{Instant, advance, timeout};
use tower::ServiceExt;
use tower_test::{assert_request_eq, mock};

/// What the test answers with, in place of a server.
type Server = mock::Handle<String, String>;

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_again_when_it_is_five_minutes_old() {
    let (records, mut server) = mock::pair::<String, String>();
    let records = stack(records).unwrap();
    let mut answers = Vec::new();
    for answer in ["first", "second"] {
        let call = records.clone().oneshot("alice".into());
        let serving = answer_next(&mut server, "alice", answer);
        let (loaded, ()) = soon(async { tokio::join!(call, serving) }).await;
        answers.push(loaded.unwrap());
        // Nobody answers this one but the cache.
        advance(Duration::from_secs(299)).await;
        let cached = soon(records.clone().oneshot("alice".into())).await;
        answers.push(cached.unwrap());
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(answers, ["first", "first", "second", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_three_attempts_a_second_apart() {
    let (records, mut server) = mock::pair::<String, String>();
    let start = Instant::now();
    let serving = async {
        let mut asked = Vec::new();
        for answer in [Err("reset"), Err("reset"), Ok("alice's")] {
            let (_, answered) = server.next_request().await.unwrap();
            asked.push(start.elapsed().as_secs());
            match answer {
                Ok(answer) => answered.send_response(answer.to_owned()),
                Err(error) => answered.send_error(error),
            }
        }
        asked
    };
    let call = stack(records).unwrap().oneshot("alice".into());
    let (answer, asked) = soon(async { tokio::join!(call, serving) }).await;
    assert_eq!(answer.unwrap(), "alice's");
    assert_eq!(asked, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_left_alone_for_ten_seconds() {
    let (records, mut server) = mock::pair::<String, String>();
    let records = stack(records).unwrap();
    let failing = async {
        for _ in 0..5 {
            let (_, answered) = server.next_request().await.unwrap();
            answered.send_error("out of memory");
        }
    };
    let calls = async {
        // Three attempts, and two of three: then the circuit is open, and the last one a second later is refused.
        for name in ["alice", "bob"] {
            let failed = records.clone().oneshot(name.into()).await;
            failed.unwrap_err();
        }
    };
    soon(async { tokio::join!(failing, calls) }).await;

    advance(Duration::from_secs(8)).await;
    let start = Instant::now();
    let refused = soon(records.clone().oneshot("carol".into())).await;
    let error = refused.unwrap_err();
    assert!(is_open(&error), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);

    advance(Duration::from_secs(1)).await;
    let call = records.clone().oneshot("carol".into());
    let serving = answer_next(&mut server, "carol", "carol's");
    let (answer, ()) = soon(async { tokio::join!(call, serving) }).await;
    assert_eq!(answer.unwrap(), "carol's");
}

/// Fails where a test would wait for ever. On a clock that is paused an hour costs nothing.
async fn soon<F: Future>(future: F) -> F::Output {
    let hour = Duration::from_secs(3_600);
    let waited = timeout(hour, future).await;
    waited.expect("what is waited for comes")
}

async fn answer_next(server: &mut Server, name: &str, answer: &str) {
    assert_request_eq!(server, name).send_response(answer.to_owned());
}

/// Whether a failed load has an open circuit for its cause.
fn is_open(error: &BoxError) -> bool {
    error.source().is_some_and(|cause| cause.is::<Open>())
}
