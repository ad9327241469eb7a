//! A plugin in Go that is not of our making: Terraform's null provider, under our host.

use std::path::{Path, PathBuf};

use mainstay_plugin::{Cookie, Launcher, StoppedBy};
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

use crate::processes::{self, files_in};
use crate::wait::soon;

/// Of Terraform's provider protocol: what its plugins are known by.
const COOKIE_KEY: &str = "TF_PLUGIN_MAGIC_COOKIE";
const COOKIE_VALUE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
const PROTOCOL: u32 = 5;

/// Of the program that was tried; it comes from others.
const CHECKSUM: &str = "c56285e7bd25a806bf86fcd4893edbe46e621a46e20fe24ef209b6fd0b7cf5fc";

/// As much of the answer as is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct GetProviderSchema {
    #[prost(map = "string, message", tag = "2")]
    resources: std::collections::HashMap<String, Schema>,
    #[prost(map = "string, message", tag = "3")]
    data_sources: std::collections::HashMap<String, Schema>,
    #[prost(message, repeated, tag = "4")]
    diagnostics: Vec<Schema>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Schema {}

#[tokio::test]
async fn our_host_gets_the_schema_of_a_terraform_provider_and_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let cookie = Cookie::new(COOKIE_KEY, COOKIE_VALUE).unwrap();
    let launcher = Launcher::new(provider(), cookie, PROTOCOL)
        .with_checksum(CHECKSUM.parse().unwrap())
        .with_variable("TMPDIR", dir.path());
    for launcher in [launcher.clone(), launcher.with_auto_mtls()] {
        let plugin = soon("a launch", launcher.launch()).await.unwrap();
        assert_eq!(plugin.version(), PROTOCOL);
        let pid = plugin.pid();
        soon("a check", plugin.check_health()).await.unwrap();
        let mut client = Grpc::new(plugin.connect().await.unwrap());
        client.ready().await.unwrap();
        let codec = ProstCodec::<(), GetProviderSchema>::default();
        let path = "/tfplugin5.Provider/GetSchema".parse().unwrap();
        let asked = client.unary(tonic::Request::new(()), path, codec);
        let schema = soon("the schema", asked).await.unwrap().into_inner();
        assert_eq!(schema.diagnostics, []);
        assert_eq!(
            schema.resources.keys().collect::<Vec<_>>(),
            ["null_resource"]
        );
        let sources: Vec<_> = schema.data_sources.keys().collect();
        assert_eq!(sources, ["null_data_source"]);

        let stopped = soon("its end", plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown, "{stopped:?}");
        assert!(!processes::exists(pid));
        assert_eq!(files_in(dir.path()), [""; 0]);
    }
}

/// Where `cargo xtask test` puts it.
fn provider() -> PathBuf {
    let folder = std::env::var_os("MAINSTAY_PEERS").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let provider = folder
        .unwrap_or_else(|| workspace.join("target/peers"))
        .join("terraform-provider-null");
    assert!(
        provider.exists(),
        "{} is put there by `cargo xtask test`",
        provider.display()
    );
    provider
}
