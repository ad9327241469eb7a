//! What does not come to a handshake line, or to none that fits.

use std::process::Command;
use std::time::Duration;

use mainstay_plugin::{Checksum, Cookie, InvalidLine, LaunchError, LaunchFailure, Launcher};
use tokio::time::Instant;

use crate::shell::{SOON, Traced, is_gone, launcher};

/// Launches the script, which must fail, and leave nothing.
async fn failure(script: &str, change: impl FnOnce(Launcher) -> Launcher) -> LaunchError {
    let traced = Traced::new();
    let began = Instant::now();
    let launched = change(traced.launcher(script)).launch().await;
    let error = launched.expect_err("launched");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(is_gone(traced.pid().unwrap()), "{error}");
    error
}

fn assert_says(error: &LaunchError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn garbage_is_shown_with_the_last_lines_of_stderr_and_the_status() {
    let script = "echo one >&2; echo 'oh no' >&2; echo hello, world; exit 3";
    let error = failure(script, |launcher| launcher).await;
    assert!(matches!(
        error.failure(),
        LaunchFailure::Line(InvalidLine::NotAHandshake)
    ));
    assert_eq!(error.line(), Some("hello, world"));
    assert_eq!(error.stderr(), ["one", "oh no"]);
    assert_eq!(error.status().unwrap().code(), Some(3));
    assert_says(
        &error,
        &[
            "/bin/sh",
            "not a handshake",
            "hello, world",
            "exit status: 3",
            "oh no",
        ],
    );
}

#[tokio::test]
async fn each_wrong_field_is_its_own_error() {
    for (line, expected) in [
        ("2|1|unix|/s|grpc", InvalidLine::CoreVersion("2".into())),
        ("1|one|unix|/s|grpc", InvalidLine::AppVersion("one".into())),
        ("1|1|udp|/s|grpc", InvalidLine::Network("udp".into())),
        ("1|1|tcp|here|grpc", InvalidLine::Address("here".into())),
        ("1|1|unix|/s|netrpc", InvalidLine::Protocol("netrpc".into())),
    ] {
        let error = failure(&format!("echo '{line}'; sleep 1000"), |launcher| launcher).await;
        let LaunchFailure::Line(found) = error.failure() else {
            panic!("{error}")
        };
        assert_eq!(*found, expected);
        assert_says(&error, &[line]);
    }
}

#[tokio::test]
async fn a_version_that_the_host_does_not_speak_is_told_with_the_hosts() {
    let script = "echo '1|7|unix|/s|grpc'; sleep 1000";
    let error = failure(script, |launcher| launcher.with_version(3)).await;
    assert!(matches!(
        error.failure(),
        LaunchFailure::Version { plugin: 7, .. }
    ));
    assert_says(&error, &["version 7", "{1, 3}"]);
}

#[tokio::test]
async fn a_line_of_a_mebibyte_is_refused_and_shown_shortened() {
    let script = "head -c 1048576 /dev/zero | tr '\\0' a; echo; sleep 1000";
    let error = failure(script, |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::LongLine(65_536)));
    assert!(error.to_string().len() < 2_000, "{error}");
    assert_says(&error, &["aaaa"]);
}

#[tokio::test]
async fn output_without_an_end_of_line_is_refused() {
    let error = failure("yes | tr -d '\\n'", |launcher| launcher).await;
    assert!(
        matches!(error.failure(), LaunchFailure::LongLine(_)),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_that_exits_at_once_is_told_with_its_status_and_its_words() {
    let error = failure("echo 'no licence' >&2; exit 1", |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Exited), "{error}");
    assert_eq!(error.line(), None);
    assert_says(&error, &["ended before", "exit status: 1", "no licence"]);
}

#[tokio::test]
async fn a_signal_is_told_too() {
    let error = failure("kill -SEGV $$", |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Exited), "{error}");
    assert_says(&error, &["signal: 11"]);
}

#[tokio::test]
async fn half_a_line_before_the_end_is_shown() {
    let error = failure("printf '1|1|unix'", |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Exited), "{error}");
    assert_eq!(error.line(), Some("1|1|unix"));
}

#[tokio::test]
async fn a_plugin_that_hangs_before_the_line_is_ended_at_its_time() {
    let script = "echo 'waiting for the database' >&2; sleep 1000";
    let within = Duration::from_millis(300);
    let error = failure(script, |launcher| launcher.with_start_within(within)).await;
    assert!(matches!(error.failure(), LaunchFailure::Timeout(found) if *found == within));
    assert_says(&error, &["300ms", "waiting for the database"]);
    assert_eq!(error.status(), None, "it did not end by itself");
}

#[tokio::test]
async fn a_plugin_that_closes_its_stdout_and_goes_on_is_ended() {
    let error = failure("exec >&-; sleep 1000", |launcher| launcher).await;
    assert!(
        matches!(error.failure(), LaunchFailure::ClosedStdout),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_failed_plugin_started_is_ended_with_it() {
    let script = "sleep 1000 & echo $! >&2; echo garbage; wait";
    let error = failure(script, |launcher| launcher).await;
    let grandchild: u32 = error.stderr()[0].parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
    assert!(stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X ")));
}

#[tokio::test]
async fn an_endless_stderr_does_not_hold_up_the_error() {
    let error = failure("yes >&2 & echo garbage; wait", |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Line(_)), "{error}");
    assert_eq!(error.stderr().len(), 20);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_told_by_what_it_is_not() {
    let no_base64 = format!("{}=", "A".repeat(60));
    let no_der = "A".repeat(60);
    for (certificate, says) in [
        (no_base64.as_str(), "base64"),
        (&no_der, "DER"),
        ("", "sent no certificate"),
        ("short", "sent no certificate"),
    ] {
        let script = format!("echo '1|1|unix|/s|grpc|{certificate}'; sleep 1000");
        let error = failure(&script, Launcher::with_auto_mtls).await;
        assert_says(&error, &[says]);
    }
    let script = format!("echo '1|1|unix|/s|grpc|{no_der}'; sleep 1000");
    let error = failure(&script, |launcher| launcher).await;
    assert!(
        matches!(error.failure(), LaunchFailure::UnaskedCertificate),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named() {
    let cookie = || Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let not_executable = dir.path().join("plugin");
    std::fs::write(&not_executable, "text").unwrap();
    for (program, says) in [
        (dir.path().join("missing"), "No such file"),
        (not_executable, "ermission denied"),
        (dir.path().to_owned(), "ermission denied"),
    ] {
        let error = Launcher::new(&program, cookie(), 1)
            .launch()
            .await
            .unwrap_err();
        assert!(
            matches!(error.failure(), LaunchFailure::Spawn(_)),
            "{error}"
        );
        assert_says(&error, &[program.to_str().unwrap(), says]);
    }
    let elsewhere = launcher("echo").with_current_dir(dir.path().join("missing"));
    let error = elsewhere.launch().await.unwrap_err();
    assert!(
        matches!(error.failure(), LaunchFailure::Spawn(_)),
        "{error}"
    );
}

#[tokio::test]
async fn the_plugin_gets_the_hosts_environment_or_a_cleared_one_and_its_own_variables() {
    // What the plugin sees comes back as the last lines of its stderr.
    let script = "echo \"home=$HOME own=$OWN cookie=$BASIC_PLUGIN dir=$(pwd)\" >&2; exit 1";
    let home = std::env::var("HOME").unwrap_or_default();
    let root = |launcher: Launcher| launcher.with_variable("OWN", "x y").with_current_dir("/");
    let inherited = failure(script, root).await;
    let expected = format!("home={home} own=x y cookie=hello dir=/");
    assert_eq!(inherited.stderr(), [expected]);
    let cleared = failure(script, |launcher| root(launcher).with_cleared_environment()).await;
    assert_eq!(cleared.stderr(), ["home= own=x y cookie=hello dir=/"]);
}

#[tokio::test]
async fn half_a_line_that_hangs_is_shown() {
    let script = "printf '1|1|unix|/s|grpc|'; sleep 1000";
    let within = Duration::from_millis(300);
    let error = failure(script, |launcher| launcher.with_start_within(within)).await;
    assert!(
        matches!(error.failure(), LaunchFailure::Timeout(_)),
        "{error}"
    );
    assert_eq!(error.line(), Some("1|1|unix|/s|grpc|"));
}

#[tokio::test]
async fn an_end_is_noticed_though_another_process_holds_the_output() {
    // It leaves the group, and so outlives the plugin for its three seconds.
    let script = "setsid sleep 3 & echo boom >&2; exit 3";
    let began = Instant::now();
    let error = failure(script, |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Exited), "{error}");
    assert_eq!(error.status().unwrap().code(), Some(3));
    assert_eq!(error.stderr(), ["boom"]);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_cookie_that_the_plugin_does_not_find_is_told_with_its_key() {
    let script = "echo 'This binary is a plugin. These are not meant to be' >&2; exit 1";
    let error = failure(script, |launcher| launcher).await;
    assert!(matches!(error.failure(), LaunchFailure::Cookie(key) if key == "BASIC_PLUGIN"));
    assert_says(&error, &["did not find its magic cookie", "BASIC_PLUGIN"]);
}

#[tokio::test]
async fn a_plugin_has_no_stdin_and_a_socket_directory_that_goes_with_it() {
    let script = "readlink /proc/$$/fd/0 >&2; echo \"$PLUGIN_UNIX_SOCKET_DIR\" >&2; exit 1";
    let error = failure(script, |launcher| launcher).await;
    let [stdin, dir] = error.stderr() else {
        panic!("{error}")
    };
    assert_eq!(stdin, "/dev/null");
    assert!(dir.contains("plugin-dir"), "{dir}");
    assert!(!std::path::Path::new(dir).exists());
}

#[tokio::test]
async fn a_file_with_another_checksum_is_not_started_and_both_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (program, trace) = (dir.path().join("plugin"), dir.path().join("trace"));
    let cookie = Cookie::new("BASIC_PLUGIN", "hello").unwrap();
    let launcher = Launcher::new(&program, cookie.clone(), 1);
    let any = Checksum::sha256([0; 32]);
    let error = launcher.clone().with_checksum(any.clone()).launch().await;
    assert_says(
        &error.unwrap_err(),
        &["its checksum cannot be taken", "No such file"],
    );

    // Written by another process: a file that this one still had open for writing could not be run.
    let script = "#!/bin/sh\ntouch \"$TRACE\"; echo '1|1|unix|/s|grpc'; sleep 1000\n";
    let written = Command::new("/bin/sh")
        .args([
            "-c",
            "printf %s \"$1\" > \"$0\"; chmod +x \"$0\"; sha256sum \"$0\" | cut -c -64",
        ])
        .args([program.as_os_str(), script.as_ref()])
        .output()
        .unwrap();
    let sum = String::from_utf8(written.stdout).unwrap();
    let launcher = launcher.with_variable("TRACE", &trace);
    let refused = launcher
        .clone()
        .with_checksum(any)
        .launch()
        .await
        .unwrap_err();
    assert!(matches!(refused.failure(), LaunchFailure::Checksum { .. }));
    assert_says(
        &refused,
        &[sum.trim(), &"0".repeat(64), "not the expected one"],
    );
    assert!(!trace.exists());

    let right = launcher.with_checksum(sum.trim().parse().unwrap());
    right.launch().await.unwrap();
    assert!(trace.exists());

    let name = Launcher::new("sh", cookie, 1).with_checksum(sum.trim().parse().unwrap());
    assert_says(&name.launch().await.unwrap_err(), &["must be a path"]);
}
