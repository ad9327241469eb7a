use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::launch::socket;
use crate::line::Address;

/// How many files are noted before those that are gone are looked for.
const FEW: usize = 64;

/// The sockets that a plugin accepts brokered connections on and may leave behind, as upstream's plugins
/// do also when they end in good order.
#[derive(Debug)]
pub(crate) struct Strays {
    /// Where the plugin puts temporary files.
    dir: PathBuf,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    files: HashSet<PathBuf>,
    /// How many there may be before it looks which are gone.
    most: usize,
    /// The plugin has ended.
    ended: bool,
}

impl Strays {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            noted: Mutex::new(Noted {
                files: HashSet::new(),
                most: FEW,
                ended: false,
            }),
        }
    }

    /// The plugin says that it listens there.
    pub(crate) fn note(&self, address: &Address) {
        let Some(file) = socket::elsewhere(address, &self.dir) else {
            return;
        };
        let mut noted = self.noted();
        if noted.ended {
            // Dropped, it goes.
            return;
        }
        if noted.files.len() >= noted.most {
            noted.files.retain(|path| path.exists());
            noted.most = FEW.max(noted.files.len() * 2);
        }
        if let Ok(path) = file.keep() {
            noted.files.insert(path);
        }
    }

    /// Removes what there still is, once the plugin has ended.
    pub(crate) fn remove(&self) {
        let mut noted = self.noted();
        noted.ended = true;
        for path in noted.files.drain() {
            // Mostly the plugin has done so.
            let _ = fs::remove_file(path);
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // No code of others runs under it.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
