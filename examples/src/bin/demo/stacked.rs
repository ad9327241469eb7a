use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mainstay::retry_backoff::GrpcThrottle;
use mainstay::{Instances, Method, Methods, Stack, Supervisor};
use mainstay_plugin::Launcher;
use tower::util::BoxCloneService;

use crate::BoxError;
use crate::host::{Client, Host, INSTANCES, Snapshot};

/// How long a call waits for an instance while none runs, and how long one may take to say that it is
/// well: longer than by default, since a machine may have to start ten processes a second besides much
/// else.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a success adds to the throttle of retries, in tokens, as by default. A failure takes one.
const TOKEN_RATIO: f64 = 0.1;

/// How many tokens the throttle has, for each caller. By default it is ten for all, of which half can be
/// spent at once. But when the machine stalls for longer than an attempt may take, all callers lose
/// theirs at the same time, and this must be enough for that, and for the next time.
const TOKENS_PER_CALLER: NonZeroU32 = NonZeroU32::new(10).unwrap();
const MOST_TOKENS: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// How long calls under way have when the plugin is stopped.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// The plugin with all that mainstay puts around it.
#[derive(Debug)]
pub(crate) struct Stacked {
    instances: Instances,
    service: mainstay::Stacked<Instances>,
}

impl Stacked {
    /// # Errors
    /// If the plugin cannot be started.
    pub(crate) async fn start(
        launcher: Launcher,
        callers: NonZeroU16,
        attempt_timeout: Duration,
    ) -> Result<Self, BoxError> {
        let instances = Supervisor::new(launcher, INSTANCES)
            .with_wait_within(PATIENCE)?
            .with_health_within(PATIENCE)?
            .start();
        instances.ready().await?;

        // A value can be asked for as often as one likes.
        let methods = Methods::new().with_method("proto.KV/Get", Method::unary().idempotent());
        let tokens = NonZeroU32::from(callers).saturating_mul(TOKENS_PER_CALLER);
        let throttle = GrpcThrottle::new(tokens.min(MOST_TOKENS), TOKEN_RATIO)?;
        let stack = Stack::new(methods)
            .with_budget(throttle)
            .with_attempt_timeout(attempt_timeout)?;
        Ok(Self {
            service: stack.over(&instances),
            instances,
        })
    }

    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        drop(self.service);
        Ok(self.instances.drain(DRAIN_WITHIN).await?)
    }
}

impl Host for Stacked {
    fn client(&self, _: u16) -> Client {
        Client::new(BoxCloneService::new(self.service.clone()))
    }

    fn snapshot(&self) -> Snapshot {
        let stack = self.service.snapshot();
        let instances = self.instances.snapshot();
        let calls = stack.calls;
        let begun = calls.in_flight + calls.succeeded + calls.failed + calls.dropped;
        Snapshot {
            pids: instances.running.iter().map(|it| it.pid).collect(),
            restarts: instances
                .pool
                .created
                .saturating_sub(INSTANCES.get().into()),
            attempts_per_call: calls.attempts as f64 / begun.max(1) as f64,
            circuit: stack.circuit.map(|it| it.state),
        }
    }
}
