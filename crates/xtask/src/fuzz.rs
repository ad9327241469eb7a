use xshell::cmd;

use crate::{Result, Workspace};

const MANIFEST: &str = "crates/plugin/fuzz/Cargo.toml";

/// What libFuzzer needs of the compiler to see which code an input reaches; `cargo fuzz` sets the same, but wants a
/// nightly toolchain for the sanitizers that it adds.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs a fuzz target; what it learned is kept in the target folder for the next run.
pub(crate) fn run(workspace: &Workspace, target: &str, seconds: u32) -> Result {
    let sh = &workspace.sh;
    let folder = workspace.target.join("fuzz");
    lock(workspace)?;
    // Named even though it is this machine's own: else the flags would reach build scripts too.
    let host = cmd!(sh, "rustc --print host-tuple").quiet().read()?;
    cmd!(
        sh,
        "cargo build --release --manifest-path {MANIFEST} --bin {target} --target {host} --target-dir {folder}"
    )
    .env("RUSTFLAGS", FLAGS)
    .run()?;
    let corpus = folder.join("corpus").join(target);
    sh.create_dir(&corpus)?;
    let executable = folder.join(host).join("release").join(target);
    let limit = format!("-max_total_time={seconds}");
    Ok(cmd!(sh, "{executable} {limit} {corpus}").run()?)
}

/// That the targets compile: a fuzz run is for people, and takes as long as they like.
pub(crate) fn check(workspace: &Workspace) -> Result {
    let target = &workspace.target;
    lock(workspace)?;
    Ok(cmd!(
        workspace.sh,
        "cargo check --manifest-path {MANIFEST} --target-dir {target}"
    )
    .run()?)
}

/// The same versions as everywhere else: the fuzz package is no member, and has no lock file of its own.
fn lock(workspace: &Workspace) -> Result {
    let copy = "crates/plugin/fuzz/Cargo.lock";
    Ok(workspace.sh.copy_file("Cargo.lock", copy)?)
}
