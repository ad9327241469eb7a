use std::{thread, time::Duration};

use super::{Effort, rows};
use crate::{
    backend::{Backend, Failed},
    crew::Crew,
    group::{Role, Row, Scenario, Setting},
    work::Driver,
};

const EFFORT: Effort = Effort {
    sample: Duration::from_micros(200),
    rounds: 5,
};

#[test]
fn the_slower_row_is_found_to_be_slower_by_as_much() {
    let slow = Row::driven("slow", Role::Ours, || {
        move |request, _: &mut Driver<'_>| {
            thread::sleep(Duration::from_micros(100));
            Backend::<0>.answer(request)
        }
    });
    let slower = Row::driven("slower", Role::Peer, || {
        move |request, _: &mut Driver<'_>| {
            thread::sleep(Duration::from_micros(400));
            Backend::<0>.answer(request)
        }
    });
    let times = rows(
        &scenario(vec![floor(), slow, slower]),
        Setting::Threads(1),
        EFFORT,
        &Crew::new(1),
    );
    assert_eq!(times[0].to_floor, 1.0);
    assert_eq!(times[0].above_floor, 0.0);
    assert!(times[1].above_floor >= 99_000.0);
    assert!(times[2].above_floor >= 399_000.0);
    assert_eq!(times[2].to_best_peer, Some(1.0));
    assert!(times[1].to_best_peer.is_some_and(|ratio| ratio < 1.0));
}

#[test]
#[should_panic(expected = "cheat")]
fn a_row_that_does_other_work_is_found_out() {
    let cheat = Row::driven("cheat", Role::Peer, || {
        |_, _: &mut Driver<'_>| Err::<(), _>(Failed(0))
    });
    rows(
        &scenario(vec![floor(), cheat]),
        Setting::Threads(1),
        EFFORT,
        &Crew::new(1),
    );
}

#[test]
fn without_a_peer_there_is_no_ratio_to_the_best() {
    let scenario = scenario(vec![floor()]);
    let times = rows(&scenario, Setting::Threads(1), EFFORT, &Crew::new(1));
    assert_eq!(times[0].to_best_peer, None);
}

fn floor() -> Row {
    Row::service("floor", Role::Floor, || Backend::<0>)
}

fn scenario(rows: Vec<Row>) -> Scenario {
    Scenario {
        name: "test",
        about: "",
        fails_one_in: 0,
        settings: &[],
        rows,
    }
}
