use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Rules, Verdict,
    cells::Counted,
    clock::{Clock, Tick},
    event_queue::EventQueue,
    machine::Machine,
    meter::Meter,
    pass::Pass,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
    word::Word,
};

/// A machine under a lock, and what spares calls the lock while all goes well.
///
/// The word is what the machine said last, written under its lock and read without. A call that the
/// word admits, and that succeeds, is counted in the meters and asks nobody; all else is put to the
/// machine. Who reads the word just before it changes makes a call that came just before the change.
#[derive(Debug)]
pub(crate) struct Gate {
    word: AtomicU64,
    meters: &'static [Meter],
    clock: Clock,
    needs_clock: bool,
    /// The shortest time from which a rule calls a call slow: without one no call is timed.
    slow_from: Option<Duration>,
    machine: Mutex<Machine>,
    events: EventQueue,
}

impl Gate {
    /// The meters are never freed, nor is what they are part of: see [`crate::memory`].
    pub(crate) fn new(rules: Arc<Rules>, threads: usize, now: Instant) -> Self {
        let clock = Clock::new(now);
        let meters = rules
            .shapes()
            .map(|shape| Meter::new(shape, threads, clock));
        let meters: &[Meter] = Vec::leak(meters.collect());
        let machine = Machine::new(rules, meters, 1, now);
        Self {
            word: AtomicU64::new(machine.word().0),
            meters,
            clock,
            needs_clock: meters.iter().any(Meter::has_steps),
            slow_from: meters.iter().filter_map(|it| it.shape().slow_from).min(),
            machine: Mutex::new(machine),
            events: EventQueue::new(),
        }
    }

    /// Begins anew, with rules of the same shapes.
    pub(crate) fn begin(&self, rules: Arc<Rules>, now: Instant) {
        let mut machine = self.lock();
        let skipped = self.meters.iter().map(|it| it.begin(now)).max();
        let generation = machine.generation() + 1 + skipped.unwrap_or(0);
        *machine = Machine::new(rules, self.meters, generation, now);
        self.publish(&machine);
    }

    /// From now on all outcomes are late.
    pub(crate) fn retire(&self) {
        let mut machine = self.lock();
        machine.retire();
        self.publish(&machine);
    }

    /// Acquire, and Release where it is written, for the meters: whoever has a pass of a generation
    /// counts from its origin.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// The time, if calls are to be timed.
    #[inline]
    pub(crate) fn start(&self) -> Option<Tick> {
        self.slow_from.map(|_| self.clock.now())
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The verdict on a call that was given up: it was a slow one, or nobody knows.
    pub(crate) fn verdict_on_dropped(&self, started: Option<Tick>) -> Verdict {
        match (started, self.slow_from) {
            (Some(started), Some(slow_from)) if self.clock.now().since(started) >= slow_from => {
                Verdict::failure()
            }
            _ => Verdict::Ignore,
        }
    }

    /// A pass for a call that need not ask.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Pass> {
        Pass::unasked(self.word())
    }

    /// Takes a pass back with the verdict on its call, and says whether that changed the state.
    pub(crate) fn settle(&self, pass: Pass, verdict: Verdict, started: Option<Tick>) -> bool {
        let word = self.word();
        match verdict {
            Verdict::Ignore if pass.probe().is_none() => false,
            Verdict::Success if pass.is_ignored(word) => false,
            Verdict::Success if pass.is_metered(word) => self.succeed(pass, started),
            _ => self.tell(pass, verdict, started),
        }
    }

    /// Counts a success in the meters.
    fn succeed(&self, pass: Pass, started: Option<Tick>) -> bool {
        let generation = pass.generation();
        let at = (self.needs_clock || started.is_some()).then(Instant::now);
        let now = at.map(|it| self.clock.tick(it));
        if let (Some(started), Some(now), Some(slow_from)) = (started, now, self.slow_from)
            && now.since(started) >= slow_from
        {
            return self.tell(pass, Verdict::Success, Some(started));
        }
        let mut is_new_step = false;
        for meter in self.meters {
            let counted = meter.count(meter.tag(generation, now));
            if counted != Counted::Again {
                is_new_step |= self.count_rare(meter, counted, generation, now);
            }
        }
        match at {
            Some(at) if is_new_step => self.evaluate(generation, at),
            _ => false,
        }
    }

    /// Whether it is the first call of a step, for this thread.
    #[cold]
    fn count_rare(
        &self,
        meter: &Meter,
        mut counted: Counted,
        generation: u64,
        now: Option<Tick>,
    ) -> bool {
        while counted == Counted::Full && self.ask(|it| it.relieve(generation, now)).0 {
            counted = meter.count(meter.tag(generation, now));
        }
        counted == Counted::First && meter.has_steps()
    }

    /// Good calls have left the window: what is left can be too bad.
    #[cold]
    fn evaluate(&self, generation: u64, at: Instant) -> bool {
        self.ask(|machine| machine.evaluate(generation, at)).1
    }

    /// Puts an outcome to the machine.
    #[cold]
    fn tell(&self, pass: Pass, verdict: Verdict, started: Option<Tick>) -> bool {
        let now = Instant::now();
        let took = started.map_or(Duration::ZERO, |it| self.clock.tick(now).since(it));
        self.ask(|machine| machine.settle(pass, verdict, took, now))
            .1
    }

    /// The lock is held for one question or command, to which the answer comes with whether the state
    /// changed. Nobody is told of that until the lock is free again.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&mut Machine) -> T) -> (T, bool) {
        let mut machine = self.lock();
        let seen = machine.changed();
        let answer = question(&mut machine);
        self.publish(&machine);
        let has_changed = machine.changed() != seen;
        if has_changed {
            for change in machine.changes_since(seen) {
                self.events.push(machine.rules().name.as_ref(), change);
            }
        }
        (answer, has_changed)
    }

    /// Tells the log of changes.
    pub(crate) fn tell_log(&self) {
        self.events.tell();
    }

    fn publish(&self, machine: &Machine) {
        let word = machine.word();
        // Mostly it is the same, and need not be taken from those who read it.
        if word != self.word() {
            self.word.store(word.0, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // No code but ours runs under the lock, and none of it panics half-way.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
