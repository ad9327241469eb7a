use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Outcome;
use crate::supervision::{InvalidRestartLimit, Next, Restart, RestartLimit, Restarts, Supervision};

const SECOND: Duration = Duration::from_secs(1);

fn doubling() -> impl Iterator<Item = Duration> {
    (0..4).map(|n| SECOND * 2u32.pow(n))
}

fn failed() -> Outcome {
    Outcome::Panicked("at the disk".into())
}

#[test]
fn a_run_that_lasts_for_the_window_begins_a_new_series() {
    let mut restarts = Restarts::new(Supervision::new(Restart::OnFailure, doubling));
    let mut now = Instant::now();
    let mut delay_after = |seconds| {
        let begun = now;
        now += SECOND * seconds;
        restarts.after(&failed(), begun, now)
    };
    assert_eq!(delay_after(1), Next::Restart { delay: SECOND });
    assert_eq!(delay_after(1), Next::Restart { delay: SECOND * 2 });
    assert_eq!(delay_after(59), Next::Restart { delay: SECOND * 4 });
    assert_eq!(delay_after(60), Next::Restart { delay: SECOND });
    assert_eq!(delay_after(1), Next::Restart { delay: SECOND * 2 });
}

#[test]
fn it_is_given_up_when_there_is_no_further_delay() {
    let mut restarts = Restarts::new(Supervision::new(Restart::Always, doubling));
    let now = Instant::now();
    for n in 0..4 {
        let delay = SECOND * 2u32.pow(n);
        assert_eq!(restarts.after(&failed(), now, now), Next::Restart { delay });
    }
    assert_eq!(restarts.after(&failed(), now, now), Next::GiveUp);
    assert_eq!(restarts.count(), 4);
    // But a completion is no part of a series.
    let next = restarts.after(&Outcome::Completed, now, now);
    assert_eq!(next, Next::Restart { delay: SECOND });
}

#[test]
fn it_is_given_up_at_the_limit_of_restarts_within_the_window() {
    let limit = RestartLimit::new(NonZeroU32::new(2).unwrap(), SECOND * 10).unwrap(); // not zero
    let supervision = Supervision::new(Restart::OnFailure, doubling).with_limit(limit);
    let start = Instant::now();
    let mut restarts = Restarts::new(supervision);
    let mut next = |begun, ended| {
        let (begun, ended) = (start + SECOND * begun, start + SECOND * ended);
        restarts.after(&failed(), begun, ended)
    };
    assert_eq!(next(0, 1), Next::Restart { delay: SECOND });
    assert_eq!(next(2, 8), Next::Restart { delay: SECOND * 2 });
    // The first is out of the window.
    assert_eq!(next(10, 11), Next::Restart { delay: SECOND * 4 });
    assert_eq!(next(15, 17), Next::GiveUp);
}

#[test]
fn what_is_run_again_depends_on_how_it_ended() {
    let now = Instant::now();
    let next = |restart, outcome: &Outcome| {
        let mut restarts = Restarts::new(Supervision::new(restart, doubling));
        restarts.after(outcome, now, now)
    };
    let again = Next::Restart { delay: SECOND };
    assert_eq!(next(Restart::Never, &failed()), Next::End);
    assert_eq!(next(Restart::OnFailure, &Outcome::Completed), Next::End);
    assert_eq!(next(Restart::OnFailure, &failed()), again);
    assert_eq!(next(Restart::Always, &Outcome::Completed), again);
    assert_eq!(next(Restart::Always, &failed()), again);
}

#[test]
fn a_window_of_zero_is_refused() {
    let refused = RestartLimit::new(NonZeroU32::MIN, Duration::ZERO);
    let text = "the window of a restart limit must not be zero";
    assert_eq!(
        refused.map_err(|it: InvalidRestartLimit| it.to_string()),
        Err(text.into())
    );
}
