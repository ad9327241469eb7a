use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_sleeps_past_the_deadline() {
    let waits = Plan::new(n(3)).with_backoff([ms(5_000)]);
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    let stacked = stack().with_retries(waits).layer(service.clone());
    let begun = Instant::now();
    let status = call(&stacked, request_within(GET, "1S")).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::Unavailable,
        "what the service said last"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO, "at once");
    assert_eq!(service.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_deadline_wherever_it_is() {
    let hanging = Scripted::new([Does::Hangs]);
    let mut never_ready = Scripted::new([Does::Answers(Code::Ok)]);
    never_ready.ready_after = Duration::from_secs(3_600);
    let half = Scripted::new([Does::Streams(Duration::from_secs(3_600))]);
    for service in [hanging, never_ready, half] {
        for path in [GET, ADD] {
            let begun = Instant::now();
            let stacked = stack().layer(service.clone());
            let late = call(&stacked, request_within(path, "1S"))
                .await
                .unwrap_err();
            assert_eq!(late.code(), Code::DeadlineExceeded);
            assert_eq!(late.message(), "the call was not done within 1s");
            assert!(is_caused_by::<Expired>(&late));
            assert_eq!(begun.elapsed(), ms(1_000));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_queue_ends_by_its_deadline() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(ms(5_000));
    let stack = stack().with_concurrency_limit(limit);
    let stacked = stack.layer(Scripted::new([Does::Hangs]));
    let mut first = tokio_test::task::spawn(call(&stacked, request(GET)));
    assert!(first.poll().is_pending());
    let begun = Instant::now();
    let late = call(&stacked, request_within(GET, "1S")).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_not_sent() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = stack().layer(service.clone());
    let late = call(&stacked, request_within(GET, "0n")).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(service.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_the_time_that_is_left() {
    let waits = Plan::new(n(3)).with_backoff([ms(400)]);
    let script = [Does::Answers(Code::Unavailable), Does::Answers(Code::Ok)];
    let service = Scripted::new(script);
    let stacked = stack().with_retries(waits).layer(service.clone());
    call(&stacked, request_within(GET, "1S")).await.unwrap();
    let left = |call: usize| {
        let (at, headers) = service.heads.lock().unwrap()[call].clone();
        Deadline::of(&headers, at).unwrap().remaining(at)
    };
    assert_eq!((left(0), left(1)), (ms(1_000), ms(600)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_brings_no_deadline_gets_one_unless_it_streams() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = stack()
        .with_timeout(ms(2_000))
        .unwrap()
        .layer(service.clone());
    for path in [GET, ADD, WATCH, "/shop.v1.Cart/Unknown"] {
        let _ = stacked.clone().call(request(path)).await;
    }
    let told: Vec<_> = (0..4)
        .map(|it| service.header(it, "grpc-timeout"))
        .collect();
    assert_eq!(told.iter().filter(|it| it.is_some()).count(), 2);
    assert!(told[0].is_some() && told[1].is_some());

    // What cannot be read is for the server to refuse.
    let _ = stacked.clone().call(request_within(GET, "soon")).await;
    assert_eq!(service.header(4, "grpc-timeout").as_deref(), Some("soon"));
}

/// By then some of its answers have come, and its caller still holds it.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_by_its_deadline() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let stack = stack().with_concurrency_limit(limit);
    let mut stacked = stack.layer(Scripted::new([Does::Streams(ms(300))]));
    let begun = Instant::now();
    let stream = stacked.call(request_within(WATCH, "1S")).await.unwrap();
    let mut body = stream.into_body();
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    let late = body.frame().await.unwrap().unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), ms(1_000));
    assert!(body.frame().await.is_none());
    assert_eq!(stack.snapshot().calls.failed, 1);
    let _ = stacked
        .call(request(WATCH))
        .await
        .expect("its turn is over");
}

/// However fast its answers come.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_always_ready_ends_by_its_deadline() {
    let mut stacked = stack().layer(Scripted::new([Does::Streams(Duration::ZERO)]));
    let stream = stacked.call(request_within(WATCH, "1S")).await.unwrap();
    let mut body = stream.into_body();
    let begun = Instant::now();
    let status = loop {
        tokio::time::advance(Duration::from_micros(100)).await;
        match body.frame().await.unwrap() {
            Ok(_) => assert!(begun.elapsed() < ms(2_000), "it goes on"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_fails_soon_if_nobody_is_there() {
    for path in [GET, ADD, WATCH, "/shop.v1.Cart/Unknown"] {
        let service = Scripted::new([Does::IsDead]);
        let begun = Instant::now();
        let status = call(
            &stack().without_timeout().layer(service.clone()),
            request(path),
        )
        .await;
        assert_eq!(status.unwrap_err().code(), Code::Unavailable);
        assert!(begun.elapsed() <= ms(1_000), "{:?}", begun.elapsed());
        assert!(service.calls() > 4, "but not at once");
    }
}

/// As tonic's servers do, whose timers may be a little early.
#[tokio::test(start_paused = true)]
async fn a_service_that_finds_the_time_to_be_over_is_late_and_not_cancelled() {
    for (path, calls) in [(GET, 5), (ADD, 1), (WATCH, 5)] {
        let count = Arc::<Mutex<usize>>::default();
        let counted = count.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            *counted.lock().unwrap() += 1;
            let mut response = Response::new(Body::empty());
            let headers = response.headers_mut();
            headers.insert("grpc-status", 1.into());
            headers.insert("grpc-message", "Timeout%20expired".parse().unwrap());
            std::future::ready(Ok::<_, BoxError>(response))
        });
        let budget = mainstay_retry_backoff::Unlimited;
        let stack = stack().with_circuit(brittle()).with_budget(budget);
        let late = call(
            &stack.clone().without_circuit().layer(service.clone()),
            request(path),
        )
        .await;
        assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(*count.lock().unwrap(), calls, "{path}");
        for _ in 0..2 {
            call(&stack.layer(service.clone()), request(path))
                .await
                .unwrap_err();
        }
        assert_ne!(stack.circuit().unwrap().state(), State::Closed);
    }
}
