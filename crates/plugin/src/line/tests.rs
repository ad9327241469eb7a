use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<HandshakeLine, InvalidLine> {
    line.parse()
}

#[test]
fn lines_seen_from_real_plugins_are_understood() {
    for (line, version, address) in [
        (
            "1|1|unix|/tmp/plugin3166035044|grpc|\n",
            1,
            "unix|/tmp/plugin3166035044",
        ),
        ("1|7|tcp|127.0.0.1:10000|grpc", 7, "tcp|127.0.0.1:10000"),
        (
            "1|1|unix|/tmp/plugin3212220544|grpc||true\r\n",
            1,
            "unix|/tmp/plugin3212220544",
        ),
        (
            "  1|5|tcp|[::1]:1234|grpc|short-extra  ",
            5,
            "tcp|[::1]:1234",
        ),
    ] {
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.version(), version);
        assert_eq!(parsed.address().to_string(), address);
        assert_eq!(parsed.certificate(), None);
    }
}

#[test]
fn each_wrong_field_is_named_with_what_was_found() {
    let certificate = "A".repeat(60);
    for (line, expected) in [
        (String::new(), InvalidLine::NotAHandshake),
        ("hello, world".into(), InvalidLine::NotAHandshake),
        ("1|1|unix".into(), InvalidLine::NotAHandshake),
        (
            "2|1|unix|/s|grpc".into(),
            InvalidLine::CoreVersion("2".into()),
        ),
        (
            "1|x|unix|/s|grpc".into(),
            InvalidLine::AppVersion("x".into()),
        ),
        (
            "1|-1|unix|/s|grpc".into(),
            InvalidLine::AppVersion("-1".into()),
        ),
        (
            "1|4294967296|unix|/s|grpc".into(),
            InvalidLine::AppVersion("4294967296".into()),
        ),
        ("1|1|udp|/s|grpc".into(), InvalidLine::Network("udp".into())),
        ("1|1|unix||grpc".into(), InvalidLine::Address(String::new())),
        ("1|1|tcp|/s|grpc".into(), InvalidLine::Address("/s".into())),
        (
            "1|1|tcp|127.0.0.1:0|grpc".into(),
            InvalidLine::Address("127.0.0.1:0".into()),
        ),
        ("1|1|unix|/s".into(), InvalidLine::Protocol("netrpc".into())),
        (
            "1|1|unix|/s|netrpc".into(),
            InvalidLine::Protocol("netrpc".into()),
        ),
    ] {
        assert_eq!(parse(&line), Err(expected), "{line}");
    }
    for bad in [
        format!("{certificate}=="),
        format!("{certificate}*{certificate}"),
    ] {
        let error = parse(&format!("1|1|unix|/s|grpc|{bad}")).unwrap_err();
        assert!(matches!(error, InvalidLine::Certificate(_)), "{error}");
    }
}

#[test]
fn a_path_that_could_not_be_read_back_is_refused() {
    for path in ["", "/tmp/a|b", "/tmp/a\nb", "/tmp/a "] {
        assert!(
            HandshakeLine::new(1, Address::Unix(path.into()), None).is_err(),
            "{path:?}"
        );
    }
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        "/[a-zA-Z0-9_./-]{1,90}".prop_map(|path| Address::Unix(path.into())),
        (any::<std::net::IpAddr>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| Address::Tcp((ip, port).into())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        version: u32,
        address in address(),
        certificate in proptest::option::of(proptest::collection::vec(any::<u8>(), 40..800)),
    ) {
        let line = HandshakeLine::new(version, address, certificate).unwrap();
        prop_assert_eq!(line.to_string().parse(), Ok(line));
    }

    #[test]
    fn no_text_makes_the_parser_panic(line: String) {
        let _ = parse(&line);
    }

    #[test]
    fn a_damaged_line_is_an_error_or_another_line_that_can_be_written(
        at in 0..60_usize,
        with in "[|0-9a-z:/. \n\u{0}é]{0,3}",
    ) {
        let mut line = String::from("1|1|unix|/tmp/plugin3166035044|grpc|");
        line.replace_range(at.min(line.len())..(at + 1).min(line.len()), &with);
        if let Ok(parsed) = parse(&line) {
            prop_assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }
}

#[test]
fn a_line_says_whether_the_plugin_multiplexes() {
    for (end, expected) in [
        ("", false),
        ("|", false),
        ("||true", true),
        ("||TRUE\r\n", true),
        ("||1|more", true),
        ("||false", false),
        ("||yes", false),
        ("|short-extra|t", true),
    ] {
        let line = parse(&format!("1|1|unix|/s|grpc{end}")).unwrap();
        assert_eq!(line.multiplexing(), expected, "{end}");
    }
    let line = HandshakeLine::new(1, Address::Unix("/s".into()), None).unwrap();
    assert_eq!(line.to_string(), "1|1|unix|/s|grpc|");
    let line = line.with_multiplexing();
    assert_eq!(line.to_string(), "1|1|unix|/s|grpc||true");
    assert_eq!(parse(&line.to_string()), Ok(line));
}
