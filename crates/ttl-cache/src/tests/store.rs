use std::time::Duration;

use crate::{
    Limits, Ttl,
    calendar::Ticket,
    record::{Record, Terms},
    store::{Keyed, Removed, Sharded, Store},
    tags::{Stamp, Tags},
    tick::Tick,
    windows::Windows,
};

#[test]
fn what_has_to_go_is_handed_out_and_the_weight_is_kept() {
    let limits = Limits::new(100).unwrap().with_weight(1_000).unwrap();
    let store = Sharded::new(&limits);
    let mut gone = 0;
    for id in 0..1_000 {
        let mut removed = Removed::default();
        store.insert(keyed(ticket(id), id), record(id, 50), false, &mut removed);
        gone += removed.iter().count();
        assert!(store.weight() <= 1_000);
    }
    assert_eq!(gone + store.len(), 1_000);
    assert_eq!(store.weight(), 50 * store.len() as u64);
    assert!(store.len() >= 10, "{}", store.len());
}

#[test]
fn an_entry_heavier_than_its_part_is_handed_back_and_that_of_its_key_goes() {
    let store = Sharded::new(&Limits::new(10).unwrap().with_weight(100).unwrap());
    let mut removed = Removed::default();
    store.insert(keyed(ticket(1), 1), record(1, 1), false, &mut removed);
    assert_eq!(removed.iter().count(), 0);
    let heavy = Ticket {
        hash: ticket(1).hash,
        id: 7,
    };
    store.insert(keyed(heavy, 1), record(2, 101), false, &mut removed);
    let ids: Vec<_> = removed.iter().map(|(key, _)| key.ticket.id).collect();
    assert_eq!(ids, [1, 7]);
    assert_eq!(store.len(), 0);
}

#[test]
fn an_entry_is_taken_by_its_ticket_and_no_other() {
    let store = Sharded::new(&Limits::new(10).unwrap());
    let mut removed = Removed::default();
    store.insert(keyed(ticket(1), 1), record(1, 1), false, &mut removed);
    let next = Ticket { id: 2, ..ticket(1) };
    store.insert(keyed(next, 1), record(2, 1), true, &mut removed);
    assert_eq!(removed.iter().count(), 1);
    assert!(!store.has(ticket(1)));
    assert!(store.take(ticket(1), |_| true).is_none());
    assert!(store.has(next));
    assert!(store.take(next, |_| false).is_none());
    assert!(store.take(next, |_| true).is_some());
    assert_eq!(store.len(), 0);
}

#[test]
fn a_string_is_found_by_a_str() {
    let store = Sharded::new(&Limits::new(10).unwrap());
    let mut removed = Removed::default();
    store.insert(
        keyed(ticket(1), "one".to_owned()),
        record(1, 1),
        false,
        &mut removed,
    );
    let found = store.get(ticket(1).hash, "one").map(|it| it.held.ok());
    assert_eq!(found, Some(Some(1)));
    assert!(store.get(ticket(1).hash, "two").is_none());
    assert_eq!(store.look(ticket(1).hash, "one", Record::weight), Some(1));
    assert!(store.remove(ticket(1).hash, "one").is_some());
}

fn ticket(id: u64) -> Ticket {
    Ticket {
        hash: id.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        id,
    }
}

const fn keyed<K>(ticket: Ticket, key: K) -> Keyed<K> {
    Keyed { ticket, key }
}

fn record(value: u64, weight: u64) -> Record<u64> {
    let ttl = Ttl::new(Duration::from_secs(1)).unwrap();
    let windows = Windows::open(&ttl, Tick(0), Duration::ZERO, 0.0);
    let tags = Tags::default();
    let terms = Terms {
        windows,
        weight,
        tags,
    };
    Record::new(Ok(value), terms, Stamp(1))
}
