//! How a plugin that does not end by itself is ended.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use mainstay_plugin::{Instance, StoppedBy};
use tokio::time::{Instant, timeout};

use crate::shell::{SOON, Traced, is_gone};

const BRIEFLY: Duration = Duration::from_millis(100);

async fn started(traced: &Traced, script: &str) -> Instance {
    // Short sleeps: a shell answers a signal when its child has ended, and a child that is just being
    // made may miss that signal.
    let script =
        format!("{script}; echo '1|1|unix|/nonexistent|grpc'; while :; do sleep 0.1; done");
    let launcher = traced.launcher(&script).with_stop_within(BRIEFLY);
    launcher.launch().await.unwrap()
}

#[tokio::test]
async fn one_that_cannot_be_asked_is_terminated() {
    let traced = Traced::new();
    let plugin = started(&traced, "trap 'echo bye >&2; exit 5' TERM").await;
    let pid = plugin.pid();
    assert_eq!(traced.pid(), Some(pid));
    let stopped = plugin.stop().await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Terminate);
    assert_eq!(stopped.exit().status().unwrap().code(), Some(5));
    // The shell may have a word of its own before, about what the signal ended beside it.
    assert_eq!(stopped.exit().stderr().last().unwrap(), "bye");
    assert!(is_gone(pid));
}

#[tokio::test]
async fn one_that_ignores_every_signal_is_killed() {
    let traced = Traced::new();
    let plugin = started(&traced, "trap '' TERM INT HUP").await;
    let pid = plugin.pid();
    let began = Instant::now();
    let stopped = plugin.stop().await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Kill);
    assert_eq!(stopped.exit().status().unwrap().signal(), Some(9));
    // A second for SIGTERM, and none for SIGKILL.
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(is_gone(pid));
}

#[tokio::test]
async fn one_that_has_ended_is_told_as_such() {
    let traced = Traced::new();
    let script = "echo '1|1|unix|/nonexistent|grpc'; echo last words >&2; exit 4";
    let plugin = traced.launcher(script).launch().await.unwrap();
    let exit = timeout(SOON, plugin.exited()).await.unwrap();
    assert_eq!(exit.status().unwrap().code(), Some(4));
    assert_eq!(exit.stderr(), ["last words"]);
    let stopped = plugin.stop().await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Itself);
    assert_eq!(*stopped.exit(), exit);
}

#[tokio::test]
async fn the_end_can_be_awaited_when_the_instance_is_dropped() {
    let traced = Traced::new();
    let plugin = started(&traced, ":").await;
    let (pid, exited) = (plugin.pid(), plugin.exited());
    drop(plugin);
    assert!(is_gone(pid));
    let exit = timeout(SOON, exited).await.unwrap();
    assert_eq!(exit.status().unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_up_the_news_of_the_end() {
    let traced = Traced::new();
    // It keeps the pipes open; it ends by itself, since nobody can reach it here.
    let plugin = started(&traced, "setsid sh -c 'sleep 3' & trap 'exit 0' TERM").await;
    let began = Instant::now();
    let stopped = plugin.stop().await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Terminate);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}
