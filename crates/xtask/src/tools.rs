use std::{env, path::PathBuf};

use xshell::{Shell, cmd};

use crate::Result;

/// A program that is installed from crates.io: a cargo subcommand, mostly.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

pub(crate) const CARGO_HACK: Tool = Tool {
    name: "cargo-hack",
    version: "0.6.46",
};

/// Of the version that the benches are built with.
pub(crate) const GUNGRAUN_RUNNER: Tool = Tool {
    name: "gungraun-runner",
    version: "0.20.0",
};

impl Tool {
    /// The executable. It is kept outside the checkout, so that a fresh one finds it, and installed if it is absent or
    /// of another version, which cargo sees without a network.
    pub(crate) fn install(&self, sh: &Shell) -> Result<PathBuf> {
        let Self { name, version } = self;
        let folder = cache()?.join("mainstay").join("tools");
        cmd!(
            sh,
            "cargo install --locked --root {folder} {name}@{version}"
        )
        // Minutes of whole-program optimisation would save us milliseconds.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .run()?;
        Ok(folder.join("bin").join(name))
    }
}

fn cache() -> Result<PathBuf> {
    let absolute = |variable| {
        let path = env::var_os(variable).map(PathBuf::from);
        path.filter(|it| it.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME is set: no place to keep tools in".into())
}
