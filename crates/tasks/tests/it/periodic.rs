use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_tasks::{Outcome, Tasks};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn of_what_falls_due_during_a_long_run_one_is_made_up_for() {
    let (tasks, begun, start) = (
        Tasks::new(),
        Arc::new(Mutex::new(Vec::new())),
        Instant::now(),
    );
    let runs = begun.clone();
    let run = move || {
        let long = {
            let mut runs = runs.lock().unwrap(); // nobody panics with it
            runs.push(start.elapsed().as_secs());
            runs.len() == 2
        };
        async move {
            sleep(if long { SECOND * 25 } else { SECOND }).await;
            Ok(())
        }
    };
    tasks.start_periodic("metrics", SECOND * 10, run).unwrap();
    sleep(SECOND * 55).await;
    assert!(matches!(
        tasks.stop("metrics", SECOND).await,
        Ok(Outcome::Completed)
    ));
    assert_eq!(*begun.lock().unwrap(), [0, 10, 35, 40, 50]);
}
