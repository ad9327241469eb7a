use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::{TempDir, TempPath};

use crate::line::Address;

/// What fits into a socket address, without the zero behind it.
const LONGEST_SOCKET_PATH: usize = 107;

/// A directory for the plugin's socket, which only its owner may enter: systems differ in what the
/// mode of a socket file means.
pub(crate) fn dir(temp_dir: &Path) -> io::Result<TempDir> {
    let (prefix, random) = ("plugin-dir", 6);
    // Two slashes, and a name as upstream's plugins and ours give their sockets.
    let longest = temp_dir.as_os_str().len() + prefix.len() + random + 2 + 16;
    let short = Path::new("/tmp");
    tempfile::Builder::new()
        .prefix(prefix)
        .rand_bytes(random)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(if longest > LONGEST_SOCKET_PATH {
            short
        } else {
            temp_dir
        })
}

/// The socket of a plugin that does not heed `PLUGIN_UNIX_SOCKET_DIR`, as upstream before 1.6, and
/// that leaves it behind when it is killed. Only where and as upstream names them: a plugin may
/// also lead to the socket of something that lives on.
pub(crate) fn elsewhere(address: &Address, plugins_temp_dir: &Path) -> Option<TempPath> {
    let Address::Unix(path) = address else {
        return None;
    };
    let as_upstream = path.parent() == Some(plugins_temp_dir)
        && path.file_name()?.to_str()?.starts_with("plugin");
    let is_socket = path.symlink_metadata().ok()?.file_type().is_socket();
    (as_upstream && is_socket)
        .then(|| TempPath::try_from_path(path).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
