use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use tonic::Status;

/// No call takes longer: a minute, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// What the callers have seen so far; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Seen(Arc<Mutex<Tally>>);

/// What callers have seen.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// How long each call took, in nanoseconds.
    took: Histogram<u64>,
    /// How often calls failed, by the names of the codes that they failed with.
    pub(crate) failures: BTreeMap<String, u64>,
    /// In full, since it is hoped that there is none.
    pub(crate) first_failure: Option<Status>,
}

impl Seen {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self(Arc::new(Mutex::new(Tally {
            took: Histogram::new_with_max(LONGEST, 3)?,
            failures: BTreeMap::new(),
            first_failure: None,
        }))))
    }

    /// A call has taken this long.
    pub(crate) fn called(&self, took: Duration, outcome: Result<(), Status>) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let mut tally = self.lock();
        tally.took.saturating_record(nanos);
        if let Err(status) = outcome {
            let code = format!("{:?}", status.code());
            *tally.failures.entry(code).or_default() += 1;
            tally.first_failure.get_or_insert(status);
        }
    }

    /// The calls and the failures among them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let tally = self.lock();
        (tally.calls(), tally.failed())
    }

    pub(crate) fn tally(&self) -> Tally {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    pub(crate) fn calls(&self) -> u64 {
        self.took.len()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// What this share of the calls did not take longer than.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        Duration::from_nanos(self.took.value_at_quantile(share))
    }
}
