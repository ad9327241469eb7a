//! The circuit beside a naive model of it, under random calls, outcomes, clocks and commands.

use std::time::Duration;

use mainstay_circuit_breaker::{
    Circuit, ConsecutiveFailures, Failure, FailureRate, HalfOpen, OpenTime, Permit, Rule, Rules,
    SlowCallRate, State, Verdict, Window,
};
use proptest::prelude::*;
use tokio::{runtime, time};

use Step::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    /// Ends one of the calls that are under way.
    Settle {
        call: usize,
        verdict: Verdict,
    },
    Drop {
        call: usize,
    },
    Wait {
        millis: u64,
    },
    ForceOpen,
    Disable,
    Reset,
    /// Looks at it, which does what is due.
    Look,
}

const LIMIT: u32 = 3;
const RATE: f64 = 0.5;
const LAST: usize = 8;
const MIN_CALLS: usize = 5;
const WINDOW: u64 = 100;
const SLOW_FROM: u64 = 7;
const FIRST: u64 = 40;
const MAX: u64 = 150;
const SPELL: u64 = 120;
const PROBES: usize = 3;
const SUCCESSES: usize = 2;
const MAX_WAIT: u64 = 60;

/// What a rule looks at, said as plainly as can be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Row,
    LastCalls,
    LastTime,
    Slow,
}

/// Remembers every call since the last change, and looks through all of them each time.
#[derive(Debug)]
struct Model {
    kinds: Vec<Kind>,
    state: State,
    generation: usize,
    now: u64,
    ended: Vec<Ended>,
    probes: Vec<Probe>,
    next_probe: usize,
    open_until: u64,
    closed_since: u64,
    asked_for: u64,
    doublings: u32,
    openings: u64,
    refused: u64,
    late: u64,
}

#[derive(Debug)]
struct Ended {
    at: u64,
    took: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Probe {
    id: usize,
    since: u64,
    /// Nothing while it is out.
    success: Option<bool>,
}

/// A call under way.
struct Call {
    permit: Permit,
    generation: usize,
    since: u64,
    probe: Option<usize>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Twice, for a circuit that is gone makes room for one with the same windows.
    #[test]
    fn behaves_as_the_naive_model_says(
        kinds in prop::collection::vec(kind(), 1..3),
        steps in prop::collection::vec(step(), 0..200),
        again in prop::collection::vec(step(), 0..100),
    ) {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(async {
            run(kinds.clone(), steps).await;
            run(kinds, again).await;
        });
    }
}

async fn run(kinds: Vec<Kind>, steps: Vec<Step>) {
    let circuit = Circuit::new(rules(&kinds));
    let mut model = Model::new(kinds);
    let mut calls: Vec<Call> = Vec::new();
    for step in steps {
        match step {
            Admit => {
                let permit = circuit.admit().ok();
                let probe = model.admit();
                assert_eq!(permit.is_some(), probe.is_some(), "{model:?}");
                if let (Some(permit), Some(probe)) = (permit, probe) {
                    let (generation, since) = (model.generation, model.now);
                    calls.push(Call {
                        permit,
                        generation,
                        since,
                        probe,
                    });
                }
            }
            Settle { call, verdict } if !calls.is_empty() => {
                let call = calls.swap_remove(call % calls.len());
                model.settle(&call, verdict);
                call.permit.settle(verdict);
            }
            Drop { call } if !calls.is_empty() => {
                let call = calls.swap_remove(call % calls.len());
                let is_slow = model.is_slow(model.now - call.since);
                model.settle(
                    &call,
                    if is_slow {
                        Verdict::failure()
                    } else {
                        Verdict::Ignore
                    },
                );
                drop(call.permit);
            }
            Settle { .. } | Drop { .. } => {}
            Wait { millis } => {
                time::advance(Duration::from_millis(millis)).await;
                model.now += millis;
            }
            ForceOpen => {
                circuit.force_open();
                model.advance();
                model.enter(State::ForcedOpen);
            }
            Disable => {
                circuit.disable();
                model.advance();
                model.enter(State::Disabled);
            }
            Reset => {
                circuit.reset();
                model.advance();
                model.doublings = 0;
                model.close();
            }
            Look => model.check(&circuit, step),
        }
    }
    model.check(&circuit, Look);
}

impl Model {
    fn new(kinds: Vec<Kind>) -> Self {
        Self {
            kinds,
            state: State::Closed,
            generation: 0,
            now: 0,
            ended: Vec::new(),
            probes: Vec::new(),
            next_probe: 0,
            open_until: 0,
            closed_since: 0,
            asked_for: 0,
            doublings: 0,
            openings: 0,
            refused: 0,
            late: 0,
        }
    }

    /// Whether the call may be made, and as which probe.
    fn admit(&mut self) -> Option<Option<usize>> {
        self.advance();
        if self.state == State::Open && self.now >= self.open_until {
            self.asked_for = self.now;
            self.enter(State::HalfOpen);
        }
        match self.state {
            State::Closed | State::Disabled => return Some(None),
            State::HalfOpen if self.probes.len() < PROBES => {
                let (id, since) = (self.next_probe, self.now);
                self.next_probe += 1;
                self.probes.push(Probe {
                    id,
                    since,
                    success: None,
                });
                return Some(Some(id));
            }
            _ => self.refused += 1,
        }
        None
    }

    fn settle(&mut self, call: &Call, verdict: Verdict) {
        let is_probe = call.probe.is_some();
        if verdict == Verdict::Ignore && !is_probe {
            return;
        }
        self.advance();
        if call.generation != self.generation {
            self.late += 1;
            return;
        }
        let took = self.now - call.since;
        let failure = match verdict {
            Verdict::Success => None,
            Verdict::Failure(failure) => Some(failure),
            Verdict::Ignore => {
                self.probes.retain(|it| Some(it.id) != call.probe);
                return;
            }
        };
        if let Some(failure) = failure {
            self.asked_for = self.asked_for.max(self.now + asked(failure));
        }
        match self.state {
            State::Closed => {
                self.ended.push(Ended {
                    at: self.now,
                    took,
                    failure,
                });
                if self.kinds.iter().any(|kind| self.opens(*kind)) {
                    let spells = (self.now - self.closed_since) / SPELL;
                    self.doublings = self.doublings.saturating_sub(spells as u32);
                    self.open(self.now);
                }
            }
            State::HalfOpen => {
                let success = failure.is_none() && !self.is_slow(took);
                let mut probes = self.probes.iter_mut();
                let probe = probes.find(|it| Some(it.id) == call.probe).unwrap();
                probe.success = Some(success);
                if self.probes_that(Some(true)) == SUCCESSES {
                    self.close();
                } else if self.probes_that(Some(false)) > PROBES - SUCCESSES {
                    self.open(self.now);
                }
            }
            _ => {}
        }
    }

    /// The oldest probe that is out may have hung meanwhile.
    fn advance(&mut self) {
        let out = self.probes.iter().filter(|it| it.success.is_none());
        let hung_at = out.map(|it| it.since + MAX_WAIT).min();
        if self.state == State::HalfOpen
            && let Some(hung_at) = hung_at
            && hung_at <= self.now
        {
            self.open(hung_at);
        }
    }

    fn opens(&self, kind: Kind) -> bool {
        let step_of = |at: u64| at / (WINDOW / 10);
        let in_time = |it: &&Ended| step_of(it.at) + 10 > step_of(self.now);
        let last = self.ended.len().saturating_sub(LAST);
        let is_slow = |it: &&Ended| it.took >= SLOW_FROM;
        let failed = |it: &&Ended| it.failure.is_some();
        let (calls, bad) = match kind {
            Kind::Row => return self.row() >= LIMIT as usize,
            Kind::LastCalls => {
                let calls = &self.ended[last..];
                (calls.len(), calls.iter().filter(failed).count())
            }
            Kind::LastTime => {
                let calls = || self.ended.iter().filter(in_time);
                (calls().count(), calls().filter(failed).count())
            }
            Kind::Slow => {
                let calls = || self.ended.iter().filter(in_time);
                (calls().count(), calls().filter(is_slow).count())
            }
        };
        calls >= MIN_CALLS && bad as f64 >= RATE * calls as f64
    }

    fn row(&self) -> usize {
        let newest_first = self.ended.iter().rev();
        let row = newest_first.take_while(|it| it.failure.is_some());
        // A refusal is not counted, and does not end the row.
        let refusal = Failure::refusal();
        row.filter(|it| it.failure != Some(refusal)).count()
    }

    fn is_slow(&self, took: u64) -> bool {
        let has_rule = self.kinds.iter().any(|kind| matches!(kind, Kind::Slow));
        has_rule && took >= SLOW_FROM
    }

    fn probes_that(&self, ended: Option<bool>) -> usize {
        self.probes.iter().filter(|it| it.success == ended).count()
    }

    fn open(&mut self, at: u64) {
        let asked = self.asked_for.saturating_sub(at);
        let doubled = FIRST.saturating_mul(1 << self.doublings.min(20));
        self.open_until = at + doubled.max(asked).min(MAX);
        if FIRST << self.doublings < MAX {
            self.doublings += 1;
        }
        self.openings += 1;
        self.enter(State::Open);
    }

    fn close(&mut self) {
        self.closed_since = self.now;
        self.asked_for = self.now;
        self.enter(State::Closed);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.ended.clear();
        self.probes.clear();
    }

    fn check(&mut self, circuit: &Circuit, step: Step) {
        let snapshot = circuit.snapshot();
        self.advance();
        let is_open = self.state == State::Open && self.now < self.open_until;
        let retry_after = is_open.then(|| Duration::from_millis(self.open_until - self.now));
        let probes_out = self.probes_that(None) as u32;
        let context = || format!("after {step:?}: {self:#?}\n{snapshot:#?}");
        assert_eq!(snapshot.state, self.state, "{}", context());
        assert_eq!(snapshot.retry_after, retry_after, "{}", context());
        assert_eq!(snapshot.probes_out, probes_out, "{}", context());
        assert_eq!(snapshot.openings, self.openings, "{}", context());
        assert_eq!(snapshot.refused, self.refused, "{}", context());
        assert_eq!(snapshot.late, self.late, "{}", context());
    }
}

fn asked(failure: Failure) -> u64 {
    if failure == hint() { 100 } else { 0 }
}

const fn hint() -> Failure {
    Failure::new().with_retry_after(Duration::from_millis(100))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Row, Kind::LastCalls, Kind::LastTime, Kind::Slow])
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        10 => Just(Verdict::Success),
        10 => Just(Verdict::failure()),
        1 => Just(hint().into()),
        1 => Just(Failure::refusal().into()),
        1 => Just(Verdict::Ignore),
    ];
    prop_oneof![
        60 => Just(Admit),
        60 => (any::<usize>(), verdict).prop_map(|(call, verdict)| Settle { call, verdict }),
        3 => any::<usize>().prop_map(|call| Drop { call }),
        20 => (0..15_u64).prop_map(|millis| Wait { millis }),
        4 => (0..200_u64).prop_map(|millis| Wait { millis }),
        1 => Just(ForceOpen),
        1 => Just(Disable),
        2 => Just(Reset),
        60 => Just(Look),
    ]
}

fn rules(kinds: &[Kind]) -> Rules {
    let millis = Duration::from_millis;
    let last_calls = Window::last_calls(LAST as u32, MIN_CALLS as u32).unwrap();
    let last_time = Window::last_time(millis(WINDOW), MIN_CALLS as u32).unwrap();
    let rule = |kind: &Kind| -> Rule {
        match kind {
            Kind::Row => ConsecutiveFailures::new(LIMIT).unwrap().into(),
            Kind::LastCalls => FailureRate::new(RATE, last_calls).unwrap().into(),
            Kind::LastTime => FailureRate::new(RATE, last_time).unwrap().into(),
            Kind::Slow => SlowCallRate::new(RATE, millis(SLOW_FROM), last_time)
                .unwrap()
                .into(),
        }
    };
    let (first, others) = kinds.split_first().unwrap();
    let rules = others
        .iter()
        .fold(Rules::new(rule(first)), |rules, kind| rules.or(rule(kind)));

    let open_time = OpenTime::new(millis(FIRST), millis(MAX)).unwrap();
    let open_time = open_time.with_jitter(0.0).unwrap();
    let half_open = HalfOpen::new(PROBES as u32, SUCCESSES as u32).unwrap();
    rules
        .with_open_time(open_time.with_healthy_spell(millis(SPELL)).unwrap())
        .with_half_open(half_open.with_max_wait(millis(MAX_WAIT)).unwrap())
}
