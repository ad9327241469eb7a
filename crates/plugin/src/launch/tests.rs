use std::collections::BTreeMap;

use super::*;

fn launcher() -> Launcher {
    Launcher::new("plugin", Cookie::new("BASIC_PLUGIN", "hello").unwrap(), 1)
}

/// What a plugin would be told; `None` for a variable that is taken away.
fn told(launcher: &Launcher, identity: Option<&Identity>) -> BTreeMap<String, Option<String>> {
    let command = launcher.command(Path::new("/sockets"), identity);
    let text = |text: &OsStr| text.to_str().unwrap().to_owned();
    let variables = command.get_envs();
    variables
        .map(|(name, value)| (text(name), value.map(text)))
        .collect()
}

#[test]
fn the_environment_says_what_the_contract_says() {
    let identity = Identity::generate().unwrap();
    let told = told(
        &launcher().with_version(12).with_version(3),
        Some(&identity),
    );
    let expected = [
        ("BASIC_PLUGIN", "hello"),
        ("PLUGIN_CLIENT_CERT", identity.pem()),
        ("PLUGIN_MAX_PORT", "25000"),
        ("PLUGIN_MIN_PORT", "10000"),
        ("PLUGIN_PROTOCOL_VERSIONS", "1,3,12"),
        ("PLUGIN_UNIX_SOCKET_DIR", "/sockets"),
    ];
    for (name, value) in expected {
        assert_eq!(told[name].as_deref(), Some(value), "{name}");
    }
}

#[test]
fn multiplexing_is_asked_for_if_it_is_wanted() {
    let told = told(&launcher().with_multiplexing(), None);
    assert_eq!(told["PLUGIN_MULTIPLEX_GRPC"].as_deref(), Some("true"));
}

#[test]
fn what_another_host_told_this_process_is_not_passed_on() {
    let told = told(
        &launcher().with_variable("PLUGIN_MULTIPLEX_GRPC", "true"),
        None,
    );
    for name in [
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MULTIPLEX_GRPC",
        "PLUGIN_UNIX_SOCKET_GROUP",
    ] {
        assert_eq!(told[name], None, "{name}");
    }
}

#[test]
fn the_plugins_temp_dir_is_what_it_is_told_to_be() {
    let own = launcher()
        .with_variable("TMPDIR", "/x")
        .with_variable("TMPDIR", "/y");
    assert_eq!(own.plugins_temp_dir(), Path::new("/y"));
    assert_eq!(launcher().plugins_temp_dir(), std::env::temp_dir());
    let cleared = launcher().with_cleared_environment();
    assert_eq!(cleared.plugins_temp_dir(), Path::new("/tmp"));
}
