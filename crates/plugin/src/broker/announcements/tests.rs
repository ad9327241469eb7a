use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What one side of a stream sees happen.
#[derive(Clone, Debug)]
enum Event {
    Announced(u32),
    Dial(u32),
    /// Somebody gives up, if one waits.
    GiveUp(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..4_u32).prop_map(Event::Announced),
        3 => (0..4_u32).prop_map(Event::Dial),
        2 => (0..8_usize).prop_map(Event::GiveUp),
        2 => (0..6_000_u64).prop_map(Event::Pass),
    ]
}

/// As the contract says it, by lists that are searched.
#[derive(Default)]
struct Model {
    unclaimed: Vec<(u32, u16, Instant)>,
    waiting: Vec<(u32, usize)>,
    given: Vec<(usize, u16)>,
}

impl Model {
    fn expire(&mut self, now: Instant) {
        self.unclaimed.retain(|(_, _, at)| *at + WITHIN > now);
    }

    fn announced(&mut self, id: u32, port: u16, now: Instant) {
        if let Some(at) = self.waiting.iter().position(|(it, _)| *it == id) {
            let (_, dial) = self.waiting.remove(at);
            self.given.push((dial, port));
        } else if !self.unclaimed.iter().any(|(it, ..)| *it == id) {
            self.unclaimed.push((id, port, now));
        }
    }

    fn dial(&mut self, id: u32, dial: usize) {
        match self.unclaimed.iter().position(|(it, ..)| *it == id) {
            Some(at) => {
                let (_, port, _) = self.unclaimed.remove(at);
                self.given.push((dial, port));
            }
            None => self.waiting.push((id, dial)),
        }
    }
}

fn address(port: u16) -> Announcement {
    Ok(Address::Tcp(([127, 0, 0, 1], port).into()))
}

proptest! {
    #[test]
    fn every_announcement_goes_to_one_who_dials_it_or_none(
        events in prop::collection::vec(event(), 0..60)
    ) {
        let mut now = Instant::now();
        let mut announcements = Announcements::default();
        let mut model = Model::default();
        let mut dials = Vec::new();
        for (n, event) in events.into_iter().enumerate() {
            let port = u16::try_from(n).unwrap() + 1;
            model.expire(now);
            match event {
                Event::Announced(id) => {
                    announcements.announced(id, address(port), now);
                    model.announced(id, port, now);
                }
                Event::Dial(id) => {
                    model.dial(id, dials.len());
                    dials.push((id, Some(announcements.dial(id, now))));
                }
                Event::GiveUp(which) => {
                    if let Some((id, dial)) = model.waiting.get(which).copied() {
                        model.waiting.remove(which);
                        dials[dial].1 = None;
                        announcements.forget(id);
                    }
                }
                Event::Pass(millis) => now += Duration::from_millis(millis),
            }
            announcements.expire(now);
            model.expire(now);
            let waiting: usize = announcements.dials.values().map(VecDeque::len).sum();
            prop_assert_eq!(waiting, model.waiting.len());
            prop_assert_eq!(announcements.unclaimed.len(), model.unclaimed.len());
            let next = announcements.next_expiry();
            prop_assert!(next.is_some() || model.unclaimed.is_empty());
        }
        for (dial, port) in model.given {
            let given = dials[dial].1.as_mut().unwrap().try_recv().unwrap();
            prop_assert_eq!(given, address(port));
            dials[dial].1 = None;
        }
        for (_, dial) in &mut dials {
            if let Some(dial) = dial {
                prop_assert!(dial.try_recv().is_err());
            }
        }
    }
}

#[test]
fn who_gave_up_does_not_get_what_the_next_waits_for() {
    let now = Instant::now();
    let mut announcements = Announcements::default();
    let first = announcements.dial(1, now);
    let mut second = announcements.dial(1, now);
    drop(first);
    assert!(announcements.announced(1, address(7), now));
    assert_eq!(second.try_recv().unwrap(), address(7));
    assert!(announcements.dials.is_empty());
}
