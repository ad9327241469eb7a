use tokio::time::timeout;

use super::super::output::{Lines, Piece};
use super::*;

fn shell(script: &str) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Process::start(command).unwrap().0
}

fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

async fn ended(process: &Process) -> Ended {
    timeout(Duration::from_secs(10), process.ended())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_end_is_told_with_its_status_to_everybody_who_asks() {
    let process = shell("exit 7");
    let (one, other) = (process.ended(), process.ended());
    assert_eq!(ended(&process).await.unwrap().code(), Some(7));
    assert_eq!(process.ended_as().unwrap().unwrap().code(), Some(7));
    drop(process);
    assert_eq!(one.await.unwrap().code(), Some(7));
    assert_eq!(other.await.unwrap().code(), Some(7));
}

#[test]
fn dropped_it_leaves_no_process_and_no_zombie_even_without_a_runtime() {
    let process = shell("trap '' TERM INT HUP; sleep 1000");
    let pid = process.pid();
    assert!(exists(pid));
    drop(process);
    assert!(!exists(pid));
}

#[tokio::test]
async fn what_the_process_started_ends_with_it() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "sleep 1000 & echo $!; exit 0"]);
    let (process, output) = Process::start(command).unwrap();
    ended(&process).await;
    let grandchild = std::io::read_to_string(output.stdout).unwrap();
    // A zombie may wait for its new parent.
    let stat = format!("/proc/{}/stat", grandchild.trim());
    let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    // The pipe ends a little before the process does.
    let dying = async {
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), dying).await.unwrap();
}

#[tokio::test]
async fn a_signal_reaches_what_the_process_started() {
    let mut command = Command::new("/bin/sh");
    // The outer shell has an answer to the signal; the inner one, and the sleep it becomes, have none.
    let script =
        "trap : TERM; sh -c 'echo begun; exec sleep 1000' & wait; wait; echo over; sleep 1000";
    command.args(["-c", script]);
    let (process, output) = Process::start(command).unwrap();
    let mut lines = Lines::new(output.stdout.into()).unwrap();
    let mut next = async || {
        timeout(Duration::from_secs(10), lines.next())
            .await
            .unwrap()
    };
    assert_eq!(next().await.unwrap(), Piece::Line("begun".into()));
    process.signal(Signal::TERM);
    assert_eq!(next().await.unwrap(), Piece::Line("over".into()));
    assert_eq!(process.ended_as(), None);
}

#[tokio::test]
async fn a_signal_after_the_end_reaches_nobody() {
    let process = shell("exit 0");
    ended(&process).await;
    process.signal(Signal::KILL);
    drop(process);
}

#[test]
fn a_program_that_cannot_run_is_an_error() {
    assert_eq!(
        Process::start(Command::new("/nonexistent"))
            .unwrap_err()
            .kind(),
        io::ErrorKind::NotFound
    );
}
