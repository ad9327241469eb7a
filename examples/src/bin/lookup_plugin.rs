//! A plugin that answers one request from three lookups at once.

use std::process::ExitCode;

use mainstay_examples::kv;
use mainstay_examples::lookup::Directory;
use mainstay_examples::lookup_proto::lookup_server::LookupServer;
use mainstay_plugin::{InvalidCookie, Plugin};
use tonic::service::Routes;

#[tokio::main]
async fn main() -> Result<ExitCode, InvalidCookie> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // By default it panics when its host no longer reads stderr.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let services = Routes::new(LookupServer::new(Directory::default()));
    let plugin = Plugin::new(kv::cookie()?, kv::VERSION, services);
    Ok(plugin.serve().await)
}
