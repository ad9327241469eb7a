//! The chores of this workspace, run as `cargo xtask <chore>`.

mod bench;
mod ci;
mod codegen;
mod fuzz;
mod peers;
mod test;
mod tools;

use std::{error::Error, path::PathBuf, process::ExitCode};

use cargo_metadata::MetadataCommand;
use clap::Parser;
use xshell::Shell;

/// The chores of this workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Run all tests that this machine can run, those against real peers too where these are present
    Test {
        /// Install missing peers with apt-get, and fail if one is still missing
        #[arg(long)]
        install_peers: bool,
    },
    /// Run what a change must pass before it is merged
    Ci,
    /// Measure what a call costs, ours and the peers', and write benches/RESULTS.md
    Bench(bench::Options),
    /// Make the Rust code of the .proto files
    Codegen {
        /// Change nothing, and fail if the committed code is not what would be made
        #[arg(long)]
        check: bool,
    },
    /// Run a fuzz target of crates/plugin/fuzz; needs a C++ compiler
    Fuzz {
        target: String,
        /// Stop after so many seconds
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

/// What a chore works on: a shell that stands in the root of the workspace.
struct Workspace {
    sh: Shell,
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    fn find() -> Result<Self> {
        let sh = Shell::new()?;
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let root = metadata.workspace_root.into_std_path_buf();
        sh.change_dir(&root);
        Ok(Self {
            sh,
            root,
            target: metadata.target_directory.into_std_path_buf(),
        })
    }
}

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let chore = Chore::parse();
    let done = Workspace::find().and_then(|workspace| match chore {
        Chore::Test { install_peers } => test::run(&workspace, install_peers),
        Chore::Bench(options) => bench::run(&workspace, &options),
        Chore::Ci => ci::run(&workspace),
        Chore::Codegen { check } => codegen::run(&workspace, check),
        Chore::Fuzz { target, seconds } => fuzz::run(&workspace, &target, seconds),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
