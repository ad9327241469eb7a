use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cache");

#[tokio::test]
async fn a_key_is_loaded_once_for_all_who_ask() {
    assert_eq!(
        printed(PROGRAM, &["get:alice", "get:bob", "get:alice"]).await,
        "get:alice: 100 times the record of alice\nloads: 1\n\
         get:bob: 100 times the record of bob\nloads: 2\n\
         get:alice: 100 times the record of alice\nloads: 2\n"
    );
    assert_eq!(
        printed(PROGRAM, &["--callers", "3", "get:carol"]).await,
        "get:carol: 3 times the record of carol\nloads: 1\n"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_old_or_was_invalidated_is_loaded_again() {
    assert_eq!(
        printed(
            PROGRAM,
            &["--fresh-for", "20", "get:alice", "wait", "get:alice"]
        )
        .await,
        "get:alice: 100 times the record of alice\nloads: 1\n\
         get:alice: 100 times the record of alice\nloads: 2\n"
    );
    assert_eq!(
        printed(
            PROGRAM,
            &["get:a", "get:b", "forget:a", "forget:", "get:b", "get:a"]
        )
        .await,
        "get:a: 100 times the record of a\nloads: 1\n\
         get:b: 100 times the record of b\nloads: 2\n\
         forget:a: gone\n\
         forget:: not there\n\
         get:b: 100 times the record of b\nloads: 2\n\
         get:a: 100 times the record of a\nloads: 3\n"
    );
}

#[tokio::test]
async fn what_is_invalidated_while_it_is_loaded_is_not_stored() {
    assert_eq!(
        printed(PROGRAM, &["race:alice", "get:alice"]).await,
        "race:alice: the record of alice, stored: false\n\
         get:alice: 100 times the record of alice\nloads: 2\n"
    );
}

#[tokio::test]
async fn a_load_that_fails_is_one_failure_for_all_and_is_not_kept() {
    let (printed, complaint) = failed(PROGRAM, &["get:-x", "get:-x", "get:alice"]).await;
    let failure = "item failed: load of cache records failed: there is no record of -x";
    assert_eq!(
        printed,
        format!(
            "get:-x: {failure}\nloads: 1\n\
             get:-x: {failure}\nloads: 2\n\
             get:alice: 100 times the record of alice\nloads: 3\n"
        )
    );
    assert_eq!(complaint, failure);
}

#[tokio::test]
async fn what_is_no_step_is_an_error() {
    let (_, complaint) = failed(PROGRAM, &["put:alice"]).await;
    assert!(complaint.ends_with("not put:alice"), "{complaint}");
}
