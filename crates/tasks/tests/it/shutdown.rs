use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mainstay_tasks::{BoxError, Cause, Phase, Shutdown, ShutdownReport, StartError};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// What happened, and when.
#[derive(Clone)]
struct Log {
    lines: Arc<Mutex<Vec<(u64, String)>>>,
    start: Instant,
}

impl Log {
    fn new() -> Self {
        let lines = Arc::default();
        let start = Instant::now();
        Self { lines, start }
    }

    fn add(&self, line: impl Into<String>) {
        let line = (self.start.elapsed().as_secs(), line.into());
        self.lines.lock().unwrap().push(line); // nobody panics with it
    }

    #[track_caller]
    fn is(&self, expected: &[(u64, &str)]) {
        let lines = self.lines.lock().unwrap();
        let lines: Vec<_> = lines.iter().map(|(at, line)| (*at, &**line)).collect();
        assert_eq!(lines, expected);
    }
}

fn names(report: &ShutdownReport, phase: Phase) -> (Vec<String>, Vec<String>, Vec<String>) {
    let phases = &mut report.phases.iter();
    let tasks = &phases.find(|it| it.phase == phase).unwrap().tasks;
    let sorted = |names: &mut dyn Iterator<Item = &Arc<str>>| {
        let mut names: Vec<_> = names.map(ToString::to_string).collect();
        names.sort();
        names
    };
    (
        sorted(&mut tasks.finished.iter().map(|ended| &ended.name)),
        sorted(&mut tasks.aborted.iter()),
        sorted(&mut tasks.hung.iter()),
    )
}

#[tokio::test(start_paused = true)]
async fn the_phases_come_in_their_order_each_when_the_one_before_is_over() {
    let (shutdown, log) = (Shutdown::new(), Log::new());
    for phase in Phase::ALL {
        let log = log.clone();
        let hook = async move || {
            log.add(phase.to_string());
            sleep(SECOND / 2).await;
            log.add(format!("{phase} over"));
            sleep(SECOND / 2).await;
            Ok(())
        };
        let shutdown = shutdown.clone().with_limit(phase, SECOND * 2);
        shutdown.on(phase, "hook", hook).unwrap();
    }
    sleep(SECOND).await;
    shutdown.begin();
    let report = shutdown.run().await;
    log.is(&[
        (1, "announce"),
        (1, "announce over"),
        (2, "stop accepting"),
        (2, "stop accepting over"),
        (3, "drain"),
        (3, "drain over"),
        (4, "stop tasks"),
        (4, "stop tasks over"),
        (5, "close pools"),
        (5, "close pools over"),
        (6, "flush batches"),
        (6, "flush batches over"),
    ]);
    assert!(report.is_clean());
    assert_eq!(report.to_string(), "shutdown (asked), clean");
    assert!(report.phases.iter().all(|phase| phase.took == SECOND));
}

#[tokio::test(start_paused = true)]
async fn within_a_phase_all_are_stopped_at_once_under_one_deadline() {
    let shutdown = Shutdown::new().with_limit(Phase::StopTasks, SECOND * 4);
    let tasks = shutdown.at(Phase::StopTasks);
    for seconds in 1..=3 {
        let body = async move |stopping: tokio_util::sync::CancellationToken| {
            stopping.cancelled().await;
            sleep(SECOND * seconds).await;
            Ok(())
        };
        tasks.start(format!("{seconds} s"), body).unwrap();
    }
    tasks.start("stubborn", |_| pending()).unwrap();
    let start = Instant::now();
    shutdown.begin();
    let report = shutdown.run().await;
    assert_eq!(start.elapsed(), SECOND * 4);
    let (finished, aborted, hung) = names(&report, Phase::StopTasks);
    assert_eq!(finished, ["1 s", "2 s", "3 s"]);
    assert_eq!(aborted, ["stubborn"]);
    assert!(hung.is_empty());
    assert!(!report.is_clean());
    let text = "shutdown (asked); stop tasks: stubborn aborted";
    assert_eq!(report.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn who_sends_work_is_told_before_nothing_more_is_accepted() {
    let (shutdown, log) = (Shutdown::new(), Log::new());
    let (stopping, told) = (shutdown.stopping(), log.clone());
    let not_serving = async move || {
        assert!(!stopping.is_cancelled());
        told.add("NOT_SERVING");
        sleep(SECOND * 2).await;
        Ok(())
    };
    shutdown.on(Phase::Announce, "health", not_serving).unwrap();
    let accepting = log.clone();
    let server = async move |stopping: tokio_util::sync::CancellationToken| {
        stopping.cancelled().await;
        accepting.add("accepts no more");
        sleep(SECOND * 3).await;
        accepting.add("served all");
        Ok(())
    };
    shutdown.serve("server", server).unwrap();
    shutdown.begin();
    assert!(shutdown.run().await.is_clean());
    let lines = [
        (0, "NOT_SERVING"),
        (2, "accepts no more"),
        (5, "served all"),
    ];
    log.is(&lines);
}

#[tokio::test(start_paused = true)]
async fn work_in_flight_is_waited_for_also_if_it_came_after_the_stop() {
    let shutdown = Shutdown::new();
    shutdown.begin();
    let work = shutdown.work();
    let late = shutdown.clone();
    tokio::spawn(async move {
        late.stopping().cancelled().await;
        sleep(SECOND * 3).await;
        let more = late.work();
        drop(work);
        sleep(SECOND * 3).await;
        drop(more);
    });
    let start = Instant::now();
    assert!(shutdown.run().await.is_clean());
    assert_eq!(start.elapsed(), SECOND * 6);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_overdue_is_told_and_counted() {
    let shutdown = Shutdown::new().with_limit(Phase::Drain, SECOND * 2);
    let _hangs = shutdown.work();
    for _ in 0..2 {
        let work = shutdown.work();
        tokio::spawn(async move { work.overdue().await });
    }
    let start = Instant::now();
    shutdown.begin();
    let report = shutdown.run().await;
    assert_eq!(start.elapsed(), SECOND * 3);
    assert_eq!((report.work_overdue, report.work_hung), (2, 1));
    assert_eq!(
        report.to_string(),
        "shutdown (asked); drain: work overdue: 2; drain: work hung: 1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_begins_the_shutdown_and_is_reported() {
    let shutdown = Shutdown::new();
    let fails = async |_| {
        sleep(SECOND).await;
        Err("address in use".into())
    };
    shutdown.serve("server", fails).unwrap();
    let report = shutdown.run().await;
    assert_eq!(report.cause, Cause::Ended("server".into()));
    assert_eq!(
        report.to_string(),
        "shutdown (server ended); drain: server failed: address in use"
    );

    let shutdown = Shutdown::new();
    shutdown.serve("loop", async |_| Ok(())).unwrap();
    assert!(shutdown.run().await.is_clean());

    let shutdown = Shutdown::new();
    let panics = async |_| panic!("at the disk");
    shutdown.serve("loop", panics).unwrap();
    let report = shutdown.run().await;
    assert_eq!(
        report.to_string(),
        "shutdown (loop ended); drain: loop panicked: at the disk"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_is_reported_and_keeps_nobody_from_the_rest() {
    let (shutdown, log) = (Shutdown::new(), Log::new());
    let fails = async || Err::<(), BoxError>("no disk".into());
    shutdown.on(Phase::ClosePools, "pool", fails).unwrap();
    let flushed = log.clone();
    let flush = async move || {
        flushed.add("flushed");
        Ok(())
    };
    shutdown.on(Phase::FlushBatches, "batch", flush).unwrap();
    shutdown.begin();
    let report = shutdown.run().await;
    assert_eq!(
        report.to_string(),
        "shutdown (asked); close pools: pool failed: no disk"
    );
    log.is(&[(0, "flushed")]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_shutdown_waits_for_nobody() {
    let shutdown = Shutdown::new();
    let _work = shutdown.work();
    for phase in Phase::ALL {
        shutdown.on(phase, "hook", pending).unwrap();
    }
    let start = Instant::now();
    let force = async {
        sleep(SECOND).await;
        shutdown.force();
    };
    shutdown.begin();
    let (report, ()) = tokio::join!(shutdown.run(), force);
    assert!(start.elapsed() < SECOND * 2);
    assert!(report.forced && !report.is_clean());
    assert_eq!(report.work_hung, 1);
    for phase in Phase::ALL {
        assert_eq!(names(&report, phase).1, ["hook"], "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_limit_is_as_good_as_any() {
    let shutdown = Shutdown::new().with_limit(Phase::Drain, Duration::MAX);
    let work = shutdown.work();
    tokio::spawn(async move {
        sleep(SECOND * 60).await;
        drop(work);
    });
    shutdown.begin();
    assert!(shutdown.run().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_phase_that_has_come_takes_nothing_new() {
    let shutdown = Shutdown::new();
    let late = shutdown.clone();
    let hook = async move || {
        let refused = late.on(Phase::Announce, "late", async || Ok(()));
        assert_eq!(refused, Err(StartError::ShutDown("late".into())));
        late.on(Phase::ClosePools, "in time", async || Ok(()))?;
        Ok(())
    };
    shutdown.on(Phase::Announce, "hook", hook).unwrap();
    let again = shutdown.on(Phase::Announce, "hook", async || Ok(()));
    assert_eq!(again, Err(StartError::Running("hook".into())));
    shutdown.begin();
    let report = shutdown.run().await;
    assert!(report.is_clean());
    assert_eq!(names(&report, Phase::ClosePools).0, ["in time"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_thread_hung_and_is_named() {
    let shutdown = Shutdown::new().with_limit(Phase::StopTasks, Duration::ZERO);
    let (release, blocked) = mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let body = async move |_| {
        let _ = begun.send(());
        let _ = blocked.recv();
        Ok(())
    };
    shutdown
        .at(Phase::StopTasks)
        .start("blocked", body)
        .unwrap();
    has_begun.await.unwrap();
    shutdown.begin();
    let report = shutdown.run().await;
    drop(release);
    let hung = "shutdown (asked); stop tasks: blocked hung";
    assert_eq!(report.to_string(), hung);
}
