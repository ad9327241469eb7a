use std::collections::BTreeSet;

use super::all;
use crate::{
    counts::CALLS,
    crew,
    group::{Role, Setting},
};

#[test]
fn each_scenario_begins_with_its_only_floor() {
    for group in all() {
        for scenario in group.scenarios {
            let floors = scenario.rows.iter().map(|it| it.role == Role::Floor);
            let expected = (0..scenario.rows.len()).map(|it| it == 0);
            assert!(floors.eq(expected), "{}, {}", group.name, scenario.name);
            assert!(!scenario.settings.is_empty());
            assert_eq!(
                CALLS % scenario.fails_one_in.max(1),
                0,
                "whole cycles are counted"
            );
        }
    }
}

#[test]
fn no_name_is_given_twice() {
    assert_distinct(all().iter().map(|it| it.name));
    for group in all() {
        assert_distinct(group.scenarios.iter().map(|it| it.name));
        for scenario in &group.scenarios {
            assert_distinct(scenario.rows.iter().map(|it| it.name));
        }
    }
}

#[test]
fn each_row_does_what_its_scenario_says() {
    let calls = 200;
    let runtime = crew::runtime(2);
    let _entered = runtime.enter();
    for group in all() {
        for scenario in &group.scenarios {
            for row in &scenario.rows {
                let mut caller = row.callers(1).remove(0);
                let succeeded = match scenario.settings[0] {
                    Setting::Threads(_) => caller.run(calls),
                    Setting::Tasks { .. } => runtime.block_on(caller.task(calls)),
                };
                let place = format!("{}, {}, {}", group.name, scenario.name, row.name);
                assert_eq!(succeeded, scenario.successes(calls), "{place}");
            }
        }
    }
}

fn assert_distinct<'a>(names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(seen.insert(name), "{name} is there twice");
    }
}
