use std::{fmt, sync::Arc, thread};

use tokio::time::Instant;

use crate::{
    Changes, Open, Permit, Rules, Snapshot, State, event,
    machine::{Machine, Refusal},
    memory::{Owner, Shared},
    open::Wait,
    sync::Notified,
    word::Word,
};

/// A circuit: what its calls said of a service, and whether it lets more of them through.
///
/// It is shared by its clones, and by all services that one
/// [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) makes. Without tower, ask it for a [`Permit`]
/// before each call.
#[derive(Clone)]
pub struct Circuit {
    shared: &'static Shared,
    owner: Arc<Owner>,
}

impl Circuit {
    /// A closed circuit.
    ///
    /// ```
    /// # use mainstay_circuit_breaker::{Circuit, ConsecutiveFailures, Rules, Verdict};
    /// # fn stream_a_file() -> Result<(), ()> { Err(()) }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let circuit = Circuit::new(Rules::new(ConsecutiveFailures::new(1)?));
    /// let permit = circuit.admit()?;
    /// // Whenever the outcome is known:
    /// permit.settle(match stream_a_file() {
    ///     Ok(()) => Verdict::Success,
    ///     Err(()) => Verdict::failure(),
    /// });
    /// assert!(circuit.admit().is_err());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self::with_cells_for(Arc::new(rules), busy_threads())
    }

    /// A closed circuit whose windows take little memory, and are slower if threads share it.
    pub(crate) fn small(rules: Arc<Rules>) -> Self {
        Self::with_cells_for(rules, 0)
    }

    fn with_cells_for(rules: Arc<Rules>, threads: usize) -> Self {
        let owner = Owner::new(rules, threads);
        Self {
            shared: owner.shared(),
            owner: Arc::new(owner),
        }
    }

    /// Asks whether a call may be made, and takes a probe if the circuit is half-open.
    ///
    /// # Errors
    /// If the circuit is open, or half-open and its probes are out.
    #[inline]
    pub fn admit(&self) -> Result<Permit, Open> {
        self.admit_or_box().map_err(|open| *open)
    }

    /// The same, with the refusal in the box that services answer with.
    #[inline]
    pub(crate) fn admit_or_box(&self) -> Result<Permit, Box<Open>> {
        match self.shared.gate.pass() {
            Some(pass) => Ok(Permit::new(self.shared, pass)),
            None => self.ask_to_admit(),
        }
    }

    /// Refuses all calls until [`Circuit::reset`].
    pub fn force_open(&self) {
        self.ask(|machine| machine.force_open(Instant::now()));
    }

    /// Admits all calls and counts none until [`Circuit::reset`].
    pub fn disable(&self) {
        self.ask(|machine| machine.disable(Instant::now()));
    }

    /// Closes the circuit, from whatever state, and forgets what it counted and how long it was to be open
    /// the next time.
    pub fn reset(&self) {
        self.ask(|machine| machine.reset(Instant::now()));
    }

    /// The state that the circuit is in.
    #[must_use]
    pub fn state(&self) -> State {
        self.ask(|machine| machine.state_at(Instant::now()))
    }

    /// What the circuit has seen.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = self.ask(|machine| machine.snapshot(Instant::now()));
        Snapshot {
            refused: self.shared.refused(),
            ..snapshot
        }
    }

    /// The changes of state from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let seen = self.ask(|machine| machine.changed());
        Changes::new(Arc::downgrade(&self.owner), self.shared, seen)
    }

    /// Whether it is closed, as it was left: nothing that is due is done, and so nobody is told.
    pub(crate) fn is_closed(&self) -> bool {
        self.ask(|machine| machine.is_closed())
    }

    /// A permit, without a refusal that counts.
    pub(crate) fn admit_quietly(&self) -> Option<Permit> {
        let now = Instant::now();
        let asked = || self.ask(|machine| machine.admit(now)).ok();
        let pass = self.shared.gate.pass().or_else(asked)?;
        Some(Permit::new(self.shared, pass))
    }

    /// Whether all calls pass, and what that was read from: while it is the same, no state has changed.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        self.shared.gate.word()
    }

    /// Whether a call would be admitted now.
    pub(crate) fn peek(&self) -> Result<(), Refusal> {
        self.ask(|machine| machine.peek(Instant::now()))
    }

    /// Resolves at the next change after this call.
    pub(crate) fn moved(&self) -> Notified<'static> {
        self.shared.moved.notified()
    }

    /// Counts a refusal. It is made where it will stay, and then looked at: to move it costs more.
    #[inline]
    pub(crate) fn refused(&self, refusal: &Refusal, wait: Option<Wait>) -> Box<Open> {
        self.shared.count_refused();
        let name = self.owner.rules().name.clone();
        let open = Box::new(Open::new(name, refusal.reason, wait));
        event::refused(&open);
        open
    }

    #[cold]
    fn ask_to_admit(&self) -> Result<Permit, Box<Open>> {
        let now = Instant::now();
        match self.ask(|machine| machine.admit(now)) {
            Ok(pass) => Ok(Permit::new(self.shared, pass)),
            Err(refusal) => Err(self.refused(&refusal, refusal.wait(now))),
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Machine) -> T) -> T {
        self.shared.ask(question)
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

/// As many threads as can be at work at once, and some more, for those that block now and then.
fn busy_threads() -> usize {
    match thread::available_parallelism() {
        Ok(cores) if cores.get() > 1 => (2 * cores.get()).clamp(4, 64),
        // With one core there is never more than one at work.
        _ => 0,
    }
}
