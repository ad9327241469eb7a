use super::*;

/// Whom it goes through says more or less about it; tonic says the wrong thing about most.
#[test]
fn an_error_is_what_its_first_known_source_says() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let never = LOST.with_processed(Processed::Never);
    let rows: [(&str, BoxError, Outcome); 10] = [
        ("io", refused().into(), LOST),
        ("connect", ConnectError(refused().into()).into(), never),
        (
            "connect, in a status",
            Status::from_error(ConnectError(refused().into()).into()).into(),
            never,
        ),
        (
            "io, in a status",
            status(Code::Internal, refused().into()).into(),
            LOST,
        ),
        ("timer", TimeoutExpired(()).into(), LATE),
        (
            "timer, in a status",
            Status::from_error(TimeoutExpired(()).into()).into(),
            LATE,
        ),
        (
            "what is left of the timer",
            Status::cancelled("Timeout expired").into(),
            LATE,
        ),
        (
            "a status",
            Status::cancelled("no").into(),
            Outcome::new(Code::Cancelled, Cause::Other),
        ),
        (
            "no status",
            missing(StatusCode::BAD_GATEWAY).into(),
            Outcome::new(Code::Unavailable, Cause::NoStatus),
        ),
        (
            "something else",
            "something else".into(),
            Outcome::new(Code::Unknown, Cause::Other),
        ),
    ];
    for (name, error, outcome) in rows {
        assert_eq!(failed(&*error), outcome, "{name}");
        let through: BoxError = Box::new(Through(error));
        assert_eq!(failed(&*through), outcome, "{name}, through another");
        let (broken, status) = broken(through);
        assert_eq!(broken, outcome.with_processed(Processed::Maybe), "{name}");
        assert_eq!(code(status.code()), outcome.code, "{name}");
    }
}

#[test]
fn a_status_that_is_right_is_passed_on_as_it_is() {
    let mut theirs = Status::with_details(tonic::Code::Aborted, "lost a race", "x".into());
    theirs.metadata_mut().insert("a", "b".parse().unwrap());
    let ours = status(Code::Aborted, theirs.into());
    assert_eq!(ours.message(), "lost a race");
    assert_eq!(ours.details(), b"x");
    assert_eq!(ours.metadata().get("a").unwrap(), "b");
}

#[test]
fn a_status_that_is_made_says_what_happened_and_has_the_cause() {
    let error: BoxError = Box::new(Through(Box::new(Through("the root".into()))));
    let status = status(Code::Unavailable, error);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(status.message(), "the root");
    assert!(status.source().unwrap().is::<Through>());
}

#[test]
fn headers_tell_the_status() {
    for code in Code::ALL {
        let told = told(&mut headers(&[(
            "grpc-status",
            code.number().to_string().as_bytes(),
        )]));
        assert_eq!(told, Some(Outcome::new(code, Cause::Answer)));
    }
    assert_eq!(
        told(&mut headers(&[
            ("grpc-message", b"x"),
            ("grpc-retry-pushback-ms", b"1")
        ])),
        None
    );
}

#[test]
fn headers_tell_when_to_try_again() {
    let after = |ms| Pushback::After(std::time::Duration::from_millis(ms));
    for (values, expected) in [
        (vec![], Pushback::Absent),
        (vec!["100"], after(100)),
        (vec!["-1"], Pushback::Never),
        (vec!["soon"], Pushback::Never),
        (vec!["1", "1"], Pushback::Never),
    ] {
        let mut headers = headers(&[("grpc-status", b"14")]);
        for value in &values {
            headers.append(PUSHBACK, value.parse().unwrap());
        }
        assert_eq!(told(&mut headers).unwrap().pushback, expected, "{values:?}");
    }
}

#[test]
fn an_answer_that_does_not_tell_is_judged_by_its_http_status() {
    for (answer, code) in [
        (200, Code::Unknown),
        (204, Code::Unknown),
        (302, Code::Unknown),
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
    ] {
        let answer = StatusCode::from_u16(answer).unwrap();
        assert_eq!(untold(answer), Outcome::new(code, Cause::NoStatus));
        assert_eq!(self::code(missing(answer).code()), code);
    }
}

#[test]
fn details_are_passed_on_unless_tonic_would_panic() {
    for (details, good) in [
        (&b"AAEC"[..], true),
        (b"AAE=", true),
        (b"AAE", true),
        (b"", true),
        (b"A", false),
        (b"AAF=", false),
        (b"AA_-", false),
        (b"?? not base64 ??", false),
        (b"AAEC,AAEC", false),
    ] {
        let mut headers = headers(&[("grpc-status", b"2"), ("grpc-status-details-bin", details)]);
        told(&mut headers).unwrap();
        assert_eq!(headers.len() == 2, good, "{details:?}");
        Status::from_header_map(&headers).expect("and no panic");
    }
}

#[test]
fn codes_of_tonic_are_codes_of_ours() {
    for ours in Code::ALL {
        let theirs = tonic::Code::from_i32(ours.number().into());
        assert_eq!(code(theirs), ours);
        assert_eq!(format!("{theirs:?}"), format!("{ours:?}"));
    }
}

fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &[u8])| {
        (
            http::HeaderName::from_static(name),
            HeaderValue::from_bytes(value).unwrap(),
        )
    };
    fields.iter().map(field).collect()
}

#[derive(Debug)]
struct Through(BoxError);

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("through")
    }
}

impl Error for Through {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
