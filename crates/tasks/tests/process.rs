//! Real processes and real signals. This test's own executable is the process: with `ROLE` set it is what
//! that says, and else it runs the tests.

use std::future::pending;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use mainstay_tasks::{Phase, Shutdown};
use tokio::runtime::Builder;
use tokio::time::Instant;

/// A bound for what takes milliseconds, in one case 7 s.
const SOON: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("ROLE") {
        return be(&role);
    }
    let tests: [(&str, fn()); 9] = [
        (
            "one_signal_drains_the_work_in_flight_and_the_process_ends_with_0",
            one_signal_drains_the_work_in_flight_and_the_process_ends_with_0,
        ),
        (
            "two_signals_end_the_process_at_once",
            two_signals_end_the_process_at_once,
        ),
        (
            "two_signals_end_a_process_whose_only_thread_is_blocked",
            two_signals_end_a_process_whose_only_thread_is_blocked,
        ),
        (
            "a_task_that_ignores_its_cancellation_is_named",
            a_task_that_ignores_its_cancellation_is_named,
        ),
        (
            "a_task_that_blocks_its_thread_is_named_and_keeps_no_process",
            a_task_that_blocks_its_thread_is_named_and_keeps_no_process,
        ),
        (
            "a_process_whose_threads_are_all_blocked_is_ended_in_the_end",
            a_process_whose_threads_are_all_blocked_is_ended_in_the_end,
        ),
        (
            "what_comes_after_a_shutdown_takes_as_long_as_it_likes",
            what_comes_after_a_shutdown_takes_as_long_as_it_likes,
        ),
        (
            "a_server_that_fails_ends_its_process_with_1",
            a_server_that_fails_ends_its_process_with_1,
        ),
        (
            "a_signal_after_a_shutdown_that_was_asked_for_ends_nothing",
            a_signal_after_a_shutdown_that_was_asked_for_ends_nothing,
        ),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            std::panic::catch_unwind(test).map_err(|_| Failed::without_message())
        })
    };
    let trials = tests.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn one_signal_drains_the_work_in_flight_and_the_process_ends_with_0() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let mut process = Process::start("server");
        process.signal(signal);
        assert_eq!(process.line(), "NOT_SERVING");
        assert_eq!(process.line(), "accepts no more");
        process.tell("answer");
        assert_eq!(process.line(), "answered");
        assert_eq!(process.line(), format!("shutdown ({name}), clean"));
        assert_eq!(process.code(), 0);
    }
}

fn two_signals_end_the_process_at_once() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut process = Process::start("server");
        process.signal("-TERM");
        assert_eq!(process.line(), "NOT_SERVING");
        assert_eq!(process.line(), "accepts no more");
        process.signal(signal);
        let began = Instant::now();
        assert_eq!(process.code(), code);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "as if it were one"
        );
        let line = process.line();
        assert!(line.contains("work=1"), "{line}");
    }
}

fn two_signals_end_a_process_whose_only_thread_is_blocked() {
    let mut process = Process::start("blocked");
    // Two that are the same could be one.
    process.signal("-TERM");
    process.signal("-INT");
    let code = process.code();
    assert!([130, 143].contains(&code), "{code}");
}

fn a_task_that_ignores_its_cancellation_is_named() {
    let mut process = Process::start("ignores");
    process.signal("-TERM");
    let report = "shutdown (SIGTERM); stop tasks: stubborn aborted";
    assert_eq!(process.line(), report);
    assert_eq!(process.code(), 1);
}

fn a_task_that_blocks_its_thread_is_named_and_keeps_no_process() {
    let mut process = Process::start("hangs");
    process.signal("-TERM");
    let report = "shutdown (SIGTERM); stop tasks: stubborn hung";
    assert_eq!(process.line(), report);
    assert_eq!(process.code(), 1);
}

/// A runtime without a thread has no clock, so nobody but the thread for signals is left.
fn a_process_whose_threads_are_all_blocked_is_ended_in_the_end() {
    let mut process = Process::start("hangs all");
    process.signal("-TERM");
    assert_eq!(process.code(), 1);
    let line = process.line();
    assert!(line.contains("shutdown overdue"), "{line}");
    assert!(line.contains(r#"unfinished=["stubborn"]"#), "{line}");
}

/// Longer than the shutdown might have taken, which is 7 s.
fn what_comes_after_a_shutdown_takes_as_long_as_it_likes() {
    let mut process = Process::start("goes on");
    process.signal("-TERM");
    assert_eq!(process.line(), "shutdown (SIGTERM), clean");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert!(process.child.try_wait().unwrap().is_none());
        pause();
    }
    process.signal("-INT");
    assert_eq!(process.code(), 130);
}

fn a_server_that_fails_ends_its_process_with_1() {
    let mut process = Process::start("fails");
    let report = "shutdown (server ended); drain: server failed: address in use";
    assert_eq!(process.line(), report);
    assert_eq!(process.code(), 1);
}

fn a_signal_after_a_shutdown_that_was_asked_for_ends_nothing() {
    let mut process = Process::start("server");
    process.tell("begin");
    assert_eq!(process.line(), "NOT_SERVING");
    assert_eq!(process.line(), "accepts no more");
    process.signal("-TERM");
    process.tell("answer");
    assert_eq!(process.line(), "answered");
    assert_eq!(process.line(), "shutdown (asked), clean");
    assert_eq!(process.code(), 0);
}

/// A child of this executable.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// When signals are heard.
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("ROLE", role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap(); // they are piped
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self {
            child,
            input,
            lines,
        };
        assert_eq!(process.line(), "ready");
        process
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let line = self.lines.next();
        line.expect("it has ended").unwrap()
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([signal, &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// What it ends with, soon.
    #[track_caller]
    fn code(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().expect("it was killed");
            }
            assert!(began.elapsed() < SOON, "it still runs");
            pause();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without effect if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is waited for is another process, which no paused clock moves.
#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

fn be(role: &str) -> ExitCode {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
    log.with_ansi(false).init();
    let shutdown = Shutdown::on_signals().unwrap();
    if role == "blocked" {
        println!("ready");
        block();
    }
    let mut runtime = Builder::new_multi_thread();
    let workers = if role == "hangs all" { 1 } else { 2 };
    let runtime = runtime.worker_threads(workers).enable_all().build();
    runtime.unwrap().block_on(async {
        match role {
            "server" => serve(&shutdown),
            "fails" => {
                println!("ready");
                let fails = async |_| Err("address in use".into());
                shutdown.serve("server", fails).unwrap();
            }
            "goes on" => println!("ready"),
            "ignores" => {
                let tasks = shutdown.at(Phase::StopTasks);
                tasks.start("stubborn", |_| pending()).unwrap();
                println!("ready");
            }
            "hangs" | "hangs all" => {
                let hangs = async |_| {
                    println!("ready");
                    block();
                    Ok(())
                };
                let tasks = shutdown.at(Phase::StopTasks);
                tasks.start("stubborn", hangs).unwrap();
            }
            _ => unreachable!("no such role"),
        }
        let limit = Duration::from_millis(50);
        let shutdown = match role {
            "hangs all" | "goes on" => Phase::ALL.into_iter().fold(shutdown, |shutdown, phase| {
                shutdown.with_limit(phase, Duration::ZERO)
            }),
            _ => shutdown.with_limit(Phase::StopTasks, limit),
        };
        let report = shutdown.run().await;
        println!("{report}");
        if role == "goes on" {
            block();
        }
        report.exit()
    })
}

/// One request is in flight until an answer to it comes from standard input.
fn serve(shutdown: &Shutdown) {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let begins = shutdown.clone();
    std::thread::spawn(move || {
        let mut answer = Some(answer);
        for line in std::io::stdin().lines() {
            match &*line.unwrap() {
                "answer" => answer.take().unwrap().send(()).unwrap(), // it comes once
                _ => begins.begin(),
            }
        }
    });
    let not_serving = async || {
        println!("NOT_SERVING");
        Ok(())
    };
    shutdown.on(Phase::Announce, "health", not_serving).unwrap();
    let work = shutdown.work();
    tokio::spawn(async move {
        answered.await.unwrap();
        println!("answered");
        drop(work);
    });
    let server = async |stopping: tokio_util::sync::CancellationToken| {
        println!("ready");
        stopping.cancelled().await;
        println!("accepts no more");
        Ok(())
    };
    shutdown.serve("server", server).unwrap();
}

fn block() {
    loop {
        std::thread::park();
    }
}
