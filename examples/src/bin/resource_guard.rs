//! Releases what was acquired, whatever happens to its holder: `resource_guard DIRECTORY --end panic`.
//!
//! In the Python original a resource leaked when it was acquired by half, and an error of the release hid
//! that of the work. Here the release is a task which a shutdown waits for and names if it fails; it runs
//! after an error, a cancellation and a panic, and the error of the work stays what it was.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use clap::{Parser, ValueEnum};
use mainstay_examples::program::{self, BoxError};
use mainstay_tasks::{Outcome, Resource, Tasks};
use tokio::time::{sleep, timeout};

/// Works while it holds a lock: a file that nobody else can have at the same time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the file is.
    directory: PathBuf,
    /// How the work ends.
    #[arg(long, default_value = "done")]
    end: End,
    /// The release fails, since somebody else has removed the file.
    #[arg(long)]
    stolen: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum End {
    Done,
    Error,
    Panic,
    /// It is not done in time.
    Cancelled,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let Arguments {
        directory,
        end,
        stolen,
    } = arguments;
    let tasks = Tasks::new();
    let path = directory.join("lock");
    let lock = tasks
        .acquire("lock", create(&path), async |path: PathBuf| {
            fs::remove_file(&path)?;
            println!("released");
            Ok(())
        })
        .await?;
    if stolen {
        fs::remove_file(&path)?;
    }

    let name = lock.name().clone();
    let worked = tokio::spawn(timeout(Duration::from_millis(20), work(lock, end))).await;

    // Waits for the release. How it went is known by its name, if nobody waited for it before.
    tasks
        .shutdown(Duration::from_secs(5), Duration::from_secs(1))
        .await;
    match tasks.last_outcome(&name) {
        Some(Outcome::Completed) | None => {}
        Some(outcome) => println!("release {outcome}"),
    }
    worked??
}

async fn create(path: &Path) -> io::Result<PathBuf> {
    fs::File::create_new(path)
        .map_err(|error| io::Error::other(format!("cannot create {}: {error}", path.display())))?;
    println!("acquired");
    Ok(path.to_owned())
}

/// The lock is released when this ends, in whatever way.
async fn work(lock: Resource<PathBuf>, end: End) -> Result<(), BoxError> {
    println!("holding: {}", lock.exists());
    match end {
        End::Done => Ok(()),
        End::Error => Err("the work failed".into()),
        End::Panic => panic!("the work panicked"),
        End::Cancelled => {
            sleep(Duration::from_secs(3_600)).await;
            Ok(())
        }
    }
}
