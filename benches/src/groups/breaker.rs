//! Circuit breakers, one shared by all callers.

mod ours;
#[cfg(feature = "peers")]
mod peers;

use std::time::Duration;

use crate::{
    backend::Backend,
    group::{ALONE_AND_SHARED, Group, Role, Row, Scenario},
};

/// Longer than any run.
const OPEN_FOR: Duration = Duration::from_secs(3600);

/// In a row.
const FAILURES: usize = 5;

pub(super) fn group() -> Group {
    Group {
        name: "breaker",
        title: "Circuit breaker",
        crates: &[
            "mainstay-circuit-breaker",
            "tower-resilience-circuitbreaker",
            "recloser",
            "failsafe",
            "seatbelt",
        ],
        scenarios: vec![
            Scenario {
                name: "closed",
                about: "The circuit is closed, and all calls succeed.",
                fails_one_in: 0,
                settings: ALONE_AND_SHARED,
                rows: rows::<0>(),
            },
            Scenario {
                name: "5 % failing",
                about: "One call in twenty fails, which opens none of the circuits.",
                fails_one_in: 20,
                settings: ALONE_AND_SHARED,
                rows: rows::<20>(),
            },
            Scenario {
                name: "open",
                about: "The circuit is open for an hour, and all calls are refused. The bare service fails at once.",
                fails_one_in: 1,
                settings: ALONE_AND_SHARED,
                rows: open(),
            },
        ],
    }
}

/// Closed circuits over a service of which one call in so many fails.
fn rows<const ONE_IN: u64>() -> Vec<Row> {
    let floor = Row::service("bare service", Role::Floor, || Backend::<ONE_IN>);
    let mut rows = vec![floor];
    rows.extend(ours::closed::<ONE_IN>());
    #[cfg(feature = "peers")]
    rows.extend(peers::closed::<ONE_IN>());
    rows
}

/// Circuits that a service has opened, all of whose calls fail.
fn open() -> Vec<Row> {
    let floor = Row::service("bare service", Role::Floor, || Backend::<1>);
    let mut rows = vec![floor];
    rows.extend(ours::open());
    #[cfg(feature = "peers")]
    rows.extend(peers::open());
    rows
}

/// Makes calls until one is refused.
///
/// # Panics
///
/// If none is: then the row would not show what a refusal costs.
fn trip<T, E>(
    mut call: impl FnMut(u64, &mut crate::work::Driver<'_>) -> Result<T, E>,
    is_refusal: impl Fn(&E) -> bool,
) {
    let refused = crate::work::Driver::with(|driver| {
        (0..10_000).any(|it| call(it, driver).is_err_and(|error| is_refusal(&error)))
    });
    assert!(refused, "this circuit does not open");
}
