//! pyvider-rpcplugin, both sides. Its host cannot use our plugin over a unix socket, as it puts the
//! socket's path into `:authority`, which is none.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use mainstay_examples::kv;
use mainstay_examples::proto::kv_client::KvClient;
use mainstay_examples::proto::{GetRequest, PutRequest};
use mainstay_plugin::{Launcher, StoppedBy};
use tokio::process::Command;

use crate::processes::{self, files_in, started_with};
use crate::wait::soon;

#[tokio::test]
async fn a_python_host_puts_and_gets_over_tcp() {
    for auto_mtls in ["no", "yes"] {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Command::new(python());
        host.arg(script("kv_host.py"))
            .args(["key", "a value", env!("CARGO_BIN_EXE_kv_plugin"), "--tcp"])
            .env("AUTO_MTLS", auto_mtls)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = soon("the host ends", host.output()).await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{auto_mtls}: {stderr}");
        assert_eq!(output.stdout, b"a value\n", "{auto_mtls}: {stderr}");
        assert_eq!(started_with(dir.path()), [0; 0], "{auto_mtls}: {stderr}");
    }
}

/// With AutoMTLS it shows its certificate, which is checked, and does not look at ours.
#[tokio::test]
async fn our_host_uses_a_python_plugin_and_stops_it_by_the_shutdown_call() {
    let dir = tempfile::tempdir().unwrap();
    let launcher = Launcher::new(python(), kv::cookie().unwrap(), kv::VERSION)
        .with_argument(script("kv_plugin.py"))
        .with_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_variable("TMPDIR", dir.path());
    for launcher in [launcher.clone(), launcher.with_auto_mtls()] {
        let plugin = soon("a launch", launcher.launch()).await.unwrap();
        let pid = plugin.pid();
        soon("a check", plugin.check_health()).await.unwrap();
        let mut kv = KvClient::new(plugin.connect().await.unwrap());
        let (key, value) = ("key".to_owned(), vec![7; 300]);
        let request = PutRequest {
            key: key.clone(),
            value: value.clone(),
        };
        soon("a put", kv.put(request)).await.unwrap();
        let answer = soon("a get", kv.get(GetRequest { key })).await.unwrap();
        assert_eq!(answer.into_inner().value, value);
        let request = GetRequest {
            key: "other".to_owned(),
        };
        let missing = soon("a get", kv.get(request)).await.unwrap_err();
        assert_eq!(missing.code(), tonic::Code::NotFound);

        let stopped = soon("its end", plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown, "{stopped:?}");
        assert!(!processes::exists(pid));
        assert_eq!(files_in(dir.path()), [""; 0]);
    }
}

/// Where `cargo xtask test` makes the environment.
fn python() -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_PEERS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| workspace().join("target/peers"));
    let python = folder.join("pyvider/bin/python");
    assert!(
        python.exists(),
        "{} is made by `cargo xtask test`",
        python.display()
    );
    python
}

fn script(name: &str) -> PathBuf {
    workspace().join("peers/python").join(name)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
