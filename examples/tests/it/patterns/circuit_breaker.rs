use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_circuit_breaker");
const FAILED: &str = "failed: connection refused\n";

#[tokio::test]
async fn it_opens_after_so_many_failures_in_a_row_and_closes_after_one_good_probe_of_ten() {
    // Open for longer than the call after the last failure can be late.
    let open = ["--open-for", "500"];
    for limit in [2, 3] {
        let limit_ = limit.to_string();
        let mut arguments = vec!["--limit", &limit_];
        arguments.extend(open);
        // A success between them ends the row.
        arguments.extend(["fail", "ok"]);
        arguments.extend(["fail"].repeat(limit));
        arguments.extend(["ok", "wait", "burst", "ok"]);
        let row = FAILED.repeat(limit);
        let burst = format!("answered\n{}", "refused\n".repeat(9));
        assert_eq!(
            printed(PROGRAM, &arguments).await,
            format!("{FAILED}answered\n{row}refused\n{burst}answered\n")
        );
    }
}

#[tokio::test]
async fn a_probe_that_fails_opens_it_again() {
    let arguments = [
        "--limit",
        "1",
        "--open-for",
        "300",
        "fail",
        "wait",
        "fail",
        "ok",
    ];
    let (printed, complaint) = failed(PROGRAM, &arguments).await;
    assert_eq!(printed, format!("{FAILED}{FAILED}refused\n"));
    assert_eq!(complaint, "the circuit of the backend is open");
}

#[tokio::test]
async fn no_failure_is_not_a_limit() {
    let (printed, complaint) = failed(PROGRAM, &["--limit", "0", "ok"]).await;
    assert_eq!(printed, "");
    assert!(
        complaint.contains("the limit of failures must not be zero"),
        "{complaint}"
    );
}
