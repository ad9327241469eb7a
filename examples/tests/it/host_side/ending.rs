use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use mainstay_plugin::StoppedBy;
use rustix::process::Signal;
use tokio::runtime::Runtime;

use super::{Traces, client, launcher, launchers};
use crate::processes;
use crate::wait::soon;

#[tokio::test]
async fn a_plugin_that_is_stopped_ends_by_the_shutdown_call_in_no_time() {
    for launcher in launchers() {
        for connected in [true, false] {
            let plugin = launcher.launch().await.unwrap();
            let traces = Traces::of(&plugin);
            let client = if connected {
                Some(client(&plugin).await)
            } else {
                None
            };
            let begun = Instant::now();
            let stopped = soon("its end", plugin.stop()).await.unwrap();
            assert!(
                begun.elapsed() < Duration::from_millis(900),
                "{:?}",
                begun.elapsed()
            );
            assert_eq!(stopped.by(), StoppedBy::Shutdown);
            assert_eq!(stopped.exit().status().unwrap().code(), Some(0));
            assert_eq!(stopped.exit().stderr(), [""; 0]);
            assert!(traces.are_gone(), "{traces:?}");
            drop(client);
        }
    }
}

#[tokio::test]
async fn a_plugin_that_is_dropped_is_gone_when_the_drop_is_over() {
    for launcher in launchers() {
        let plugin = launcher.launch().await.unwrap();
        let traces = Traces::of(&plugin);
        let _client = client(&plugin).await;
        drop(plugin);
        assert!(traces.are_gone(), "{traces:?}");
    }
}

#[test]
fn a_plugin_may_be_dropped_on_a_thread_that_has_no_runtime() {
    let runtime = Runtime::new().unwrap();
    let plugin = runtime.block_on(launcher().launch()).unwrap();
    let traces = Traces::of(&plugin);
    std::thread::spawn(move || drop(plugin)).join().unwrap();
    assert!(traces.are_gone(), "{traces:?}");
}

#[test]
fn a_plugin_may_be_dropped_when_its_runtime_is_gone() {
    let runtime = Runtime::new().unwrap();
    let plugin = runtime.block_on(async {
        let plugin = launcher().with_auto_mtls().launch().await.unwrap();
        client(&plugin).await;
        plugin
    });
    let traces = Traces::of(&plugin);
    drop(runtime);
    assert!(processes::runs(traces.pid));
    drop(plugin);
    assert!(traces.are_gone(), "{traces:?}");
}

#[tokio::test]
async fn a_plugin_that_has_ended_is_stopped_already() {
    let plugin = launcher().launch().await.unwrap();
    let traces = Traces::of(&plugin);
    processes::signal(plugin.pid(), Signal::KILL);
    soon("its end", plugin.exited()).await;
    let stopped = soon("its end", plugin.stop()).await.unwrap();
    assert_eq!(stopped.by(), StoppedBy::Itself);
    assert_eq!(
        stopped.exit().status().unwrap().signal(),
        Some(Signal::KILL.as_raw())
    );
    assert!(traces.are_gone(), "{traces:?}");
}

/// It hears neither the call nor SIGTERM.
#[tokio::test]
async fn a_plugin_that_hangs_is_killed_within_the_times_for_it() {
    let within = Duration::from_millis(100);
    let plugin = launcher().with_stop_within(within).launch().await.unwrap();
    let traces = Traces::of(&plugin);
    processes::signal(plugin.pid(), Signal::STOP);
    let begun = Instant::now();
    let stopped = soon("its end", plugin.stop()).await.unwrap();
    // A second is left to what comes after SIGTERM.
    assert!(
        begun.elapsed() >= within + Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(stopped.by(), StoppedBy::Kill);
    assert!(traces.are_gone(), "{traces:?}");
}

#[tokio::test]
async fn a_plugin_that_hangs_can_be_dropped() {
    let plugin = launcher().launch().await.unwrap();
    let traces = Traces::of(&plugin);
    processes::signal(plugin.pid(), Signal::STOP);
    drop(plugin);
    assert!(traces.are_gone(), "{traces:?}");
}
