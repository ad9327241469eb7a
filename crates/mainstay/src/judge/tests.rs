use std::time::Duration;

use mainstay_retry_backoff::Outcome as Retry;

use super::*;

const CODES: Codes = Codes::new(&[Code::Unavailable, Code::Aborted, Code::ResourceExhausted]);
const SECOND: Duration = Duration::from_secs(1);

fn answer(code: Code) -> Outcome {
    Outcome::new(code, Cause::Answer)
}

#[test]
fn only_what_the_service_did_counts_for_its_circuit() {
    for cause in [
        Cause::Connection,
        Cause::Dropped,
        Cause::Request,
        Cause::Other,
    ] {
        for code in Code::ALL {
            assert_eq!(verdict(Outcome::new(code, cause)), Verdict::Ignore);
        }
    }
    for cause in [Cause::Deadline, Cause::Reset] {
        let outcome = Outcome::new(Code::Unknown, cause);
        assert_eq!(verdict(outcome), Verdict::failure());
        for processed in [Processed::Never, Processed::Refused] {
            assert_eq!(verdict(outcome.with_processed(processed)), Verdict::Ignore);
        }
    }
}

#[test]
fn answers_count_by_their_code() {
    let failures = [
        Code::Unknown,
        Code::DeadlineExceeded,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
    ];
    for code in Code::ALL {
        let expected = match code {
            Code::ResourceExhausted => Failure::refusal().into(),
            Code::Cancelled => Verdict::Ignore,
            code if failures.contains(&code) => Verdict::failure(),
            _ => Verdict::Success,
        };
        assert_eq!(verdict(answer(code)), expected, "{code:?}");
        let no_status = Outcome::new(code, Cause::NoStatus);
        assert_eq!(verdict(no_status), expected, "{code:?}");
    }
    let told = answer(Code::Unavailable).with_pushback(Pushback::After(SECOND));
    assert_eq!(
        verdict(told),
        Failure::new().with_retry_after(SECOND).into()
    );
}

#[test]
fn what_was_not_processed_is_sent_again_whatever_the_method() {
    for idempotent in [true, false] {
        let lost = Outcome::new(Code::Unavailable, Cause::Connection);
        let never = lost.with_processed(Processed::Never);
        assert_eq!(again(never, idempotent, CODES), Retry::NotSent);
        let refused = lost.with_processed(Processed::Refused);
        assert_eq!(again(refused, idempotent, CODES), Retry::NotProcessed);
        assert!(!is_lost(never) && !is_lost(refused));
    }
}

#[test]
fn what_may_have_run_is_sent_again_only_if_that_does_no_harm() {
    let lost = Outcome::new(Code::Unavailable, Cause::Connection);
    assert!(is_lost(lost));
    assert_eq!(again(lost, true, CODES), Retry::NotSent);
    assert_eq!(again(lost, false, CODES), Retry::Fatal);

    for code in [Code::Unavailable, Code::Aborted] {
        assert_eq!(again(answer(code), true, CODES), Retry::transient());
        assert_eq!(again(answer(code), false, CODES), Retry::DoNotRetry);
    }
    let exhausted = answer(Code::ResourceExhausted);
    assert_eq!(again(exhausted, true, CODES), Retry::throttled());

    let late = Outcome::new(Code::DeadlineExceeded, Cause::Deadline);
    assert_eq!(again(late, true, CODES), Retry::timeout());
    assert_eq!(again(late, false, CODES), Retry::DoNotRetry);
    let reset = Outcome::new(Code::Internal, Cause::Reset);
    assert_eq!(again(reset, true, CODES), Retry::transient());
    assert_eq!(again(reset, false, CODES), Retry::DoNotRetry);
    for (code, idempotent, expected) in [
        (Code::Unknown, true, Retry::transient()),
        (Code::Unknown, false, Retry::Fatal),
        (Code::Unavailable, true, Retry::transient()),
        (Code::Unavailable, false, Retry::DoNotRetry),
        (Code::Unauthenticated, true, Retry::Fatal),
        (Code::Unimplemented, true, Retry::Fatal),
    ] {
        let no_status = Outcome::new(code, Cause::NoStatus);
        assert_eq!(again(no_status, idempotent, CODES), expected, "{code:?}");
    }
}

#[test]
fn what_no_attempt_mends_is_left_alone_and_says_nothing_about_the_server() {
    for code in Code::ALL {
        let expected = if code == Code::Ok {
            Retry::Success
        } else if CODES.contains(code) {
            continue;
        } else {
            Retry::Fatal
        };
        assert_eq!(again(answer(code), true, CODES), expected, "{code:?}");
    }
    for cause in [Cause::Request, Cause::Dropped, Cause::Other] {
        let outcome = Outcome::new(Code::Unavailable, cause);
        assert_eq!(again(outcome, true, CODES), Retry::Fatal);
    }
}

#[test]
fn a_server_that_says_when_is_heeded() {
    let unavailable = answer(Code::Unavailable);
    let later = unavailable.with_pushback(Pushback::After(SECOND));
    assert_eq!(again(later, true, CODES), Retry::transient().after(SECOND));
    let never = unavailable.with_pushback(Pushback::Never);
    assert_eq!(again(never, true, CODES), Retry::DoNotRetry);
}
