mod calls;
mod ending;
mod kv_host;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mainstay_examples::kv;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_plugin::{Address, Instance, Launcher};
use tonic::transport::Channel;

use crate::processes;

/// Plain, and with mutual TLS.
fn launchers() -> [Launcher; 2] {
    [launcher(), launcher().with_auto_mtls()]
}

fn launcher() -> Launcher {
    let program = env!("CARGO_BIN_EXE_kv_plugin");
    Launcher::new(program, kv::cookie().unwrap(), kv::VERSION)
}

async fn client(plugin: &Instance) -> KvClient<Channel> {
    KvClient::new(plugin.connect().await.unwrap())
}

/// What a plugin must not leave behind.
#[derive(Debug)]
struct Traces {
    pid: u32,
    socket: PathBuf,
}

impl Traces {
    fn of(plugin: &Instance) -> Self {
        let Address::Unix(socket) = plugin.connector().address().clone() else {
            panic!("{plugin:?}");
        };
        let traces = Self {
            pid: plugin.pid(),
            socket,
        };
        assert!(processes::runs(traces.pid) && traces.socket.exists());
        let name = traces.dir().file_name().unwrap().to_string_lossy();
        assert!(name.starts_with("plugin-dir"), "{name}");
        // The socket itself is open to more.
        let mode = traces.dir().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        traces
    }

    /// No zombie either: the process was this one's child.
    fn are_gone(&self) -> bool {
        !processes::exists(self.pid) && !self.socket.exists() && !self.dir().exists()
    }

    fn dir(&self) -> &Path {
        self.socket.parent().unwrap()
    }
}
