//! Circuits that are used again instead of freed.
//!
//! A response future must be able to reach its circuit, which may be gone before it: with a reference
//! count that costs two locked instructions in each call, and several times as much when threads share
//! the circuit. So circuits live for ever, and calls have a plain reference. Who is gone is the owner;
//! the circuit is then used for the next one that has windows of the same shapes. Its generations go on,
//! so the outcome of a call of its former life is late, as that of any other state.
//!
//! There are never more of them than there were owners at the same time, for each set of shapes.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay_striped::Striped;
use tokio::time::Instant;

use crate::{
    Rules, Verdict, chance, clock::Tick, gate::Gate, machine::Machine, meter::Shape, pass::Pass,
    sync::Notify,
};

/// What a circuit's services and calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    /// Told of every change, and of each probe that makes room for another.
    pub(crate) moved: Notify,
    pub(crate) refused: Striped<AtomicU64>,
}

/// Who uses a circuit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Owner {
    shared: &'static Shared,
    rules: Arc<Rules>,
    kind: Kind,
}

/// What circuits that can stand in for each other have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Kind {
    shapes: Vec<Shape>,
    threads: usize,
}

type Retired = HashMap<Kind, Vec<(Instant, &'static Shared)>>;

static RETIRED: LazyLock<Mutex<Retired>> = LazyLock::new(Mutex::default);

impl Shared {
    pub(crate) fn settle(&self, pass: Pass, verdict: Verdict, started: Option<Tick>) {
        if self.gate.settle(pass, verdict, started) {
            self.tell();
        } else if pass.probe().is_some() {
            self.moved.notify_waiters();
        }
    }

    pub(crate) fn ask<T>(&self, question: impl FnOnce(&mut Machine) -> T) -> T {
        let (answer, has_changed) = self.gate.ask(question);
        if has_changed {
            self.tell();
        }
        answer
    }

    pub(crate) fn count_refused(&self) {
        let mine = self.refused.mine();
        if mine.is_own() {
            mine.store(mine.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            mine.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self) -> u64 {
        let counts = self.refused.iter();
        counts.map(|it| it.load(Ordering::Relaxed)).sum()
    }

    #[cold]
    fn tell(&self) {
        self.moved.notify_waiters();
        self.gate.tell_log();
    }
}

impl Owner {
    /// A circuit whose windows have cells for so many threads.
    pub(crate) fn new(rules: Arc<Rules>, threads: usize) -> Self {
        chance::prepare();
        let now = Instant::now();
        let kind = Kind {
            shapes: rules.shapes().collect(),
            threads,
        };
        let shared = match take(&kind, now) {
            Some(shared) => {
                shared.gate.begin(rules.clone(), now);
                shared
                    .refused
                    .iter()
                    .for_each(|it| it.store(0, Ordering::Relaxed));
                shared
            }
            None => Box::leak(Box::new(Shared {
                gate: Gate::new(rules.clone(), threads, now),
                moved: Notify::new(),
                refused: Striped::new(threads),
            })),
        };
        Self {
            shared,
            rules,
            kind,
        }
    }

    pub(crate) const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    pub(crate) const fn shared(&self) -> &'static Shared {
        self.shared
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.gate.retire();
        // Those who follow its changes see that there will be none.
        self.shared.moved.notify_waiters();
        let kind = mem::take(&mut self.kind);
        let retired = (Instant::now(), self.shared);
        retired_circuits().entry(kind).or_default().push(retired);
    }
}

/// One that was retired at an earlier time: a clock that tests turn must not go back in its life.
fn take(kind: &Kind, now: Instant) -> Option<&'static Shared> {
    let mut retired = retired_circuits();
    let of_kind = retired.get_mut(kind)?;
    let index = of_kind.iter().rposition(|(since, _)| *since <= now)?;
    Some(of_kind.swap_remove(index).1)
}

fn retired_circuits() -> MutexGuard<'static, Retired> {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner)
}
