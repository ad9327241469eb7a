//! This test's own executable is the plugin: with the cookie set it serves, in the way that `ROLE`
//! says, and else it runs the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use mainstay_plugin::{
    Address, Cookie, HandshakeLine, Launcher, Plugin, Reattach, StoppedBy, Transport,
};
use rustix::process::{getpgid, getpid, getppid, set_child_subreaper, setpgid};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tonic::service::Routes;
use tower::ServiceExt as _;

fn cookie() -> Cookie {
    Cookie::new("OWN_PROCESS_PLUGIN", "yes").unwrap()
}

fn main() -> ExitCode {
    if std::env::var_os(cookie().key()).is_some() {
        return serve(&std::env::var("ROLE").unwrap_or_default());
    }
    if std::env::var_os("SUBREAPER").is_some() {
        return be_subreaper();
    }
    let tests: [(&str, fn()); 22] = [
        (
            "a_plugin_ends_in_order_with_its_host",
            a_plugin_ends_in_order_with_its_host,
        ),
        ("a_plugin_whose_log_panics_ends_with_its_host", || {
            ends_with_its_host("log panics", |_| {})
        }),
        ("a_plugin_whose_log_hangs_ends_with_its_host", || {
            ends_with_its_host("log hangs", |_| {})
        }),
        (
            "a_plugin_whose_main_hangs_after_serving_ends_though_its_host_lives",
            a_plugin_whose_main_hangs_after_serving_ends_though_its_host_lives,
        ),
        ("an_interrupt_changes_nothing", an_interrupt_changes_nothing),
        (
            "a_plugin_that_left_its_process_group_is_ended_too",
            a_plugin_that_left_its_process_group_is_ended_too,
        ),
        (
            "a_host_that_gets_the_orphans_keeps_no_zombies",
            a_host_that_gets_the_orphans_keeps_no_zombies,
        ),
        (
            "a_plugin_whose_workers_are_all_blocked_ends_with_its_host",
            || ends_with_its_host("blocked", |_| {}),
        ),
        (
            "a_plugin_whose_main_hangs_after_serving_ends_with_its_host",
            || ends_with_its_host("hangs at its end", |pid| signal("-TERM", pid)),
        ),
        (
            "a_plugin_that_may_outlive_its_host_does",
            a_plugin_that_may_outlive_its_host_does,
        ),
        ("a_second_signal_ends_a_drain", a_second_signal_ends_a_drain),
        (
            "a_plugin_can_be_reached_by_tcp",
            a_plugin_can_be_reached_by_tcp,
        ),
        (
            "whether_anything_left_is_known_with_tls_too",
            whether_anything_left_is_known_with_tls_too,
        ),
        (
            "the_newest_common_version_is_served",
            the_newest_common_version_is_served,
        ),
        (
            "a_plugin_that_prints_much_is_not_held_up",
            a_plugin_that_prints_much_is_not_held_up,
        ),
        (
            "what_a_plugin_prints_while_it_serves_comes_to_the_hosts_writers",
            what_a_plugin_prints_while_it_serves_comes_to_the_hosts_writers,
        ),
        (
            "what_no_host_asks_for_stays_with_the_process",
            what_no_host_asks_for_stays_with_the_process,
        ),
        (
            "a_panic_is_told_on_the_stderr_that_the_host_reads_by_itself",
            a_panic_is_told_on_the_stderr_that_the_host_reads_by_itself,
        ),
        (
            "a_plugin_of_another_host_is_attached_to_left_and_stopped",
            a_plugin_of_another_host_is_attached_to_left_and_stopped,
        ),
        (
            "a_plugin_that_was_attached_to_and_does_not_stop_is_killed",
            a_plugin_that_was_attached_to_and_does_not_stop_is_killed,
        ),
        (
            "the_end_of_a_plugin_that_was_attached_to_is_told",
            the_end_of_a_plugin_that_was_attached_to_is_told,
        ),
        (
            "a_host_that_does_not_read_holds_up_who_prints",
            a_host_that_does_not_read_holds_up_who_prints,
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

/// A bound for what should take milliseconds.
const SOON: Duration = Duration::from_secs(10);

fn serve(role: &str) -> ExitCode {
    let plugin = Plugin::new(cookie(), 1, Routes::default());
    let runtime = runtime();
    match role {
        "blocked" => runtime.block_on(async {
            tokio::join!(plugin.serve(), async {
                // The line is out by then; from here on no task of the only thread runs.
                tokio::task::yield_now().await;
                block();
            })
            .0
        }),
        "hangs at its end" => {
            let code = runtime.block_on(async {
                tokio::task::spawn_blocking(block);
                plugin.serve().await
            });
            drop(runtime);
            code
        }
        "log panics" | "log hangs" => {
            let hangs = role == "log hangs";
            let parent = getppid();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(move || {
                    // With the host goes the other end of stderr.
                    let gone = getppid() != parent;
                    assert!(hangs || !gone, "nobody reads this");
                    if gone {
                        block();
                    }
                    std::io::sink()
                });
            subscriber.init();
            runtime.block_on(plugin.serve())
        }
        "leaves a file" => {
            let code = runtime.block_on(plugin.serve());
            let file = std::env::var_os("FILE").unwrap();
            std::fs::write(file, "in order").unwrap();
            code
        }
        "leaves its group" => {
            let hosts = getpgid(getppid()).unwrap();
            setpgid(None, Some(hosts)).unwrap();
            runtime.block_on(plugin.serve())
        }
        "outlives" => runtime.block_on(plugin.outliving_its_host().serve()),
        "drains long" => runtime.block_on(plugin.with_drain_within(SOON * 6).serve()),
        "tcp" => runtime.block_on(plugin.with_transport(Transport::Tcp).serve()),
        "versions" => {
            let plugin = plugin.with_version(2, Routes::default()).unwrap();
            let plugin = plugin.with_version(3, Routes::default()).unwrap();
            runtime.block_on(plugin.serve())
        }
        "chats" | "panics" => {
            let panics = role == "panics";
            // Not flushed by then, and printed before the handshake line: it is not to stand in it.
            print!("early ");
            let log = tracing_subscriber::fmt()
                .with_writer(|| mainstay_plugin::Stderr)
                .with_ansi(false);
            log.init();
            runtime.block_on(async {
                let printing = async move {
                    tokio::task::yield_now().await;
                    println!("to stdout");
                    eprintln!("to stderr");
                    let child = "echo from a child; echo and on stderr >&2";
                    let status = Command::new("/bin/sh").args(["-c", child]).status();
                    assert!(status.unwrap().success());
                    tracing::warn!("to the log");
                    assert!(!panics, "to whom it may concern");
                };
                let code = tokio::join!(plugin.serve(), tokio::spawn(printing)).0;
                println!("after serving");
                code
            })
        }
        "prints for ever" => runtime.block_on(async {
            let printing = async {
                tokio::task::yield_now().await;
                tokio::task::spawn_blocking(|| {
                    loop {
                        println!("{} for ever", "print".repeat(100));
                    }
                });
            };
            tokio::join!(plugin.serve(), printing).0
        }),
        "prints" => runtime.block_on(async {
            let printing = async {
                // As above: nothing may be printed before the line.
                tokio::task::yield_now().await;
                tokio::task::spawn_blocking(|| {
                    for _ in 0..20_000 {
                        println!("{}", "print ".repeat(10));
                        eprintln!("{}", "log ".repeat(10));
                    }
                })
                .await
            };
            tokio::join!(plugin.serve(), printing).0
        }),
        _ => panic!("no role {role:?}"),
    }
}

/// Kills a plugin that has children, as a host that gets what orphans there are; fails if one of
/// them is left.
fn be_subreaper() -> ExitCode {
    set_child_subreaper(Some(getpid())).unwrap();
    let script = "sleep 1000 & sleep 1000 & echo '1|1|unix|/s|grpc'; wait";
    let launcher = Launcher::new("/bin/sh", cookie(), 1)
        .with_argument("-c")
        .with_argument(script);
    runtime().block_on(async {
        for _ in 0..3 {
            launcher.launch().await.unwrap();
        }
    });
    let began = Instant::now();
    let children = format!("/proc/{0}/task/{0}/children", std::process::id());
    while !std::fs::read_to_string(&children).unwrap().is_empty() {
        assert!(began.elapsed() < SOON, "children are left");
        pause();
    }
    ExitCode::SUCCESS
}

fn block() {
    loop {
        std::thread::park();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn launcher(role: &str) -> Launcher {
    Launcher::new(std::env::current_exe().unwrap(), cookie(), 1).with_variable("ROLE", role)
}

/// A plugin under a host that is a shell, which can be killed; both end with this value.
struct UnderShell {
    host: Child,
    plugin: u32,
    line: HandshakeLine,
}

impl UnderShell {
    fn start(role: &str) -> Self {
        Self::start_with(role, |command| command)
    }

    fn start_with(role: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "\"$0\" & echo \"pid=$!\"; wait"])
            .arg(std::env::current_exe().unwrap())
            .env(cookie().key(), cookie().value())
            .env("ROLE", role)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut host = change(&mut command).spawn().unwrap();
        let (mut plugin, mut line) = (None, None);
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
        // The shell's line and the plugin's come in any order.
        while plugin.is_none() || line.is_none() {
            let read = lines.next().unwrap().unwrap();
            match read.strip_prefix("pid=") {
                Some(pid) => plugin = pid.parse().ok(),
                None => line = read.parse().ok(),
            }
        }
        Self {
            host,
            plugin: plugin.unwrap(),
            line: line.unwrap(),
        }
    }

    fn socket(&self) -> &std::path::Path {
        match self.line.address() {
            Address::Unix(path) => path,
            other => panic!("{other}"),
        }
    }

    fn kill_host(&mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
    }

    fn is_gone(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.plugin));
        stat.map_or(true, |stat| stat.contains(") Z "))
    }

    /// How long it took until the plugin was gone.
    fn gone_after(&self) -> Duration {
        let began = Instant::now();
        while !self.is_gone() {
            assert!(began.elapsed() < SOON, "still running");
            pause();
        }
        began.elapsed()
    }
}

impl Drop for UnderShell {
    fn drop(&mut self) {
        if !self.is_gone() {
            signal("-KILL", self.plugin);
        }
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn signal(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// What is waited for is another process, which no paused clock moves.
#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

fn ends_with_its_host(role: &str, before: fn(u32)) {
    let mut under_shell = UnderShell::start(role);
    before(under_shell.plugin);
    under_shell.kill_host();
    let after = under_shell.gone_after();
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert!(!under_shell.socket().exists());
}

fn a_plugin_ends_in_order_with_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let mut under_shell =
        UnderShell::start_with("leaves a file", |command| command.env("FILE", &file));
    under_shell.kill_host();
    under_shell.gone_after();
    // The last resort would have ended it before that.
    assert_eq!(std::fs::read_to_string(file).unwrap(), "in order");
}

fn a_plugin_whose_main_hangs_after_serving_ends_though_its_host_lives() {
    let under_shell = UnderShell::start("hangs at its end");
    signal("-TERM", under_shell.plugin);
    let after = under_shell.gone_after();
    assert!(after < Duration::from_secs(3), "{after:?}");
}

fn an_interrupt_changes_nothing() {
    let under_shell = UnderShell::start("drains long");
    signal("-INT", under_shell.plugin);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert!(!under_shell.is_gone());
        assert!(under_shell.socket().exists());
        pause();
    }
}

fn a_plugin_that_left_its_process_group_is_ended_too() {
    runtime().block_on(async {
        let plugin = launcher("leaves its group").launch().await.unwrap();
        let pid = plugin.pid();
        drop(plugin);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    });
}

fn a_host_that_gets_the_orphans_keeps_no_zombies() {
    let mut host = Command::new(std::env::current_exe().unwrap());
    assert!(host.env("SUBREAPER", "yes").status().unwrap().success());
}

fn a_plugin_that_may_outlive_its_host_does() {
    let mut under_shell = UnderShell::start("outlives");
    under_shell.kill_host();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1200) {
        assert!(!under_shell.is_gone());
        pause();
    }
    signal("-TERM", under_shell.plugin);
    under_shell.gone_after();
    assert!(!under_shell.socket().exists());
}

fn a_second_signal_ends_a_drain() {
    let under_shell = UnderShell::start("drains long");
    // Greets and then says nothing more: a drain cannot end while this is open.
    let mut silent = UnixStream::connect(under_shell.socket()).unwrap();
    silent
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    std::io::Read::read(&mut silent, &mut [0]).unwrap();
    signal("-TERM", under_shell.plugin);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        assert!(!under_shell.is_gone());
        pause();
    }
    assert!(!under_shell.socket().exists());
    signal("-TERM", under_shell.plugin);
    assert!(under_shell.gone_after() < Duration::from_secs(2));
}

fn a_plugin_can_be_reached_by_tcp() {
    runtime().block_on(async {
        for launcher in [launcher("tcp"), launcher("tcp").with_auto_mtls()] {
            let plugin = launcher.launch().await.unwrap();
            let address = plugin.connector().address().clone();
            assert!(matches!(address, Address::Tcp(address) if address.ip().is_loopback()));
            plugin.check_health().await.unwrap();
            assert_eq!(plugin.stop().await.unwrap().by(), StoppedBy::Shutdown);
        }
    });
}

fn whether_anything_left_is_known_with_tls_too() {
    runtime().block_on(async {
        for launcher in [launcher("tcp"), launcher("tcp").with_auto_mtls()] {
            let plugin = launcher.launch().await.unwrap();
            let connect = async || {
                let mut connection = plugin.connector().clone().oneshot(()).await.unwrap();
                let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
                connection.write_all(greeting).await.unwrap();
                connection.flush().await.unwrap();
                connection
            };
            let mut connection = connect().await;
            let wire = connection.wire().clone();
            let mark = wire.mark();
            connection.write_all(&[0; 9]).await.unwrap();
            connection.flush().await.unwrap();
            assert!(!wire.seal(mark));

            let mut connection = connect().await;
            let wire = connection.wire().clone();
            let mark = wire.mark();
            assert!(wire.seal(mark));
            connection.write_all(&[0; 9]).await.unwrap();
            connection.flush().await.unwrap();
            assert!(wire.seal(mark), "nothing leaves any more");
            // What the plugin has said is read; then it is told that nothing is heard there.
            let told = connection.read_to_end(&mut Vec::new()).await;
            assert_eq!(told.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        }
    });
}

fn the_newest_common_version_is_served() {
    runtime().block_on(async {
        for (others, chosen) in [(vec![], 1), (vec![2, 9], 2), (vec![3, 2], 3)] {
            let launcher = others
                .into_iter()
                .fold(launcher("versions"), Launcher::with_version);
            let plugin = launcher.launch().await.unwrap();
            assert_eq!(plugin.version(), chosen);
        }
    });
}

fn a_plugin_that_prints_much_is_not_held_up() {
    runtime().block_on(async {
        let plugin = launcher("prints").launch().await.unwrap();
        plugin.check_health().await.unwrap();
        let stopped = plugin.stop().await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
    });
}

/// Reads until the text has come.
async fn read_until(reader: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !read.ends_with(end.as_bytes()) {
            read.push(reader.read_u8().await.unwrap());
        }
    };
    let in_time = tokio::time::timeout(SOON, reading).await;
    let read = String::from_utf8(read).unwrap();
    assert!(in_time.is_ok(), "{read:?}");
    read
}

fn what_a_plugin_prints_while_it_serves_comes_to_the_hosts_writers() {
    runtime().block_on(async {
        for tls in [false, true] {
            let (to_stdout, mut stdout) = tokio::io::duplex(1024);
            let (to_stderr, mut stderr) = tokio::io::duplex(1024);
            let launcher = launcher("chats")
                .with_stdout(to_stdout)
                .with_stderr(to_stderr);
            let launcher = if tls {
                launcher.with_auto_mtls()
            } else {
                launcher
            };
            let plugin = launcher.launch().await.unwrap();
            plugin.connect().await.unwrap();
            assert_eq!(
                read_until(&mut stdout, "from a child\n").await,
                "early to stdout\nfrom a child\n"
            );
            assert_eq!(
                read_until(&mut stderr, "on stderr\n").await,
                "to stderr\nand on stderr\n"
            );
            let stopped = plugin.stop().await.unwrap();
            assert_eq!(stopped.by(), StoppedBy::Shutdown);
            // The log did not go that way, and is the only thing that did not.
            let [log] = stopped.exit().stderr() else {
                panic!("{stopped:?}")
            };
            assert!(log.ends_with("to the log"), "{log}");
        }
    });
}

fn what_no_host_asks_for_stays_with_the_process() {
    let mut plugin = Command::new(std::env::current_exe().unwrap())
        .env(cookie().key(), cookie().value())
        .env("ROLE", "chats")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(plugin.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.parse::<HandshakeLine>().unwrap();
    let mut stderr = BufReader::new(plugin.stderr.take().unwrap()).lines();
    assert!(stderr.next().unwrap().unwrap().ends_with("to the log"));
    signal("-TERM", plugin.id());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    assert_eq!(rest, "early to stdout\nfrom a child\nafter serving\n");
    let rest: Vec<_> = stderr.map(Result::unwrap).collect();
    assert_eq!(rest, ["to stderr", "and on stderr"]);
    assert!(plugin.wait().unwrap().success());
}

fn a_panic_is_told_on_the_stderr_that_the_host_reads_by_itself() {
    runtime().block_on(async {
        // Never connected: over the stream nothing comes.
        // Of a long backtrace the last lines would be all that is kept.
        let plugin = launcher("panics").with_variable("RUST_BACKTRACE", "0");
        let plugin = plugin.launch().await.unwrap();
        let exited = plugin.exited();
        // Until the other process, which is in real time, has printed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(plugin);
        let stderr = exited.await.stderr().join("\n");
        assert!(stderr.contains("to whom it may concern"), "{stderr}");
        assert!(!stderr.contains("to stderr"), "{stderr}");
    });
}

fn a_host_that_does_not_read_holds_up_who_prints() {
    runtime().block_on(async {
        let (to_stdout, mut stdout) = tokio::io::duplex(1);
        let plugin = launcher("prints for ever").with_stdout(to_stdout);
        let plugin = plugin.launch().await.unwrap();
        plugin.connect().await.unwrap();
        // Held up when the pipe (1 MiB) and the stream's window (2 MiB) are full; what goes through that is
        // written twice by the process.
        let written = async || {
            let io = std::fs::read_to_string(format!("/proc/{}/io", plugin.pid())).unwrap();
            let count = io.lines().find_map(|line| line.strip_prefix("wchar: "));
            count.unwrap().parse::<u64>().unwrap()
        };
        let began = Instant::now();
        let mut before = 0;
        loop {
            assert!(began.elapsed() < SOON);
            // The other process works in real time.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = written().await;
            if now == before && now > 1024 {
                break;
            }
            before = now;
        }
        assert!(before < 8 * 1024 * 1024, "{before}");
        // Others are not held up by it.
        plugin.check_health().await.unwrap();
        for _ in 0..3 {
            read_until(&mut stdout, "for ever\n").await;
        }
    });
}

impl UnderShell {
    fn reattach(&self) -> Reattach {
        Reattach::new(
            self.line.address().clone(),
            self.line.version(),
            self.plugin,
        )
    }
}

fn a_plugin_of_another_host_is_attached_to_left_and_stopped() {
    let under_shell = UnderShell::start("drains long");
    runtime().block_on(async {
        let plugin = under_shell.reattach().attach().await.unwrap();
        plugin.check_health().await.unwrap();
        assert_eq!((plugin.pid(), plugin.version()), (under_shell.plugin, 1));
        drop(plugin);
        assert!(!under_shell.is_gone());

        let plugin = under_shell.reattach().attach().await.unwrap();
        plugin.check_health().await.unwrap();
        let stopped = plugin.stop().await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
        assert_eq!(stopped.exit().status(), None);
    });
    assert!(under_shell.is_gone());
    assert!(!under_shell.socket().exists());
}

fn a_plugin_that_was_attached_to_and_does_not_stop_is_killed() {
    let under_shell = UnderShell::start("blocked");
    runtime().block_on(async {
        let short = Duration::from_millis(100);
        let plugin = under_shell.reattach().with_stop_within(short);
        // Connecting takes the kernel only.
        let plugin = plugin.attach().await.unwrap();
        assert_eq!(plugin.stop().await.unwrap().by(), StoppedBy::Kill);
    });
    assert!(under_shell.is_gone());
    // What was killed cannot clean up, and its host is a shell.
    std::fs::remove_file(under_shell.socket()).unwrap();
}

fn the_end_of_a_plugin_that_was_attached_to_is_told() {
    let under_shell = UnderShell::start("outlives");
    runtime().block_on(async {
        let plugin = under_shell.reattach().attach().await.unwrap();
        plugin.connect().await.unwrap();
        let mut exited = std::pin::pin!(plugin.exited());
        assert!(
            tokio::time::timeout(Duration::from_millis(50), exited.as_mut())
                .await
                .is_err()
        );
        signal("-KILL", under_shell.plugin);
        let exit = tokio::time::timeout(SOON, exited).await.unwrap();
        assert_eq!(exit.status(), None);
        assert_eq!(plugin.stop().await.unwrap().by(), StoppedBy::Itself);
    });
    std::fs::remove_file(under_shell.socket()).unwrap();
}
