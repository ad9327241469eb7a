use super::program::{failed, printed, refused};

const PROGRAM: &str = env!("CARGO_BIN_EXE_one_crate");

#[tokio::test]
async fn callers_share_their_batches_and_each_has_its_own_answer() {
    assert_eq!(
        printed(PROGRAM, &["--max", "3", "a", "bb", "ccc", "dddd"]).await,
        "a batch of 3\na batch of 1\na: 1\nbb: 2\nccc: 3\ndddd: 4\n"
    );
    assert_eq!(
        printed(PROGRAM, &["größer", "x"]).await,
        "a batch of 2\ngrößer: 6\nx: 1\n"
    );
}

#[tokio::test]
async fn an_item_that_fails_is_the_only_one_of_its_batch_that_does() {
    let (counts, complaint) = failed(PROGRAM, &["a", "", "bb"]).await;
    assert_eq!(counts, "a batch of 3\na: 1\n: no letters\nbb: 2\n");
    assert_eq!(complaint, "1 of 3 failed");
}

#[tokio::test]
async fn an_empty_batch_is_refused() {
    let told = refused(PROGRAM, &["--max", "0", "a"]).await;
    assert!(told.contains("--max"), "{told}");
}
