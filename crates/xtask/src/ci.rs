use std::time::Instant;

use xshell::cmd;

use crate::{Result, Workspace, bench, codegen, fuzz, peers, test, tools};

pub(crate) fn run(workspace: &Workspace) -> Result {
    let steps: &[(&str, fn(&Workspace) -> Result)] = &[
        ("formatting", formatting),
        ("lints", lints),
        ("generated code", |it| codegen::run(it, true)),
        ("tests, with all peers", |it| test::run(it, true)),
        ("storms", storms),
        ("fuzz targets compile", fuzz::check),
        ("benches, briefly", |it| bench::run(it, &bench::BRIEFLY)),
        ("features, one by one", features),
        ("docs", docs),
        ("bans, licences, sources", dependencies),
    ];
    let start = Instant::now();
    for (name, step) in steps {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        step(workspace).map_err(|error| format!("{name}: {error}"))?;
        eprintln!("==> {name}: {} s", start.elapsed().as_secs());
    }
    let seconds = start.elapsed().as_secs();
    println!("\nall {} steps passed, in {seconds} s", steps.len());
    Ok(())
}

fn formatting(Workspace { sh, .. }: &Workspace) -> Result {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

// Warnings are denied to clippy and rustdoc only: RUSTFLAGS would build every dependency once more.

fn lints(Workspace { sh, .. }: &Workspace) -> Result {
    Ok(cmd!(
        sh,
        "cargo clippy --workspace --all-targets --all-features -- -D warnings"
    )
    .run()?)
}

fn docs(Workspace { sh, .. }: &Workspace) -> Result {
    Ok(cmd!(sh, "cargo doc --workspace --no-deps --all-features")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?)
}

/// As long as they last, which they do not in the tests, and as fast as calls can be: optimized.
fn storms(workspace: &Workspace) -> Result {
    let tests = cmd!(
        workspace.sh,
        "cargo test --release --package mainstay-examples --features peers --test storm -- --test-threads 1 --nocapture"
    );
    Ok(tests
        .env("MAINSTAY_PEERS", peers::folder(workspace))
        .run()?)
}

/// Without `--no-dev-deps`, which rewrites the manifests while it runs: the resolver of our edition keeps the features
/// of dev-dependencies out of a check of library and executables anyway.
fn features(Workspace { sh, .. }: &Workspace) -> Result {
    let cargo_hack = tools::CARGO_HACK.install(sh)?;
    Ok(cmd!(
        sh,
        "{cargo_hack} hack check --workspace --ignore-private --each-feature"
    )
    .run()?)
}

fn dependencies(Workspace { sh, .. }: &Workspace) -> Result {
    let cargo_deny = tools::CARGO_DENY.install(sh)?;
    Ok(cmd!(
        sh,
        "{cargo_deny} check --hide-inclusion-graph bans licenses sources"
    )
    .run()?)
}
