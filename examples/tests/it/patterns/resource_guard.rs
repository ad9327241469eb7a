use super::program::{failed, printed};
use crate::processes::files_in;

const PROGRAM: &str = env!("CARGO_BIN_EXE_resource_guard");

#[tokio::test]
async fn it_is_released_whatever_happens_to_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let released = "acquired\nholding: true\nreleased\n";
    assert_eq!(printed(PROGRAM, &[path]).await, released);
    for (end, reason) in [
        ("error", "the work failed"),
        ("panic", "the work panicked"),
        ("cancelled", "deadline has elapsed"),
    ] {
        let (printed, complaint) = failed(PROGRAM, &[path, "--end", end]).await;
        assert_eq!(printed, released, "{end}");
        assert!(complaint.contains(reason), "{complaint}");
        assert_eq!(files_in(dir.path()), [""; 0], "{end}");
    }
}

#[tokio::test]
async fn the_error_of_the_work_is_not_hidden_by_that_of_the_release() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let (printed, complaint) = failed(PROGRAM, &[path, "--stolen", "--end", "error"]).await;
    assert_eq!(
        printed,
        "acquired\nholding: false\nrelease failed: No such file or directory (os error 2)\n"
    );
    assert_eq!(complaint, "the work failed");
}

#[tokio::test]
async fn what_cannot_be_acquired_is_not_released() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("lock");
    std::fs::write(&lock, "somebody else's").unwrap();
    let (printed, complaint) = failed(PROGRAM, &[dir.path().to_str().unwrap()]).await;
    assert_eq!(printed, "");
    let lock = lock.to_str().unwrap();
    assert_eq!(
        complaint,
        format!("cannot create {lock}: File exists (os error 17)")
    );
    assert_eq!(files_in(dir.path()), ["lock"]);
}
