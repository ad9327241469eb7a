use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_limiter_over_a_healthy_service_never_opens_the_circuit() {
    let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let stack = stack()
        .with_circuit(brittle())
        .with_concurrency_limit(limit);
    let stacked = stack.layer(service.clone());
    let calls = (0..100).map(|_| call(&stacked, request(GET)));
    let done = futures_util::future::join_all(calls).await;
    let full = done.iter().filter_map(|it| it.as_ref().err());
    assert_eq!(full.clone().count(), 99);
    for status in full {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(is_caused_by::<LimitFull>(status));
    }
    assert_eq!(stack.circuit().unwrap().state(), State::Closed);
    assert_eq!(service.calls(), 1, "a refusal is not sent, nor tried again");
}

/// Nobody is to blame for the time that it takes to find an instance.
#[tokio::test(start_paused = true)]
async fn breaker_and_attempt_begin_when_there_is_an_instance() {
    let mut service = Scripted::new([Does::Answers(Code::Ok)]);
    service.ready_after = ms(2_000);
    let stack = stack()
        .with_circuit(brittle())
        .with_attempt_timeout(ms(100))
        .unwrap();
    let stacked = stack.layer(service.clone());
    for _ in 0..3 {
        call(&stacked, request(GET)).await.unwrap();
    }
    assert_eq!(stack.circuit().unwrap().snapshot().rules[0].bad, 0);

    // Nor if it takes longer than there is.
    for _ in 0..3 {
        let late = call(&stacked, request_within(GET, "1S")).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
    }
    assert_eq!(stack.circuit().unwrap().state(), State::Closed);
    assert_eq!(service.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_tried_again() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stack = stack().with_circuit(brittle());
    let stacked = stack.layer(service.clone());
    stack.circuit().unwrap().force_open();
    let begun = Instant::now();
    let refused = call(&stacked, request(GET)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(is_caused_by::<Open>(&refused));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((service.calls(), stack.snapshot().calls.attempts), (0, 0));
    assert_eq!(stack.circuit().unwrap().snapshot().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn what_died_is_no_evidence_against_the_service() {
    let service = Scripted::new([Does::Dies]);
    let stack = stack().with_circuit(brittle());
    let stacked = stack.layer(service.clone());
    for _ in 0..20 {
        for path in [GET, ADD] {
            let lost = call(&stacked, request(path)).await.unwrap_err();
            assert_eq!(lost.code(), Code::Unavailable);
        }
    }
    assert_eq!(stack.circuit().unwrap().state(), State::Closed);
    // Nor for the throttle: it can still afford a retry.
    let failing = [Does::Answers(Code::Unavailable), Does::Answers(Code::Ok)];
    *service.script.lock().unwrap() = failing.into();
    call(&stacked, request(GET)).await.unwrap();
}

/// Each opens it after two: it hears of each attempt, not of each call.
#[tokio::test(start_paused = true)]
async fn the_circuit_hears_of_every_attempt() {
    for does in [
        Does::Answers(Code::Internal),
        Does::Answers(Code::Unavailable),
    ] {
        let service = Scripted::new([does]);
        let stack = stack().with_circuit(brittle());
        let stacked = stack.layer(service.clone());
        while stack.circuit().unwrap().state() == State::Closed {
            call(&stacked, request(GET)).await.unwrap_err();
        }
        assert_eq!(service.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn each_layer_can_be_left_out() {
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    let bare = stack()
        .without_circuit()
        .without_retries()
        .without_timeout();
    let stacked = bare.layer(service.clone());
    for _ in 0..50 {
        call(&stacked, request(GET)).await.unwrap_err();
    }
    assert_eq!(service.calls(), 50);
    assert_eq!(service.header(0, "grpc-timeout"), None);
    assert!(bare.snapshot().circuit.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_whenever_it_is_dropped() {
    let limit = ConcurrencyLimit::new(n(1));
    let stack = stack()
        .with_circuit(brittle())
        .with_concurrency_limit(limit);
    let script = [
        Does::Answers(Code::Unavailable),
        Does::IsDead,
        Does::After(ms(5), Code::Ok),
    ];
    for polls in 0.. {
        let mut service = Scripted::new(script);
        service.ready_after = ms(1);
        let stacked = stack.layer(service);
        let mut one = tokio_test::task::spawn(call(&stacked, request(GET)));
        let mut done = false;
        for _ in 0..polls {
            done |= one.poll().is_ready();
            if done {
                break;
            }
            sleep(ms(1)).await;
        }
        drop(one);
        let snapshot = stack.snapshot();
        assert_eq!((snapshot.calls.in_flight, snapshot.requests_kept), (0, 0));
        // Its turn is free, and its probe would be.
        let next = stack.layer(Scripted::new([Does::Answers(Code::Ok)]));
        call(&next, request_within(GET, "10m")).await.unwrap();
        if done {
            assert!(polls > 5, "it was dropped at {polls} places");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_says_what_became_of_the_calls() {
    let script = [
        Does::Answers(Code::Ok),
        Does::Dies,
        Does::Answers(Code::NotFound),
    ];
    let stack = stack().with_name("shop");
    let stacked = stack.layer(Scripted::new(script));
    call(&stacked, request(GET)).await.unwrap();
    call(&stacked, request(GET)).await.unwrap_err();
    let mut hanging = stacked.clone();
    let hanging = hanging.call(request(WATCH)).await.unwrap();
    let snapshot = stacked.snapshot();
    assert_eq!(snapshot.name.as_deref(), Some("shop"));
    let Calls {
        in_flight,
        succeeded,
        failed,
        dropped,
        attempts,
    } = snapshot.calls;
    assert_eq!(
        [in_flight, succeeded, failed, dropped, attempts],
        [1, 1, 1, 0, 4]
    );
    drop(hanging);
    let Calls {
        in_flight, dropped, ..
    } = stack.snapshot().calls;
    assert_eq!([in_flight, dropped], [0, 1]);
}

/// Those that have waited for long have no time left for it.
#[tokio::test(start_paused = true)]
async fn calls_that_were_late_in_a_queue_do_not_open_the_circuit() {
    let limit = ConcurrencyLimit::new(n(1));
    let stack = stack().with_concurrency_limit(limit);
    let stacked = stack.layer(Scripted::new([Does::After(ms(10), Code::Ok)]));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..400 {
        let stacked = stacked.clone();
        calls.spawn(async move { call(&stacked, request_within(GET, "200m")).await });
        sleep(ms(7)).await;
    }
    let mut late = 0;
    while let Some(done) = calls.join_next().await {
        if let Err(status) = done.unwrap() {
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
            late += 1;
        }
    }
    assert!(late > 50, "{late}");
    assert_eq!(stack.circuit().unwrap().snapshot().openings, 0);
    // Nor does the throttle hold it against the service.
    let failing = [Does::Answers(Code::Unavailable), Does::Answers(Code::Ok)];
    call(&stack.layer(Scripted::new(failing)), request(GET))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_opens_the_circuit_by_the_deadlines_of_its_calls() {
    let stack = stack();
    let stacked = stack.layer(Scripted::new([Does::Hangs]));
    for _ in 0..20 {
        let late = call(&stacked, request_within(ADD, "100m"))
            .await
            .unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
    }
    assert_eq!(stack.circuit().unwrap().snapshot().openings, 1);
}

/// One that follows a deadline on purpose, such as a watch, would open it all the time.
#[tokio::test(start_paused = true)]
async fn streams_that_last_until_their_deadline_do_not_open_the_circuit() {
    let stack = stack();
    let mut stacked = stack.layer(Scripted::new([Does::Streams(ms(30))]));
    for _ in 0..30 {
        let late = status(stacked.call(request_within(WATCH, "100m")).await).await;
        assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert_eq!(stack.circuit().unwrap().snapshot().openings, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_turn_while_it_waits_to_be_tried_again() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let waits = Plan::new(n(2)).with_backoff([ms(500)]);
    let stack = stack().with_concurrency_limit(limit).with_retries(waits);
    let script = [Does::Answers(Code::Unavailable), Does::Answers(Code::Ok)];
    let stacked = stack.layer(Scripted::new(script));
    let first = tokio::spawn({
        let stacked = stacked.clone();
        async move { call(&stacked, request(GET)).await }
    });
    sleep(ms(100)).await;
    let full = call(&stacked, request(GET)).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    let snapshot = stack.snapshot().limit.unwrap();
    assert_eq!((snapshot.in_use, snapshot.refused), (1, 1));
    first.await.unwrap().unwrap();
    assert_eq!(stack.snapshot().limit.unwrap().in_use, 0);
}

/// The whole of the one answer, and not only its headers.
#[tokio::test(start_paused = true)]
async fn the_time_of_an_attempt_is_for_its_whole_answer() {
    let script = [
        Does::Streams(Duration::from_secs(3_600)),
        Does::Answers(Code::Ok),
    ];
    let stack = stack().with_attempt_timeout(ms(100)).unwrap();
    let service = Scripted::new(script);
    call(&stack.layer(service.clone()), request(GET))
        .await
        .unwrap();
    assert_eq!(service.calls(), 2);
}

#[test]
fn what_cannot_be_is_refused() {
    let none = stack().with_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(none.to_string(), "the time of a call must not be zero");
    let none = stack().with_attempt_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(none.to_string(), "the time of an attempt must not be zero");
}
