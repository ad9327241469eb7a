//! What is measured: groups of scenarios of rows.

use std::{
    fmt::{self, Display, Formatter},
    future::Future,
    iter,
    rc::Rc,
};

use serde::{Deserialize, Serialize};
use tower_service::Service;

use crate::work::{Apart, Caller, Driven, Driver, Function, Tower};

/// What one of our crates and its peers do.
pub struct Group {
    /// The word that `cargo xtask bench` knows it by.
    pub name: &'static str,
    /// The heading of its section in RESULTS.md.
    pub title: &'static str,
    /// The crates whose versions are told.
    pub crates: &'static [&'static str],
    /// What they do, one thing each.
    pub scenarios: Vec<Scenario>,
}

/// Rows that do the same work.
pub struct Scenario {
    /// A few words.
    pub name: &'static str,
    /// One sentence on what the rows have in common, and where one of them could not be made to.
    pub about: &'static str,
    /// One of so many calls fails; none if that is zero. The samples are held to it.
    pub fails_one_in: u64,
    /// Who calls.
    pub settings: &'static [Setting],
    /// The first of them is the floor.
    pub rows: Vec<Row>,
}

/// One way to do the work.
#[derive(Clone)]
pub struct Row {
    /// Its name, the crate's first.
    pub name: &'static str,
    /// What it is measured for.
    pub role: Role,
    /// The size of its response future, where it has one type.
    pub future: Option<usize>,
    callers: Rc<dyn Fn(usize) -> Vec<Box<dyn Caller>>>,
}

/// What a row is measured for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The work without the thing that is measured.
    Floor,
    /// A crate of this workspace.
    Ours,
    /// Somebody else's.
    Peer,
    /// What the machine asks for a part of such a thing.
    Limit,
}

/// Who calls: all callers share one state, and each makes the same number of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// So many threads, each bound to a processor of its own.
    Threads(usize),
    /// So many tasks on a runtime with so many workers.
    Tasks {
        /// How many call.
        tasks: usize,
        /// How many threads run them.
        workers: usize,
    },
}

/// One thread, and two that share.
pub const ALONE_AND_SHARED: &[Setting] = &[Setting::Threads(1), Setting::Threads(2)];

impl Row {
    /// A tower service. `make` makes a fresh one for each sample series; several callers have clones of it.
    pub fn service<S>(name: &'static str, role: Role, make: impl Fn() -> S + 'static) -> Self
    where
        S: Service<u64, Future: Send> + Clone + Send + 'static,
    {
        let row = Self::new(name, role, move || Tower(make()));
        row.with_future(size_of::<S::Future>())
    }

    /// A function that answers with a future; what is shared stands behind its clones.
    pub fn function<C, F, T, E>(
        name: &'static str,
        role: Role,
        make: impl Fn() -> C + 'static,
    ) -> Self
    where
        C: FnMut(u64) -> F + Clone + Send + 'static,
        F: Future<Output = Result<T, E>> + Send,
    {
        Self::new(name, role, move || Function(make())).with_future(size_of::<F>())
    }

    /// A function that answers at once, or whose futures borrow, which it then drives itself.
    pub fn driven<C, T, E>(name: &'static str, role: Role, make: impl Fn() -> C + 'static) -> Self
    where
        C: FnMut(u64, &mut Driver<'_>) -> Result<T, E> + Clone + Send + 'static,
    {
        Self::new(name, role, move || Driven(make()))
    }

    /// Anything else that can call.
    pub fn new<C>(name: &'static str, role: Role, make: impl Fn() -> C + 'static) -> Self
    where
        C: Caller + Clone + 'static,
    {
        let callers = move |callers| {
            let clones = iter::repeat_n(make(), callers);
            clones.map(|it| Box::new(Apart(it)) as _).collect()
        };
        Self {
            name,
            role,
            future: None,
            callers: Rc::new(callers),
        }
    }

    /// The row with the size of a future that is not its caller's own.
    #[must_use]
    pub fn with_future(self, size: usize) -> Self {
        Self {
            future: Some(size),
            ..self
        }
    }

    /// So many callers of one fresh state.
    #[must_use]
    pub fn callers(&self, callers: usize) -> Vec<Box<dyn Caller>> {
        (self.callers)(callers)
    }
}

impl Scenario {
    /// How many of so many calls succeed.
    #[must_use]
    pub fn successes(&self, calls: u64) -> u64 {
        calls - calls.checked_div(self.fails_one_in).unwrap_or(0)
    }
}

impl Setting {
    /// How many call.
    #[must_use]
    pub fn callers(self) -> usize {
        match self {
            Self::Threads(threads) => threads,
            Self::Tasks { tasks, .. } => tasks,
        }
    }

    /// How many processors they keep busy.
    #[must_use]
    pub fn processors(self) -> usize {
        match self {
            Self::Threads(threads) => threads,
            Self::Tasks { tasks, workers } => workers.min(tasks),
        }
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        match *self {
            Self::Threads(threads) => write!(f, "{threads} thread{}", plural(threads)),
            Self::Tasks { tasks, workers } => write!(
                f,
                "{tasks} task{}, {workers} worker{}",
                plural(tasks),
                plural(workers)
            ),
        }
    }
}
