//! What is kept when there is no room for all is what quick_cache keeps.

use std::convert::Infallible;

use mainstay_ttl_cache::TtlCache;
use quick_cache::sync::Cache as Quick;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::*;

const KEYS: usize = 20_000;

const CALLS: usize = 50_000;

#[test]
fn is_that_of_quick_cache_on_zipfs_law_and_when_scans_pass_through() {
    let zipf = zipf();
    // One of two calls is of a scan, which asks for what nobody asks for again soon.
    let scanned = zipf.iter().zip(0..).flat_map(|(key, it)| {
        let scan = KEYS as u64 + it % (10 * KEYS as u64);
        [*key, scan]
    });
    let scanned: Vec<_> = scanned.collect();
    for trace in [&zipf, &scanned] {
        for room in [KEYS / 100, KEYS / 10] {
            // Which keys share a part is another matter in each cache.
            let ratio = |hits: fn(&[u64], usize) -> usize| {
                let hits: usize = (0..2).map(|_| hits(trace, room)).sum();
                hits as f64 / (2 * trace.len()) as f64 * 100.0
            };
            let (ours, theirs) = (ratio(ours), ratio(theirs));
            assert!(ours > theirs - 0.3, "{ours:.2} and {theirs:.2} of {room}");
            assert!(ours > 15.0, "{ours:.2} of {room}");
        }
    }
}

fn ours(trace: &[u64], room: usize) -> usize {
    let cache = TtlCache::<u64, u64>::new(limits(room), ttl(100_000));
    for key in trace {
        let load = || async { Ok::<_, Infallible>(7) };
        let mut call = task::spawn(cache.get_or_load(key, load));
        assert_eq!(assert_ready!(call.poll()).unwrap(), 7);
    }
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.hits + snapshot.misses, trace.len() as u64);
    snapshot.hits as usize
}

fn theirs(trace: &[u64], room: usize) -> usize {
    let cache = Quick::new(room);
    let mut hits = 0;
    for key in trace {
        if cache.get(key).is_some() {
            hits += 1;
        } else {
            cache.insert(*key, 7_u64);
        }
    }
    hits
}

fn zipf() -> Vec<u64> {
    let mut sums = Vec::with_capacity(KEYS);
    let mut sum = 0.0;
    for rank in 1..=KEYS {
        sum += (rank as f64).powf(-0.99);
        sums.push(sum);
    }
    let mut rng = StdRng::seed_from_u64(3);
    let mut draw = || {
        let at = rng.random::<f64>() * sum;
        sums.partition_point(|it| *it < at) as u64
    };
    (0..CALLS).map(|_| draw()).collect()
}
