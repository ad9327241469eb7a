use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stack_by_hand");

#[tokio::test]
async fn what_is_known_is_not_asked_for_again() {
    assert_eq!(
        printed(PROGRAM, &["alice", "bob", "alice", "alice"]).await,
        "hello alice\nhello bob\nhello alice\nhello alice\nrequests: 2\n"
    );
}

#[tokio::test]
async fn callers_do_not_notice_that_the_server_is_unavailable_for_two_requests() {
    assert_eq!(
        printed(PROGRAM, &["--failures", "2", "alice", "bob"]).await,
        "hello alice\nhello bob\nrequests: 4\n"
    );
}

#[tokio::test]
async fn a_server_that_stays_unavailable_is_not_asked_any_more() {
    let (printed, complaint) = failed(PROGRAM, &["--failures", "99", "alice"]).await;
    assert_eq!(printed, "alice was not greeted\nrequests: 3\n");
    assert_eq!(
        complaint,
        "load of cache greetings failed: the server says 503 Service Unavailable"
    );

    let arguments = ["--failures", "99", "alice", "bob", "carol", "dave"];
    let (printed, complaint) = failed(PROGRAM, &arguments).await;
    // Three attempts, then two of three: the fifth failure in a row opened the circuit.
    assert!(
        printed.ends_with("dave was not greeted\nrequests: 5\n"),
        "{printed}"
    );
    assert!(complaint.contains("circuit greeter is open"), "{complaint}");
}

#[tokio::test]
async fn what_is_no_name_is_an_error() {
    let (printed, complaint) = failed(PROGRAM, &["no name", "alice"]).await;
    assert_eq!(
        printed,
        "no name was not greeted\nhello alice\nrequests: 1\n"
    );
    assert!(complaint.ends_with("invalid uri character"), "{complaint}");
}
