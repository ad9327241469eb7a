use crate::{HalfOpen, Name, OpenTime, Rule, meter::Shape};

/// When a circuit opens, for how long, and what closes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub(crate) open_when: Vec<Rule>,
    pub(crate) open_time: OpenTime,
    pub(crate) half_open: HalfOpen,
    pub(crate) name: Option<Name>,
}

impl Rules {
    /// Opens the circuit when `rule` says so, with the defaults of [`OpenTime`] and [`HalfOpen`].
    #[must_use]
    pub fn new(rule: impl Into<Rule>) -> Self {
        Self {
            open_when: vec![rule.into()],
            open_time: OpenTime::default(),
            half_open: HalfOpen::default(),
            name: None,
        }
    }

    /// Opens the circuit also when `rule` says so. The first rule that does is the reason.
    #[must_use]
    pub fn or(mut self, rule: impl Into<Rule>) -> Self {
        self.open_when.push(rule.into());
        self
    }

    /// How long the circuit stays open.
    #[must_use]
    pub const fn with_open_time(mut self, open_time: OpenTime) -> Self {
        self.open_time = open_time;
        self
    }

    /// How many probes a half-open circuit admits, and how many of them must succeed.
    #[must_use]
    pub const fn with_half_open(mut self, half_open: HalfOpen) -> Self {
        self.half_open = half_open;
        self
    }

    /// What the circuit is called in events, refusals and snapshots.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the rules that look at windows need of them, in their order.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.open_when.iter().filter_map(Rule::shape)
    }
}
