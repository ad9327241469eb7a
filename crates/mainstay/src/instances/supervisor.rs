use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mainstay_conn_pool::{Backoff, InvalidTimes, Limits, PoolLayer, Times};
use mainstay_plugin::Launcher;
use tower_layer::Layer as _;

use super::Instances;
use super::launch::Launch;
use super::roster::Roster;

/// How a plugin is kept running.
///
/// | to set | by default |
/// |---|---|
/// | [`new`](Self::new): how many instances | needed |
/// | [`with_wait_within`](Self::with_wait_within): how long a call waits for one | 1 s |
/// | [`with_start_within`](Self::with_start_within): from its launch to its first answer | 10 s |
/// | [`with_health_every`](Self::with_health_every): between health checks | 500 ms |
/// | [`with_health_within`](Self::with_health_within): how long one may take | 1 s |
/// | [`with_lifetime`](Self::with_lifetime): how old an instance becomes | not limited |
/// | [`with_drain_within`](Self::with_drain_within): how long one that is to go may finish its calls | 30 s |
/// | [`with_backoff`](Self::with_backoff): between starts that fail | 100 ms, doubling up to 5 s |
/// | [`with_calls_at_once`](Self::with_calls_at_once): to one instance | 1,000 |
/// | [`with_name`](Self::with_name): in events, refusals and snapshots | none |
///
/// An instance that is to go is replaced first, for which there can be one more of them than were
/// asked for.
#[derive(Clone, Debug)]
#[must_use]
pub struct Supervisor {
    launcher: Arc<Launcher>,
    instances: NonZeroU32,
    calls_at_once: NonZeroU32,
    times: Times,
    start_within: Duration,
    backoff: Backoff,
    name: Option<Arc<str>>,
}

const WAIT_WITHIN: Duration = Duration::from_secs(1);
const START_WITHIN: Duration = Duration::from_secs(10);
const HEALTH_EVERY: Duration = Duration::from_millis(500);
const HEALTH_WITHIN: Duration = Duration::from_secs(1);
const CALLS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// A little more than a plugin's stop can take; the launcher has a limit of its own for it.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(60);
/// How long the one that took another's place stays if there are enough without it.
const IDLE_FOR: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Keeps so many instances of a plugin running.
    pub fn new(launcher: Launcher, instances: NonZeroU32) -> Self {
        let times = || -> Result<_, InvalidTimes> {
            Ok(Times::new()
                .with_acquire_within(WAIT_WITHIN)?
                .with_lifetime(Duration::MAX)?
                .with_idle_for(IDLE_FOR)?
                .with_keep_alive(HEALTH_EVERY)?
                .with_check_within(HEALTH_WITHIN)?
                .with_connect_within(Duration::MAX)?
                .with_close_within(CLOSE_WITHIN))
        };
        let times = times().expect("none of them is zero");
        Self {
            launcher: Arc::new(launcher),
            instances,
            calls_at_once: CALLS_AT_ONCE,
            times: times
                .with_fail_fast_after(WAIT_WITHIN)
                // That is for the health checks to find out.
                .with_check_after_idle(Duration::MAX),
            start_within: START_WITHIN,
            backoff: Backoff::default(),
            name: None,
        }
    }

    /// How long a call waits while there is no instance, before it is refused with the reason. It is
    /// refused at once if a start has failed meanwhile.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_wait_within(mut self, within: Duration) -> Result<Self, InvalidTimes> {
        let times = self.times.with_acquire_within(within)?;
        self.times = times.with_fail_fast_after(within);
        Ok(self)
    }

    /// How long an instance may take from its launch to its first answer, which is to a question for its
    /// health. The launcher's own limits hold as well.
    pub const fn with_start_within(mut self, within: Duration) -> Self {
        self.start_within = within;
        self
    }

    /// How often an instance is asked for its health, as gRPC has it, for the service `plugin`. One
    /// that does not answer in time, or that it does not serve, is replaced. One that has no health
    /// service answers that, which will do.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_health_every(mut self, every: Duration) -> Result<Self, InvalidTimes> {
        self.times = self.times.with_keep_alive(every)?;
        Ok(self)
    }

    /// How long the answer to that may take.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_health_within(mut self, within: Duration) -> Result<Self, InvalidTimes> {
        self.times = self.times.with_check_within(within)?;
        Ok(self)
    }

    /// How old an instance becomes, less up to a tenth, so that not all are replaced together.
    ///
    /// # Errors
    /// If it is zero.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Result<Self, InvalidTimes> {
        self.times = self.times.with_lifetime(lifetime)?;
        Ok(self)
    }

    /// How long an instance that is to go may finish its calls; then it is killed.
    pub const fn with_drain_within(mut self, within: Duration) -> Self {
        self.times = self.times.with_drain_within(within);
        self
    }

    /// How long to wait between starts while they fail.
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many calls may be under way to one instance; more of them wait.
    pub const fn with_calls_at_once(mut self, calls: NonZeroU32) -> Self {
        self.calls_at_once = calls;
        self
    }

    /// A name for its events, refusals and snapshots.
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts the instances, in the background.
    ///
    /// # Panics
    /// Outside of tokio's runtime.
    #[must_use = "the instances end with their last handle"]
    pub fn start(self) -> Instances {
        let limits = Limits::new(self.instances.saturating_add(1))
            .with_min_size(self.instances.get())
            .expect("the minimum is less than the maximum");
        let mut layer = PoolLayer::new(limits)
            .shared(self.calls_at_once)
            .with_times(self.times)
            .with_backoff(move || self.backoff);
        if let Some(name) = self.name {
            layer = layer.with_name(name);
        }
        let roster = Roster::default();
        let pool = layer.layer(Launch {
            launcher: self.launcher,
            within: self.start_within,
            roster: roster.clone(),
        });
        Instances::new(pool, roster)
    }
}
