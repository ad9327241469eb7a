//! The whole cache against a map that is written down as the rules are.

use std::collections::{BTreeMap, HashMap, HashSet};

use mainstay_ttl_cache::{BoxError, Keep, KeepErrors, LoadFailed, TtlCache};
use proptest::prelude::*;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::*;

#[derive(Clone, Debug)]
enum Step {
    Get(u64),
    /// A caller for a key. If it begins a load, that lands at once with this, or waits for `Land`.
    Ask(u64, Option<Result<(), ()>>),
    /// The oldest load that waits.
    Land(Result<(), ()>),
    /// The callers of the oldest load that waits are gone.
    GiveUp,
    Insert(u64),
    Invalidate(u64),
    InvalidateAll,
    InvalidateTag(u64),
    InvalidateOdd,
    Sweep,
    Wait(u64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn does_what_the_rules_say(steps in proptest::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut both = Both::new();
            for step in steps {
                both.step(step).await;
            }
        });
    }
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..3_u64;
    let result = || prop_oneof![3 => Just(Ok(())), 2 => Just(Err(()))];
    prop_oneof![
        3 => key().prop_map(Step::Get),
        8 => (key(), proptest::option::of(result())).prop_map(|(key, it)| Step::Ask(key, it)),
        3 => result().prop_map(Step::Land),
        1 => Just(Step::GiveUp),
        2 => key().prop_map(Step::Insert),
        1 => key().prop_map(Step::Invalidate),
        1 => Just(Step::InvalidateAll),
        1 => key().prop_map(Step::InvalidateTag),
        1 => Just(Step::InvalidateOdd),
        1 => Just(Step::Sweep),
        6 => (1..12_u64).prop_map(Step::Wait),
    ]
}

/// How long a number is fresh, may be revalidated, and may stand in for an error; in seconds.
const fn lives(number: u64) -> (u64, u64, u64) {
    (3 + number % 5, (number % 2) * 4, (number % 3) * 4)
}

/// Answers with these numbers are not kept.
const fn is_passing(answer: u64) -> bool {
    answer.is_multiple_of(7)
}

/// Failures with these numbers are told again for two seconds.
const fn is_kept(failure: u64) -> bool {
    failure.is_multiple_of(4)
}

struct Both {
    cache: TtlCache<u64, u64, Rules>,
    rules: Map,
    last_number: u64,
    callers: BTreeMap<u64, JoinHandle<Result<u64, LoadFailed>>>,
    senders: BTreeMap<u64, oneshot::Sender<Result<u64, u64>>>,
}

type Rules = KeepErrors<fn(&u64) -> Option<Keep>, fn(&BoxError) -> Option<Duration>>;

/// The rules.
#[derive(Default)]
struct Map {
    now: u64,
    entries: HashMap<u64, Entry>,
    /// The loads that wait, by number.
    loads: BTreeMap<u64, Load>,
}

struct Entry {
    held: Result<u64, u64>,
    fresh_until: u64,
    stale_until: u64,
    error_until: u64,
    retry_at: u64,
}

struct Load {
    key: u64,
    is_refresh: bool,
    /// Later callers may join, and no invalidation forbids to store it.
    is_joined: bool,
    is_stored: bool,
    /// It waits for this one, whose answer is its own if no tag of it was invalidated meanwhile.
    behind: Option<u64>,
    /// It is still the load of its key: an old value may stand in for its failure.
    is_known: bool,
    invalidated_tags: HashSet<u64>,
    callers: Vec<u64>,
}

enum Answer {
    Now(Result<u64, u64>),
    Later,
}

impl Both {
    fn new() -> Self {
        let keep: fn(&u64) -> Option<Keep> = |it| {
            let (fresh, stale, error) = lives(*it);
            let ttl = ttl(fresh)
                .with_stale_while_revalidate(seconds(stale))
                .with_stale_if_error(seconds(error));
            (!is_passing(*it)).then(|| Keep::from(ttl).with_tag((it % 3).to_string()))
        };
        let keep_error: fn(&BoxError) -> Option<Duration> =
            |it| is_kept(it.to_string().parse().unwrap()).then_some(seconds(2));
        let limits = limits(1_000)
            .with_retry_after(seconds(1))
            .with_refresh_timeout(seconds(1_000_000))
            .unwrap();
        Self {
            cache: TtlCache::new(limits, KeepErrors::new(keep, keep_error)),
            rules: Map::default(),
            last_number: 0,
            callers: BTreeMap::new(),
            senders: BTreeMap::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Get(key) => assert_eq!(self.cache.get(&key), self.rules.get(key), "{key}"),
            Step::Ask(key, lands) => self.ask(key, lands).await,
            Step::Land(result) => {
                let first = self.rules.loads.iter().find(|(_, it)| it.behind.is_none());
                if let Some((&load, _)) = first {
                    self.land(load, result).await;
                }
            }
            Step::GiveUp => {
                let loads = &self.rules.loads;
                let has_next = |number| loads.values().any(|it| it.behind == Some(number));
                let first = loads.iter().find(|(number, it)| {
                    !it.is_refresh && it.behind.is_none() && !has_next(**number)
                });
                if let Some((&number, load)) = first {
                    for caller in &load.callers {
                        self.callers.remove(caller).unwrap().abort();
                    }
                    self.rules.loads.remove(&number);
                    settle().await;
                    assert!(self.senders.remove(&number).unwrap().is_closed());
                }
            }
            Step::Insert(key) => {
                let number = self.number();
                self.cache.insert(key, number);
                self.rules.disown(key);
                self.rules.put(key, Ok(number));
            }
            Step::Invalidate(key) => {
                self.cache.invalidate(&key);
                self.rules.disown(key);
                self.rules.entries.remove(&key);
            }
            Step::InvalidateAll => {
                self.cache.invalidate_all();
                self.rules.entries.clear();
                self.rules.disown_all();
            }
            Step::InvalidateTag(tag) => {
                self.cache.invalidate_tag(&tag.to_string());
                let has_tag = |it: &Entry| it.held.is_ok_and(|it| it % 3 == tag);
                self.rules.entries.retain(|_, it| !has_tag(it));
                for load in self.rules.loads.values_mut() {
                    load.is_joined = false;
                    load.invalidated_tags.insert(tag);
                }
            }
            Step::InvalidateOdd => {
                self.cache.invalidate_if(|_, value| value % 2 == 1);
                self.rules
                    .entries
                    .retain(|_, it| it.held.map_or(true, |it| it % 2 == 0));
                self.rules.disown_all();
            }
            Step::Sweep => self.cache.sweep(),
            Step::Wait(time) => {
                tokio::time::sleep(seconds(time)).await;
                self.rules.now += time;
            }
        }
        settle().await;
    }

    async fn ask(&mut self, key: u64, lands: Option<Result<(), ()>>) {
        let number = self.number();
        let (sender, landing) = oneshot::channel::<Result<u64, u64>>();
        let load = move || async move { landing.await.unwrap().map_err(|it| it.to_string()) };
        let caller = tokio::spawn(self.cache.get_or_load(&key, load));
        self.senders.insert(number, sender);
        settle().await;
        match self.rules.ask(key, number) {
            Answer::Now(expected) => {
                assert!(caller.is_finished(), "{key} at once: {expected:?}");
                assert_eq!(outcome(caller).await, expected);
            }
            Answer::Later => {
                assert!(!caller.is_finished(), "{key} later");
                self.callers.insert(number, caller);
            }
        }
        if let Some(load) = self.rules.loads.get(&number) {
            if let Some(result) = lands.filter(|_| load.behind.is_none()) {
                self.land(number, result).await;
            }
        } else {
            // It was not needed, and is dropped.
            assert!(self.senders.remove(&number).unwrap().is_closed());
        }
    }

    async fn land(&mut self, number: u64, result: Result<(), ()>) {
        let result = result.map(|()| number).map_err(|()| number);
        self.senders.remove(&number).unwrap().send(result).unwrap();
        settle().await;
        let mut landed = vec![number];
        while let Some(number) = landed.pop() {
            let invalidated = self.rules.loads[&number].invalidated_tags.clone();
            let (callers, expected) = self.rules.land(number, result);
            for caller in callers {
                let caller = self.callers.remove(&caller).unwrap();
                assert!(caller.is_finished());
                assert_eq!(outcome(caller).await, expected);
            }
            for (&next, load) in &mut self.rules.loads {
                if load.behind == Some(number) {
                    load.behind = None;
                    let has_to_load = |it| is_passing(it) || invalidated.contains(&(it % 3));
                    if !result.is_ok_and(has_to_load) {
                        landed.push(next);
                        assert!(self.senders.remove(&next).unwrap().is_closed());
                    }
                }
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Map {
    fn get(&self, key: u64) -> Option<u64> {
        let entry = self.entries.get(&key)?;
        entry.held.ok().filter(|_| self.now < entry.fresh_until)
    }

    fn ask(&mut self, key: u64, number: u64) -> Answer {
        let (mut held, mut is_due) = (None, false);
        if let Some(it) = self.entries.get(&key) {
            let rests = self.now < it.stale_until.max(it.error_until) && self.now < it.retry_at;
            is_due = self.now >= it.fresh_until && self.now < it.stale_until && !rests;
            if self.now < it.fresh_until || is_due || rests {
                held = Some(it.held);
            }
        }
        // A load that may not be joined for its tags alone is as good as any for a refresh.
        let is_underway = |it: &Load| it.is_joined || (it.is_stored && held.is_some());
        let mut underway = self
            .loads
            .values_mut()
            .filter(|it| it.key == key && is_underway(it));
        match (underway.next(), held) {
            (_, Some(held)) if !is_due => Answer::Now(held),
            (Some(_), Some(held)) => Answer::Now(held),
            (None, Some(held)) => {
                self.begin(key, number, true);
                Answer::Now(held)
            }
            (Some(load), None) => {
                load.callers.push(number);
                Answer::Later
            }
            (None, None) => {
                self.begin(key, number, false);
                Answer::Later
            }
        }
    }

    fn begin(&mut self, key: u64, number: u64, is_refresh: bool) {
        // It takes the place of one that nobody may join, and waits for it if that is for its tags alone.
        let older = self
            .loads
            .iter()
            .find(|(_, it)| it.key == key && it.is_stored);
        let behind = older.map(|(number, _)| *number);
        assert!(behind.is_none() || !is_refresh);
        self.disown(key);
        let load = Load {
            key,
            is_refresh,
            is_joined: true,
            is_stored: true,
            is_known: true,
            behind,
            invalidated_tags: HashSet::new(),
            callers: if is_refresh { vec![] } else { vec![number] },
        };
        self.loads.insert(number, load);
    }

    fn land(&mut self, number: u64, result: Result<u64, u64>) -> (Vec<u64>, Result<u64, u64>) {
        let load = self.loads.remove(&number).unwrap();
        match result {
            Ok(value) => {
                if is_passing(value) {
                    // What there is is older, and wrong.
                    if load.is_known {
                        self.entries.remove(&load.key);
                    }
                } else if load.is_stored && !load.invalidated_tags.contains(&(value % 3)) {
                    self.put(load.key, Ok(value));
                }
                (load.callers, result)
            }
            Err(failure) => {
                if load.is_known {
                    let now = self.now;
                    if let Some(it) = self.entries.get_mut(&load.key)
                        && now < it.stale_until.max(it.error_until)
                        && let Ok(old) = it.held
                    {
                        it.retry_at = now + 1;
                        return (load.callers, Ok(old));
                    }
                    if is_kept(failure) && load.is_stored {
                        self.put(load.key, Err(failure));
                    }
                }
                (load.callers, result)
            }
        }
    }

    fn put(&mut self, key: u64, held: Result<u64, u64>) {
        if held.is_ok_and(is_passing) {
            self.entries.remove(&key);
            return;
        }
        let (fresh, stale, error) = held.map_or((2, 0, 0), lives);
        let fresh_until = self.now + fresh;
        let entry = Entry {
            held,
            fresh_until,
            stale_until: fresh_until + stale,
            error_until: fresh_until + error,
            retry_at: 0,
        };
        self.entries.insert(key, entry);
    }

    fn disown(&mut self, key: u64) {
        for load in self.loads.values_mut().filter(|it| it.key == key) {
            (load.is_joined, load.is_stored, load.is_known) = (false, false, false);
        }
    }

    fn disown_all(&mut self) {
        for load in self.loads.values_mut() {
            (load.is_joined, load.is_stored) = (false, false);
        }
    }
}

async fn outcome(caller: JoinHandle<Result<u64, LoadFailed>>) -> Result<u64, u64> {
    let outcome = caller.await.unwrap();
    outcome.map_err(|it| it.cause().to_string().parse().unwrap())
}

/// All that can run has run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
