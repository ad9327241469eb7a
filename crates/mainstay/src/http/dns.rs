use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mainstay_ttl_cache::{Limits, LoadFailed, Ttl, TtlCache};

/// Finds the addresses of a host. [`SystemResolver`] unless
/// [told otherwise](crate::http::Http::with_resolver).
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of this host, the best first. It is asked once for all who want to know, in a task
    /// of its own.
    fn resolve(&self, host: String) -> Resolving;
}

/// What [`Resolve`] answers with.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's `getaddrinfo`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

/// The addresses of hosts, known for a while.
#[derive(Clone)]
pub(crate) struct Names {
    cache: TtlCache<String, Arc<[IpAddr]>, Ttl>,
    resolver: Arc<dyn Resolve>,
}

/// The host exists, and has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAddress;

/// As aiohttp's `ttl_dns_cache` in the pattern that this replaces.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(300);

/// An outage of the resolver is bridged for that long.
pub(crate) const STALE_FOR: Duration = Duration::from_secs(3600);

const HOSTS: usize = 1000;

impl Names {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        let ttl = Ttl::new(FRESH_FOR).unwrap_or_else(|_| unreachable!("it is not zero"));
        let limits = Limits::new(HOSTS).unwrap_or_else(|_| unreachable!("it is not zero"));
        Self {
            // A thread in `getaddrinfo` cannot be stopped, so it may as well finish.
            cache: TtlCache::named(
                "dns",
                limits.with_detached_loads(),
                ttl.with_stale_if_error(STALE_FOR),
            ),
            resolver,
        }
    }

    pub(crate) async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, LoadFailed> {
        let (resolver, name) = (self.resolver.clone(), host.to_owned());
        let load = move || async move {
            let found = resolver.resolve(name).await?;
            if found.is_empty() {
                return Err(Box::<dyn Error + Send + Sync>::from(NoAddress));
            }
            Ok(Arc::from(found))
        };
        self.cache.get_or_load(host, load).await
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|it| it.ip()).collect())
        })
    }
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has no address")
    }
}

impl Error for NoAddress {}
