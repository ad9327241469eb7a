mod controller;
mod environment;
mod error;
mod health;
mod host_watch;
mod in_process;
mod listener;
mod output;
mod server;
mod services;
mod stop;
mod streams;

pub use environment::InvalidEnvironment;
pub use error::ServeError;
pub(crate) use health::SERVICE as HEALTH_SERVICE;
pub use in_process::InProcess;
pub use listener::Transport;
pub(crate) use listener::{Listener, Place};
pub use output::Stderr;
pub(crate) use server::{ACCEPT_AGAIN, serve};

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;

use self::controller::Controller;
use self::environment::{Environment, Multiplexing};
use self::health::PluginHealth;
use self::host_watch::HostWatch;
use self::output::{Kept, StdioService};
use self::server::Server;
use self::services::Services;
use self::stop::{Phase, Signals, Stop};
use crate::broker::{Broker, BrokerService, Means};
use crate::certificate::{Identity, Pinned, Role};
use crate::cookie::Cookie;
use crate::generated::grpc_broker_server::GrpcBrokerServer;
use crate::generated::grpc_controller_server::GrpcControllerServer;
use crate::generated::grpc_stdio_server::GrpcStdioServer;
use crate::line::HandshakeLine;
use crate::tls::Tls;

/// Upstream's hosts kill a plugin 2 s after they asked it to stop.
pub(crate) const DRAIN_WITHIN: Duration = Duration::from_millis(1500);

/// How long `main` may take to end after it has served.
const EXIT_WITHIN: Duration = Duration::from_secs(1);

/// A plugin: gRPC services that a host starts as a process of its own.
///
/// ```no_run
/// use std::process::ExitCode;
/// use mainstay_plugin::{Cookie, Plugin};
/// use tonic::service::Routes;
/// # use tonic_health::pb::health_server::HealthServer as KvServer;
/// # use tonic_health::server::{HealthReporter, HealthService};
/// # struct Kv;
/// # impl Kv { fn default() -> HealthService { HealthService::from_health_reporter(HealthReporter::new()) } }
///
/// #[tokio::main]
/// async fn main() -> Result<ExitCode, mainstay_plugin::InvalidCookie> {
///     let services = Routes::new(KvServer::new(Kv::default()));
///     let plugin = Plugin::new(Cookie::new("BASIC_PLUGIN", "hello")?, 1, services);
///     Ok(plugin.serve().await)
/// }
/// ```
///
/// # What is served beside the services
/// `grpc.health.v1.Health`, with `plugin` SERVING until the drain begins, and
/// `plugin.GRPCController`, `plugin.GRPCStdio`, and `plugin.GRPCBroker` for the [`Broker`]; services of
/// these names among the plugin's own are not reached. Their
/// messages are limited to tonic's 4 MiB; limits of your own
/// services are set on their generated servers (`KvServer::new(kv).max_decoding_message_size(..)`).
///
/// # Reflection
/// Plugins in Go offer it always, and hosts do not use it; for tools, `tonic-reflection` makes it a service
/// like others:
///
/// ```
/// use tonic::service::Routes;
/// # use tonic_health::pb::FILE_DESCRIPTOR_SET;
/// # use tonic_health::pb::health_server::HealthServer as KvServer;
/// # use tonic_health::server::{HealthReporter, HealthService};
/// # let kv = HealthService::from_health_reporter(HealthReporter::new());
///
/// let reflection = tonic_reflection::server::Builder::configure()
///     .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
///     .build_v1()?;
/// let services = Routes::new(KvServer::new(kv)).add_service(reflection);
/// # Ok::<_, tonic_reflection::server::Error>(())
/// ```
///
/// # What the process prints
/// From the handshake on, stdout and stderr of the whole process, of `println!` as of C code, go to the
/// host over `plugin.GRPCStdio`; give your log [`Stderr`](crate::Stderr), which stays the process's own.
/// Panics are told there too. A host that does not read holds up who prints: a pipe takes up to 1 MiB,
/// and then the thread that prints waits, so a runtime of one thread must not print more than that
/// between two awaits. What no host has asked for within 5 s goes to the process's own stdout and
/// stderr, as does what is left at the end of [`serve`](Self::serve); by [`std::process::exit`] or a
/// crash it is lost. [`with_own_output`](Self::with_own_output) leaves all of it as it is.
///
/// # How it ends
/// A `Shutdown` call of the host, SIGTERM or SIGHUP begin the drain: the socket file is removed,
/// nothing new is accepted, calls under way may finish within 1.5 s
/// ([`with_drain_within`](Self::with_drain_within)). A signal during the drain ends it at once.
/// SIGINT is ignored, and SIGHUP if it was from the start. When the host's process is gone, the plugin ends within a second, if need be by
/// [`std::process::exit`]; tell it to [outlive its host](Self::outliving_its_host) if it is
/// started by something that ends before the host does.
#[derive(Clone, Debug)]
pub struct Plugin {
    cookie: Cookie,
    services: BTreeMap<u32, Routes>,
    transport: Transport,
    drain_within: Duration,
    watches_host: bool,
    broker: Broker,
    keeps_output: bool,
}

/// The services of an app protocol version were given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateVersion(u32);

impl Plugin {
    /// A plugin that hosts know by `cookie` and that has these `services` in the app protocol
    /// `version`.
    #[must_use]
    pub fn new(cookie: Cookie, version: u32, services: Routes) -> Self {
        Self {
            cookie,
            services: BTreeMap::from([(version, services)]),
            transport: Transport::default(),
            drain_within: DRAIN_WITHIN,
            watches_host: true,
            broker: Broker::new(),
            keeps_output: true,
        }
    }

    /// As [`new`](Self::new), for services that need the [`Broker`]: to call services of the host's, or
    /// to offer it further ones.
    ///
    /// ```
    /// use mainstay_plugin::{Broker, Cookie, Plugin};
    /// use tonic::service::Routes;
    ///
    /// struct Counter(Broker);
    /// # impl Counter { fn into_routes(self) -> Routes { Routes::default() } }
    ///
    /// let cookie = Cookie::new("BASIC_PLUGIN", "hello")?;
    /// let plugin = Plugin::brokered(cookie, 1, |broker| Counter(broker).into_routes());
    /// # Ok::<_, mainstay_plugin::InvalidCookie>(())
    /// ```
    #[must_use]
    pub fn brokered(cookie: Cookie, version: u32, services: impl FnOnce(Broker) -> Routes) -> Self {
        let mut plugin = Self::new(cookie, version, Routes::default());
        let services = services(plugin.broker.clone());
        plugin.services.insert(version, services);
        plugin
    }

    /// The broker, for the services of [another version](Self::with_version). Clones of a plugin have
    /// the same one: serve one of them at a time.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Serves another app protocol version too; the highest that the host knows is chosen.
    ///
    /// # Errors
    /// If the version has services already.
    pub fn with_version(
        mut self,
        version: u32,
        services: Routes,
    ) -> Result<Self, DuplicateVersion> {
        match self.services.insert(version, services) {
            None => Ok(self),
            Some(_) => Err(DuplicateVersion(version)),
        }
    }

    /// Listens on a unix socket (the default) or on a port of 127.0.0.1.
    #[must_use]
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How long calls under way may go on when the plugin is told to stop; 1.5 s by default.
    ///
    /// Go hosts send SIGKILL after 2 s.
    #[must_use]
    pub const fn with_drain_within(mut self, drain_within: Duration) -> Self {
        self.drain_within = drain_within;
        self
    }

    /// Goes on when the parent process ends, as a plugin must whose launcher is not its host.
    #[must_use]
    pub const fn outliving_its_host(mut self) -> Self {
        self.watches_host = false;
        self
    }

    /// Leaves stdout and stderr alone: what the process prints after the handshake goes where it did
    /// before, and not to the host over `plugin.GRPCStdio`.
    #[must_use]
    pub const fn with_own_output(mut self) -> Self {
        self.keeps_output = false;
        self
    }

    /// Serves until told to stop; what `main` returns.
    ///
    /// A failure is told on stderr and gives exit code 1; without the cookie that is upstream's
    /// text for whoever runs a plugin by hand.
    ///
    /// It is the last thing to do: a process that has not ended a second after it served, because a
    /// thread is blocked, is ended by [`std::process::exit`]. To have time for more, use
    /// [`try_serve`](Self::try_serve).
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn serve(self) -> ExitCode {
        match self.run().await {
            Ok(watch) => {
                std::mem::forget(watch);
                exit_at_last();
                ExitCode::SUCCESS
            }
            Err(error) => {
                let mut text = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    text.push_str(&format!(": {error}"));
                    cause = error.source();
                }
                // The host may have closed it, and that is no reason to panic.
                let _ = writeln!(io::stderr(), "{text}");
                ExitCode::FAILURE
            }
        }
    }

    /// Serves until told to stop, and leaves the failure to the caller.
    ///
    /// # Errors
    /// Whatever keeps it from serving. What goes wrong afterwards in single connections is logged.
    ///
    /// # Signals
    /// Once it has listened, SIGTERM, SIGINT and SIGHUP no longer end this process, not even after
    /// it returns: that is how tokio handles signals.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    ///
    /// # Cancel safety
    /// Dropped, it closes all connections and removes the socket file.
    pub async fn try_serve(self) -> Result<(), ServeError> {
        self.run().await.map(drop)
    }

    /// Serves within this process, for a test of the plugin or of its host, or to debug it: without
    /// cookie, handshake, TLS, signals and a watch over the host, and with stdout and stderr as they are.
    /// Any number of plugins can be served so.
    ///
    /// It speaks the newest of its app protocol versions. A host in the same process or in another uses
    /// it through [`InProcess::reattach`]; its `Shutdown` call ends it as that of a host does.
    ///
    /// # Errors
    /// If there is nothing to listen on.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub fn serve_in_process(mut self) -> Result<InProcess, ServeError> {
        let (version, services) = self.services.pop_last().unwrap_or_default();
        let broker = self.broker.clone();
        InProcess::start(self.transport, version, services, broker, self.drain_within)
    }

    async fn run(mut self) -> Result<Option<HostWatch>, ServeError> {
        let environment = Environment::read(&self.cookie, |name| std::env::var_os(name))?
            .ok_or(ServeError::NoHost)?;
        let stop = Stop::new();
        // From here on nothing is printed before the handshake line.
        let kept = if self.keeps_output {
            Kept::begin(stop.clone()).map_err(ServeError::Process)?
        } else {
            None
        };
        let output = kept.as_ref().map(|kept| Arc::clone(kept.output()));
        let (version, services) = self.choose(&environment.versions);
        let (tls, certificate) = match environment.certificate.clone() {
            Some(host) => {
                let (tls, own) = mutual_tls(host).map_err(ServeError::Tls)?;
                (Some(tls), Some(own))
            }
            None => (None, None),
        };
        let listener = Listener::bind(self.transport, &environment)?;
        let means = Means {
            place: Place::new(self.transport, &environment)?,
            tls: tls.clone(),
            strays: None,
            // Known when the host opens the broker's stream.
            over: None,
        };
        // Dropped with this future, it ends what was brokered.
        let broker = Serving(self.broker.clone());
        let signals = Signals::listen().map_err(ServeError::Process)?;
        let address = listener.address().map_err(ServeError::Announce)?;
        let multiplexed = (environment.multiplexing == Multiplexing::On).then(|| address.clone());
        let mut line =
            HandshakeLine::new(version, address, certificate).map_err(ServeError::Address)?;
        if environment.multiplexing != Multiplexing::Unknown {
            line = line.with_multiplexing();
        }

        let watch = if self.watches_host {
            let socket_file = listener.socket_file().map(Path::to_owned);
            let watch = HostWatch::start(stop.clone(), socket_file).map_err(ServeError::Process)?;
            if watch.is_none() {
                tracing::debug!("host cannot be watched: it has no process id here");
            }
            watch
        } else {
            None
        };
        let (health, status) = watch::channel(ServingStatus::Serving);
        let server = Server {
            listener,
            tls: tls.map(|tls| tls.accepting),
            services: Services::new(
                Routes::new(HealthServer::new(PluginHealth(status)))
                    .add_service(GrpcControllerServer::new(Controller(stop.clone())))
                    .add_service(GrpcStdioServer::new(StdioService(output.clone())))
                    .add_service(GrpcBrokerServer::new(BrokerService {
                        broker: self.broker.clone(),
                        means,
                    })),
                services,
            ),
            health,
            stop: stop.clone(),
            drain_within: self.drain_within,
            multiplexed,
        };
        // After the watch has begun: of a host that was gone by then nobody reads this, which fails.
        match &output {
            Some(output) => announce(&line, output.real_stdout()),
            None => announce(&line, io::stdout()),
        }
        .map_err(ServeError::Announce)?;
        tracing::debug!(version, address = %line.address(), "plugin is serving");
        let pass_on = async {
            match &output {
                Some(output) => output.pass_on().await,
                None => std::future::pending().await,
            }
        };
        let serving = async { tokio::join!(server.run(), broker.run(&stop)) };
        tokio::select! {
            _ = serving => {}
            () = signals.forward(stop.clone()) => {}
            () = pass_on => {}
        }
        if let Some(output) = output {
            output.released().await;
        }
        Ok(watch)
    }

    /// The highest version that the host knows, or else the lowest: then the host, which knows
    /// both sides, reports the mismatch.
    fn choose(&mut self, host: &[u32]) -> (u32, Routes) {
        let mut versions = self.services.keys().rev();
        let common = versions.find(|version| host.contains(version)).copied();
        common
            .and_then(|version| self.services.remove_entry(&version))
            .or_else(|| self.services.pop_first())
            .unwrap_or_default()
    }
}

impl fmt::Display for DuplicateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app protocol version {} has services already", self.0)
    }
}

impl std::error::Error for DuplicateVersion {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The broker of a plugin that serves; it ends with this.
struct Serving(Broker);

impl Serving {
    /// Ends it when the plugin is told to stop, since its stream would else hold up the drain.
    async fn run(&self, stop: &Stop) {
        stop.reached(Phase::Draining).await;
        self.0.close("the plugin is stopping");
        tokio::select! {
            () = self.0.finished() => {}
            () = stop.reached(Phase::Ending) => {}
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort("the plugin has stopped");
    }
}

/// TLS with nobody but this `host`, and the certificate to announce.
fn mutual_tls(host: Pinned) -> Result<(Tls, Vec<u8>), BoxError> {
    if let Err(error) = host.check_use(Role::Client, UnixTime::now()) {
        // Upstream serves then too, and refuses every connection; here at least somebody says so.
        let error = rustls::Error::from(error);
        let _ = writeln!(io::stderr(), "the host will be refused: {error}");
    }
    let own = Identity::generate()?;
    let certificate = own.certificate.to_vec();
    Ok((Tls::new(own, host)?, certificate))
}

/// What ends `main` may hang: a runtime waits for its blocking threads for ever.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread that must not depend on the runtime"
)]
fn exit_at_last() {
    // Without a thread there is no bound, and that is no reason to fail.
    let _ = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(EXIT_WITHIN);
        std::process::exit(0);
    });
}

/// The line and its end in one write, so that a host never sees half of it.
fn announce(line: &HandshakeLine, mut stdout: impl io::Write) -> io::Result<()> {
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests;
