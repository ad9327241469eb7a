//! What stands between the callers and the plugin.

use mainstay_examples::proto::kv_client::KvClient;

use crate::instances::Instances;

/// The client of all callers: a generated one, over everything that stands in between.
pub(crate) type Client = KvClient<Instances>;

/// This is the place of the resilience layers, around `plugin`. As long as there are none, the
/// callers see each failure.
pub(crate) fn client(plugin: Instances) -> Client {
    KvClient::new(plugin)
}
