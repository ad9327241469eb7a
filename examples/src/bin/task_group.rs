//! Runs tasks that belong together: `task_group read=5 write=10` has the results of all; with a failure,
//! `task_group read=5 write=60000 check=fail`, the others are ended at once.
//!
//! The handler of the Python original calls `asyncio.gather`, which leaves the other operations running
//! when one has failed. Here the first failure ends the group, and is told only when the others are gone.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use mainstay_examples::program::{self, BoxError};
use mainstay_tasks::TaskGroup;
use tokio::time::sleep;

/// Runs tasks that belong together.
#[derive(Debug, Parser)]
struct Arguments {
    /// NAME=MILLISECONDS is how long a task takes, and what it results in; NAME=fail fails.
    #[arg(required = true)]
    tasks: Vec<Task>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let mut group = TaskGroup::new();
    for task in arguments.tasks {
        group.spawn(task.run());
    }
    for (name, took) in group.join().await? {
        println!("{name}: {took}");
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct Task {
    name: String,
    /// `None` fails.
    takes: Option<u64>,
}

impl Task {
    async fn run(self) -> Result<(String, u64), BoxError> {
        let mut running = Running(Some(self.name.clone()));
        let takes = self.takes.unwrap_or(20);
        sleep(Duration::from_millis(takes)).await;
        running.0 = None;
        match self.takes {
            Some(took) => Ok((self.name, took)),
            None => Err(format!("task {} failed", self.name).into()),
        }
    }
}

impl FromStr for Task {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let (name, takes) = text
            .split_once('=')
            .ok_or("expected NAME=MILLISECONDS or NAME=fail")?;
        let takes = if takes == "fail" {
            None
        } else {
            Some(takes.parse()?)
        };
        Ok(Self {
            name: name.into(),
            takes,
        })
    }
}

/// Tells of a task that is dropped before its end.
struct Running(Option<String>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            println!("{name}: cancelled");
        }
    }
}
