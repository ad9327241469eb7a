use rustix::process::Signal;

use crate::by_hand::{ByHand, kv_plugin, refusal};
use crate::wait::SOON;

const TOLD_BY_HAND: &str = "\
This binary is a plugin. These are not meant to be executed directly.
Please execute the program that consumes these plugins, which will
load any plugins automatically
";

#[tokio::test]
async fn without_its_cookie_it_tells_a_person_what_it_is() {
    for cookie in [None, Some(""), Some("Hello"), Some("hello ")] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = kv_plugin(dir.path());
        match cookie {
            None => command.env_remove("BASIC_PLUGIN"),
            Some(wrong) => command.env("BASIC_PLUGIN", wrong),
        };
        let output = refusal(command).await;
        assert_eq!(String::from_utf8_lossy(&output.stderr), TOLD_BY_HAND);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test]
async fn its_first_and_only_line_has_six_fields() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = ByHand::start(kv_plugin(dir.path())).await;
    let line = plugin.line().to_owned();
    let socket = plugin.socket();
    assert_eq!(line, format!("1|1|unix|{}|grpc|\n", socket.display()));

    plugin.signal(Signal::TERM);
    let output = plugin.ended(SOON).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn it_speaks_its_only_version_whatever_the_host_lists() {
    for list in [
        None,
        Some(""),
        Some("1"),
        Some("3,1,2"),
        Some("2,7"),
        Some("7,x,,-1"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = kv_plugin(dir.path());
        match list {
            None => command.env_remove("PLUGIN_PROTOCOL_VERSIONS"),
            Some(list) => command.env("PLUGIN_PROTOCOL_VERSIONS", list),
        };
        let plugin = ByHand::start(command).await;
        let line = plugin.line();
        assert!(line.starts_with("1|1|unix|"), "{list:?}: {line}");
        assert_eq!(plugin.fields().len(), 6, "{list:?}: {line}");
    }
}

#[tokio::test]
async fn versions_that_are_no_numbers_are_told_on_stderr_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kv_plugin(dir.path());
    command.env("PLUGIN_PROTOCOL_VERSIONS", "7,x,,-1");
    let plugin = ByHand::start(command).await;
    plugin.signal(Signal::TERM);
    let output = plugin.ended(SOON).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("server sent invalid plugin version \"x\"\n"),
        "{stderr}"
    );
}

/// Hosts from before 1.6 would read a seventh field as a part of the certificate; those after it say
/// that they know it.
#[tokio::test]
async fn a_host_that_speaks_of_multiplexing_gets_a_seventh_field_and_no_other_does() {
    let dir = tempfile::tempdir().unwrap();
    for (said, fields) in [
        (None, &[""][..]),
        (Some(""), &[""]),
        (Some("true"), &["", "true"]),
        (Some("false"), &["", "true"]),
    ] {
        let mut command = kv_plugin(dir.path());
        if let Some(said) = said {
            command.env("PLUGIN_MULTIPLEX_GRPC", said);
        }
        let plugin = ByHand::start(command).await;
        assert_eq!(plugin.fields()[5..], *fields, "{}", plugin.line());
    }
}
