use super::program::{failed, printed, refused};

const PROGRAM: &str = env!("CARGO_BIN_EXE_retry");

#[tokio::test]
async fn it_is_called_until_it_answers() {
    for failures in 0..=4_u32 {
        let failures_ = failures.to_string();
        assert_eq!(
            printed(PROGRAM, &["--attempts", "5", "--failures", &failures_]).await,
            format!("attempts: {}\nhello world\n", failures + 1)
        );
    }
}

#[tokio::test]
async fn after_the_last_attempt_its_error_is_told() {
    for attempts in ["1", "4"] {
        let arguments = ["--attempts", attempts, "--failures", "9"];
        let (printed, complaint) = failed(PROGRAM, &arguments).await;
        assert_eq!(printed, format!("attempts: {attempts}\n"));
        assert_eq!(complaint, "connection reset");
    }
}

#[tokio::test]
async fn what_no_attempt_will_mend_is_tried_once() {
    let (printed, complaint) = failed(PROGRAM, &["--lasting"]).await;
    assert_eq!(printed, "attempts: 1\n");
    assert_eq!(complaint, "not found");
}

#[tokio::test]
async fn no_attempt_is_refused() {
    let told = refused(PROGRAM, &["--attempts", "0"]).await;
    assert!(told.contains("--attempts"), "{told}");
}
