use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use mainstay::{Instances, Stack, Stacked, Supervisor};
use mainstay_examples::trial::{self, Runs};
use mainstay_examples::trial_proto::trial_client::TrialClient;
use mainstay_plugin::Launcher;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) use crate::started::started_with;

/// As long as it takes to be sure; or so that all tests together do not take minutes.
pub(crate) const LASTS: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(3)
} else {
    Duration::from_secs(30)
};

pub(crate) type Client = TrialClient<Stacked<Instances>>;

/// Two instances of the plugin, in a folder of their own, with the default stack around them.
pub(crate) struct Fleet {
    pub(crate) dir: TempDir,
    pub(crate) runs: Runs,
    pub(crate) instances: Instances,
    pub(crate) stack: Stacked<Instances>,
}

pub(crate) const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self::started(|_| plugin(), |it| it).await
    }

    /// The plugin is told by variables where to put what it makes.
    pub(crate) async fn started(
        launcher: impl FnOnce(&Path) -> Launcher,
        supervisor: impl FnOnce(Supervisor) -> Supervisor,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path().join("runs"));
        let plugin = launcher(dir.path())
            .with_variable("TMPDIR", dir.path())
            .with_variable(trial::RUNS, runs.path());
        let instances = supervisor(Supervisor::new(plugin, TWO).with_name("trial")).start();
        instances.ready().await.unwrap();
        let stack = Stack::new(trial::methods()).over(&instances);
        Self {
            dir,
            runs,
            instances,
            stack,
        }
    }

    pub(crate) fn client(&self) -> Client {
        TrialClient::new(self.stack.clone())
    }

    /// With numbers of its own.
    pub(crate) fn another_stack(&self) -> Stacked<Instances> {
        Stack::new(trial::methods()).over(&self.instances)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        let running = self.instances.snapshot().running;
        running.iter().map(|it| it.pid).collect()
    }

    /// Ends it in good order, and finds nothing that is left.
    pub(crate) async fn end(self) {
        let Self {
            dir,
            instances,
            stack,
            ..
        } = self;
        drop(stack);
        instances.drain(Duration::from_secs(10)).await.unwrap();
        assert_eq!(instances.snapshot().running, []);
        let left = started_with(dir.path());
        assert_eq!(left, [0; 0], "processes that are left");
    }
}

pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_trial_plugin");

pub(crate) fn plugin() -> Launcher {
    launcher(PLUGIN)
}

/// A program that becomes the plugin.
pub(crate) fn launcher(program: &str) -> Launcher {
    Launcher::new(program, trial::cookie().unwrap(), trial::VERSION).with_auto_mtls()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    // It may have ended a moment before.
    let _ = kill_process(pid, signal);
}
