use std::env;
use std::path::{Path, PathBuf};

use crate::BoxError;

/// The executables that are compared.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) plugin: PathBuf,
    pub(crate) go_plugin: PathBuf,
    pub(crate) go_host: PathBuf,
}

impl Programs {
    /// Ours are built into the folder of this executable, Go's into `peers` beside that folder.
    pub(crate) fn find() -> Result<Self, BoxError> {
        let own = env::current_exe()?;
        let beside = own.parent().ok_or("this executable has no folder")?;
        let peers = match env::var_os("MAINSTAY_PEERS") {
            Some(folder) => folder.into(),
            None => beside.with_file_name("peers"),
        };
        let of_go = |name| {
            existing(&peers, name).ok_or_else(|| {
                format!(
                    "there is no {name} in {}: `cargo xtask test --install-peers` builds it, and \
                     MAINSTAY_PEERS names another folder",
                    peers.display()
                )
            })
        };
        Ok(Self {
            go_plugin: of_go("go-kv-plugin")?,
            go_host: of_go("go-kv-host")?,
            plugin: existing(beside, "kv_plugin").ok_or_else(|| {
                format!(
                    "there is no kv_plugin in {}: `cargo build --release --bins` builds it",
                    beside.display()
                )
            })?,
        })
    }
}

fn existing(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(name)).filter(|path| path.is_file())
}
