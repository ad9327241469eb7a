use std::{fmt, time::Duration};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};

use crate::{
    Change, Changes, Open, Permit, Rules, Snapshot, Verdict, event,
    machine::{Machine, Pass, Refusal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A circuit: what its calls said of a service, and whether it lets more of them through.
///
/// It is shared by its clones, and by all services that one
/// [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) makes. Without tower, ask it for a [`Permit`]
/// before each call.
#[derive(Clone)]
pub struct Circuit {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    machine: Mutex<Machine>,
    /// Told of every change, and of each probe that makes room for another.
    moved: Arc<Notify>,
    /// The shortest time from which a rule calls a call slow: without one no call is timed.
    slow_from: Option<Duration>,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self::with_shared_rules(Arc::new(rules))
    }

    pub(crate) fn with_shared_rules(rules: Arc<Rules>) -> Self {
        let slow_from = rules.open_when.iter().filter_map(|it| it.slow_from());
        let shared = Shared {
            slow_from: slow_from.min(),
            machine: Mutex::new(Machine::new(rules, Instant::now())),
            moved: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks whether a call may be made, and takes a probe if the circuit is half-open.
    ///
    /// # Errors
    /// If the circuit is open, or half-open and its probes are out.
    pub fn admit(&self) -> Result<Permit, Open> {
        let now = Instant::now();
        match self.on_machine(|machine| machine.admit(now)) {
            Ok(pass) => {
                let started = self.shared.slow_from.map(|_| now);
                Ok(Permit::new(self.clone(), pass, started))
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Refuses all calls until [`Circuit::reset`].
    pub fn force_open(&self) {
        self.on_machine(|machine| machine.force_open(Instant::now()));
    }

    /// Admits all calls and counts none until [`Circuit::reset`].
    pub fn disable(&self) {
        self.on_machine(|machine| machine.disable(Instant::now()));
    }

    /// Closes the circuit, from whatever state, and forgets what it counted and how often it opened.
    pub fn reset(&self) {
        self.on_machine(|machine| machine.reset(Instant::now()));
    }

    /// What the circuit has seen.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.on_machine(|machine| machine.snapshot(Instant::now()))
    }

    /// The changes of state from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let seen = self.shared.lock().generation();
        Changes::new(
            Arc::downgrade(&self.shared),
            self.shared.moved.clone(),
            seen,
        )
    }
}

impl Circuit {
    /// Whether a call would be admitted now.
    pub(crate) fn peek(&self) -> Result<(), Refusal> {
        self.on_machine(|machine| machine.peek(Instant::now()))
    }

    /// Resolves at the next change after this call.
    pub(crate) fn moved(&self) -> OwnedNotified {
        self.shared.moved.clone().notified_owned()
    }

    /// The refusal of a call that was ready to be refused only.
    pub(crate) fn refuse(&self) -> Open {
        let refusal = self.on_machine(|machine| machine.refuse(Instant::now()));
        self.refused(refusal)
    }

    pub(crate) fn settle(&self, pass: Pass, verdict: Verdict, started: Option<Instant>) {
        if verdict == Verdict::Ignore && !pass.is_probe() {
            return;
        }
        let now = Instant::now();
        let took = started.map_or(Duration::ZERO, |it| now.saturating_duration_since(it));
        self.on_machine(|machine| machine.settle(pass, verdict, took, now));
        if pass.is_probe() {
            self.shared.moved.notify_waiters();
        }
    }

    /// The verdict on a call that was given up: it was a slow one, or nobody knows.
    pub(crate) fn verdict_on_dropped(&self, started: Option<Instant>) -> Verdict {
        match (started, self.shared.slow_from) {
            (Some(started), Some(slow_from)) if started.elapsed() >= slow_from => {
                Verdict::failure()
            }
            _ => Verdict::Ignore,
        }
    }

    fn refused(&self, refusal: Refusal) -> Open {
        let name = self.shared.lock().rules().name.clone();
        let open = Open::new(name, refusal.reason, refusal.retry_after);
        event::refused(&open);
        open
    }

    /// The lock is held for one question or command; whoever hears of what it changed is told after.
    fn on_machine<T>(&self, command: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.shared.lock();
        let seen = machine.generation();
        let answer = command(&mut machine);
        if machine.generation() == seen {
            return answer;
        }
        let changes: Vec<_> = machine.changes_since(seen).collect();
        let name = machine.rules().name.clone();
        drop(machine);
        self.shared.moved.notify_waiters();
        for change in changes {
            event::changed(name.as_deref(), &change);
        }
        answer
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        // No code but ours runs under the lock, and none of it panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The change after the first `seen` ones, or the oldest that is kept of those.
    pub(crate) fn change_after(&self, seen: &mut u64) -> Option<Change> {
        let machine = self.lock();
        let (change, number) = machine.change_after(*seen)?;
        *seen = number;
        Some(change)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Those who follow its changes see that there will be none.
        self.moved.notify_waiters();
    }
}

impl From<Rules> for Circuit {
    fn from(rules: Rules) -> Self {
        Self::new(rules)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuit").field(&self.snapshot()).finish()
    }
}
