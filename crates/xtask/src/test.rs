use std::collections::BTreeSet;

use xshell::{Cmd, cmd};

use crate::{
    Result, Workspace,
    peers::{self, Peer},
};

pub(crate) fn run(workspace: &Workspace, install_peers: bool) -> Result {
    let sh = &workspace.sh;
    if install_peers {
        peers::install(sh, peers::ALL.iter().map(|it| &it.needs))?;
    }
    let (mut present, absent): (Vec<&Peer>, Vec<_>) =
        peers::ALL.iter().partition(|it| it.needs.is_present());
    // A feature's tests may need several peers, and run when all of them are here.
    let lacking: BTreeSet<_> = absent.iter().map(|it| it.feature).collect();
    present.retain(|it| !lacking.contains(it.feature));
    for peer in &present {
        peer.build(workspace)?;
    }

    let features: BTreeSet<_> = present.iter().map(|it| it.feature).collect();
    let features: Vec<_> = features.iter().flat_map(|it| ["--features", it]).collect();
    let run = |tests: Cmd<'_>| {
        tests
            .args(&features)
            .env("MAINSTAY_PEERS", peers::folder(workspace))
            .run()
    };

    let nextest = cmd!(sh, "cargo nextest --version")
        .quiet()
        .ignore_stdout()
        .ignore_stderr();
    if nextest.run().is_ok() {
        run(cmd!(sh, "cargo nextest run --workspace"))?;
    } else {
        run(cmd!(sh, "cargo test --workspace --all-targets"))?;
    }
    run(cmd!(sh, "cargo test --doc --workspace"))?;

    println!("\nran: tests of the workspace, doc tests");
    for peer in present {
        println!("ran: tests against {}", peer.needs.name);
    }
    for peer in absent {
        println!(
            "skipped: tests against {}, for want of {}; install with `cargo xtask test --install-peers`, or `{}`",
            peer.needs.name,
            peer.needs.missing().join(", "),
            peer.needs.by_hand(),
        );
    }
    Ok(())
}
