use std::fs;

use clap::Args;
use xshell::cmd;

use crate::{
    Result, Workspace,
    peers::{self, VALGRIND},
    tools,
};

const PACKAGE: &str = "mainstay-benches";

/// A program of its own, which compares two ways to call a plugin, and no rows of a group.
const GRPC_COST: &str = "grpc_cost";

/// What is to be measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The group, if not all of them; or grpc_cost, what the facade costs a real call
    name: Option<String>,
    /// Only see that everything runs and that the budgets hold: a few short samples, which are not kept
    #[arg(long)]
    quick: bool,
    /// Write what our rows cost now to benches/budgets.toml
    #[arg(long)]
    update_budgets: bool,
    /// Install Valgrind with apt-get if it is missing
    #[arg(long)]
    install_peers: bool,
}

/// For a change that is to be merged.
pub(crate) const BRIEFLY: Options = Options {
    name: None,
    quick: true,
    update_budgets: false,
    install_peers: true,
};

/// Runs the programs that count and then the one that takes times, which reports it all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result {
    let sh = &workspace.sh;
    if options.install_peers {
        peers::install(sh, [&VALGRIND])?;
    }
    paused_clocks_are_off(workspace)?;

    let folder = workspace.target.join("benches");
    fs::create_dir_all(&folder)?;
    let program = |name: &str| {
        let program = cmd!(
            sh,
            "cargo bench --package {PACKAGE} --features peers --bench {name} --"
        );
        let program = program.env("MAINSTAY_BENCH_FOLDER", &folder);
        match &options.name {
            Some(group) => program.env("MAINSTAY_BENCH_GROUP", group),
            None => program,
        }
    };

    let quick = options.quick.then_some("--quick");
    let grpc_cost = || -> Result { Ok(program(GRPC_COST).args(quick).run()?) };
    if options.name.as_deref() == Some(GRPC_COST) {
        return grpc_cost();
    }

    program("allocations").run()?;
    let instructions = folder.join("instructions.json");
    if VALGRIND.is_present() {
        let runner = tools::GUNGRAUN_RUNNER.install(sh)?;
        let count = program("instructions").arg("--output-format=json");
        fs::write(&instructions, count.env("GUNGRAUN_RUNNER", runner).read()?)?;
    } else {
        sh.remove_path(&instructions)?;
    }
    let switches = [
        (options.quick, "--quick"),
        (options.update_budgets, "--update-budgets"),
    ];
    let switches = switches.into_iter().filter(|(is_on, _)| *is_on);
    let times = program("times").args(switches.map(|(_, switch)| switch));
    times.run()?;
    if options.name.is_none() {
        grpc_cost()?;
    }

    if !VALGRIND.is_present() {
        println!(
            "skipped: instructions, for want of {}; install with `cargo xtask bench --install-peers`, or `{}`",
            VALGRIND.name,
            VALGRIND.by_hand(),
        );
    }
    Ok(())
}

/// With tokio's `test-util` each look at its clock takes a lock, which no user would pay for.
fn paused_clocks_are_off(Workspace { sh, .. }: &Workspace) -> Result {
    let tree = cmd!(
        sh,
        "cargo tree --package {PACKAGE} --features peers --prefix none --format '{p} {f}'"
    );
    let tree = tree.quiet().read()?;
    let tokio = tree.lines().find(|it| it.starts_with("tokio v"));
    match tokio {
        None => Err(format!("{PACKAGE} does not depend on tokio?").into()),
        Some(tokio) if tokio.contains("test-util") => {
            Err(format!("{PACKAGE} switches on tokio's test-util").into())
        }
        Some(_) => Ok(()),
    }
}
