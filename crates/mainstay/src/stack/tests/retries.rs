use super::*;

fn at_once(attempts: u32) -> Plan<ConstantBackoff, mainstay_retry_backoff::Unlimited> {
    Plan::new(n(attempts))
        .with_budget(mainstay_retry_backoff::Unlimited)
        .without_backoff()
}

#[tokio::test(start_paused = true)]
async fn what_never_left_is_sent_again_whatever_the_method() {
    let script = [Does::IsDead, Does::IsDead, Does::Answers(Code::Ok)];
    for path in [GET, ADD, "/shop.v1.Cart/Unknown"] {
        let service = Scripted::new(script);
        let stacked = stack().layer(service.clone());
        let _ = stacked.clone().call(request(path)).await.unwrap();
        assert_eq!(service.calls(), 3);
        // They were no attempts for the server.
        assert_eq!(service.header(2, "grpc-previous-rpc-attempts"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_is_sent_again_only_if_that_does_no_harm() {
    for does in [Does::Dies, Does::Answers(Code::Unavailable)] {
        for (path, calls) in [(GET, 2), (ADD, 1)] {
            let service = Scripted::new([does, Does::Answers(Code::Ok)]);
            let stacked = stack().layer(service.clone());
            let done = call(&stacked, request(path)).await;
            assert_eq!(done.is_ok(), path == GET, "{does:?} {path}");
            assert_eq!(service.calls(), calls);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_how_many_attempts_there_were() {
    let script = [
        Does::Answers(Code::Unavailable),
        Does::IsDead,
        Does::Dies,
        Does::Answers(Code::Ok),
    ];
    let service = Scripted::new(script);
    let stacked = stack().layer(service.clone());
    call(&stacked, request(GET)).await.unwrap();
    let told: Vec<_> = (0..4)
        .map(|it| service.header(it, "grpc-previous-rpc-attempts"))
        .collect();
    let expected = [None, Some("1"), Some("1"), Some("2")];
    assert_eq!(told, expected.map(|it| it.map(str::to_owned)));
}

/// It would take one instance after another along.
#[tokio::test(start_paused = true)]
async fn a_request_that_its_service_dies_of_is_sent_as_often_as_there_are_attempts() {
    for attempts in [1, 2, 4] {
        let service = Scripted::new([Does::Dies]);
        let stacked = stack()
            .with_retries(at_once(attempts))
            .layer(service.clone());
        let lost = call(&stacked, request(GET)).await.unwrap_err();
        assert_eq!(lost.code(), Code::Unavailable);
        assert_eq!(service.calls(), attempts as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn the_throttle_ends_retries_in_an_outage() {
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    let stack = stack().without_circuit();
    let stacked = stack.layer(service.clone());
    for _ in 0..100 {
        call(&stacked, request(GET)).await.unwrap_err();
    }
    // Ten tokens, of which more than five are needed.
    assert_eq!(service.calls(), 104);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_is_heeded() {
    let pushes = Does::PushesBack(Code::Unavailable, "700");
    let service = Scripted::new([pushes, Does::Answers(Code::Ok)]);
    let begun = Instant::now();
    call(&stack().layer(service), request(GET)).await.unwrap();
    assert_eq!(begun.elapsed(), ms(700));

    for never in ["-1", "soon"] {
        let service = Scripted::new([Does::PushesBack(Code::Unavailable, never)]);
        let status = call(&stack().layer(service.clone()), request(GET)).await;
        assert_eq!(status.unwrap_err().code(), Code::Unavailable);
        assert_eq!(service.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_codes_are_yours_to_say() {
    let service = Scripted::new([Does::Answers(Code::Aborted), Does::Answers(Code::Ok)]);
    let stack = stack().with_retryable_codes(&[Code::Aborted]);
    call(&stack.layer(service), request(GET)).await.unwrap();
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    call(&stack.layer(service.clone()), request(GET))
        .await
        .unwrap_err();
    assert_eq!(service.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_attempt_is_left_for_another_if_that_does_no_harm() {
    let script = [Does::Hangs, Does::Answers(Code::Ok)];
    let stack = stack()
        .with_attempt_timeout(ms(100))
        .unwrap()
        .with_retries(at_once(3));
    let service = Scripted::new(script);
    let begun = Instant::now();
    call(&stack.layer(service.clone()), request(GET))
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), ms(100));
    let (at, headers) = service.heads.lock().unwrap()[0].clone();
    let told = Deadline::of(&headers, at).unwrap().remaining(at);
    assert_eq!(told, ms(100), "each is told its own time");

    let service = Scripted::new(script);
    let late = call(&stack.layer(service.clone()), request(ADD))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(is_caused_by::<Expired>(&late));
    assert_eq!(service.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_to_keep_goes_on_and_is_not_tried_again() {
    let large = || {
        let body = Body::new(Full::new(Bytes::from(vec![0; 1000])));
        request(GET).map(|_| body)
    };
    let script = [Does::Dies, Does::Answers(Code::Ok)];
    for (of_one, of_all, works) in [
        (2_000, 2_000, true),
        (999, 2_000, false),
        (2_000, 999, false),
    ] {
        let stack = stack().with_request_memory(of_one, of_all);
        let done = call(&stack.layer(Scripted::new(script)), large()).await;
        let code = done.map_or_else(|status| status.code(), |()| Code::Ok);
        let expected = if works { Code::Ok } else { Code::Unavailable };
        assert_eq!(code, expected, "{of_one} {of_all}");
        let whole = Scripted::new([Does::Answers(Code::Ok)]);
        call(&stack.layer(whole), large()).await.unwrap();
        assert_eq!(stack.snapshot().requests_kept, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_itself_is_the_callers_failure() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stack = stack().with_circuit(brittle());
    for _ in 0..3 {
        let failing = StreamBody::new(tokio_stream::once(Err::<Frame<Bytes>, _>(
            Status::invalid_argument("no such colour"),
        )));
        let request = request(GET).map(|_| Body::new(failing));
        let status = call(&stack.layer(service.clone()), request)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "no such colour");
    }
    assert_eq!(service.calls(), 3);
    assert_eq!(stack.circuit().unwrap().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_to_hold_goes_to_the_caller_as_it_comes() {
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    let stack = stack().with_answer_memory(4);
    let status = call(&stack.layer(service.clone()), request(GET))
        .await
        .unwrap_err();
    assert_eq!((status.code(), service.calls()), (Code::Unavailable, 1));
    assert_eq!(
        stack.snapshot().calls.failed,
        1,
        "and it is seen how it ends"
    );
}

#[tokio::test(start_paused = true)]
async fn another_budget_can_be_paid_from() {
    let service = Scripted::new([Does::Answers(Code::Unavailable)]);
    let stack = stack()
        .without_circuit()
        .with_budget(mainstay_retry_backoff::Unlimited);
    for _ in 0..20 {
        call(&stack.layer(service.clone()), request(GET))
            .await
            .unwrap_err();
    }
    assert_eq!(service.calls(), 100, "five attempts, as ever");
    assert!((stack.snapshot().calls.attempts_per_call() - 5.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_said_to_be_one() {
    let lost = call(&stack().layer(Scripted::new([Does::Dies])), request(ADD)).await;
    let message = lost.unwrap_err().message().to_owned();
    assert!(
        message.starts_with("the connection was lost: "),
        "{message}"
    );
}

/// What its first attempt would still send is for the second.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_its_answer_sends_no_more() {
    const UPLOAD: &str = "/shop.v1.Cart/Upload";
    let methods = Methods::new().with_method(UPLOAD, Method::client_streaming().idempotent());
    let waits = Plan::new(n(3)).with_backoff([ms(500)]);
    let stack = Stack::new(methods)
        .with_retries(waits)
        .with_request_memory(1_000, 1_000);
    let sent = Arc::<Mutex<usize>>::default();
    let service = {
        let mut first = true;
        let sent = sent.clone();
        tower::service_fn(move |request: Request<Body>| {
            let is_first = std::mem::take(&mut first);
            let sent = sent.clone();
            async move {
                let mut body = request.into_body();
                if is_first {
                    body.frame().await.unwrap().unwrap();
                    tokio::spawn(async move {
                        while let Some(Ok(frame)) = body.frame().await {
                            *sent.lock().unwrap() += frame.data_ref().unwrap().len();
                        }
                    });
                    return Ok::<_, BoxError>(answer(Code::Unavailable));
                }
                let _ = body.frame().await.unwrap().unwrap();
                Ok(answer(Code::Ok))
            }
        })
    };
    let chunks = futures_util::stream::unfold((), |()| async {
        sleep(ms(1)).await;
        let chunk = Frame::data(Bytes::from_static(&[0; 100]));
        Some((Ok::<_, Status>(chunk), ()))
    });
    let request = request(UPLOAD).map(|_| Body::new(StreamBody::new(chunks)));
    call(&stack.layer(service), request).await.unwrap();
    assert!(*sent.lock().unwrap() < 1_000, "it read on");
}

/// By a proxy, for instance: its page is nothing for a client of gRPC.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_of_grpc_is_a_status() {
    for (http, content_type, code, calls) in [
        (503, "text/html", Code::Unavailable, 5),
        (401, "text/html", Code::Unauthenticated, 1),
        (404, "application/grpc", Code::Unimplemented, 1),
        (200, "text/html", Code::Unknown, 5),
    ] {
        for path in [GET, WATCH] {
            let counted = Arc::<Mutex<usize>>::default();
            let count = counted.clone();
            let service = tower::service_fn(move |_: Request<Body>| {
                *count.lock().unwrap() += 1;
                let page = Full::new(Bytes::from_static(b"<html>"));
                let response = Response::builder()
                    .status(http)
                    .header("content-type", content_type)
                    .body(Body::new(page));
                std::future::ready(Ok::<_, BoxError>(response.unwrap()))
            });
            let budget = mainstay_retry_backoff::Unlimited;
            let stacked = stack().without_circuit().with_budget(budget).layer(service);
            let status = call(&stacked, request(path)).await.unwrap_err();
            assert_eq!(status.code(), code, "{http} {status:?}");
            assert_eq!(*counted.lock().unwrap(), calls, "{http} {path}");
        }
    }
}

/// The backoff is not a part of the attempt before it.
#[tokio::test(start_paused = true)]
async fn a_backoff_may_take_longer_than_an_attempt() {
    let waits = Plan::new(n(2)).with_backoff([ms(500)]);
    let script = [
        Does::Answers(Code::Unavailable),
        Does::After(ms(50), Code::Ok),
    ];
    let stack = stack()
        .with_retries(waits)
        .with_attempt_timeout(ms(100))
        .unwrap();
    let begun = Instant::now();
    call(&stack.layer(Scripted::new(script)), request(GET))
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), ms(550));
}

/// By a limit that stands below, for instance.
#[tokio::test(start_paused = true)]
async fn a_refusal_from_below_is_neither_tried_again_nor_held_against_the_service() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let _slot = limit.enter().await.unwrap();
    let full = limit.enter().await.unwrap_err();
    let count = Arc::<Mutex<usize>>::default();
    let counted = count.clone();
    let service = tower::service_fn(move |_: Request<Body>| {
        *counted.lock().unwrap() += 1;
        std::future::ready(Err::<Response<Body>, _>(BoxError::from(full)))
    });
    let stack = stack().with_circuit(brittle());
    for calls in 1..5 {
        let status = call(&stack.layer(service.clone()), request(GET)).await;
        assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(*count.lock().unwrap(), calls);
    }
    let circuit = stack.circuit().unwrap().snapshot();
    assert_eq!((circuit.state, circuit.rules[0].bad), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_time_also_if_its_call_has_no_end() {
    let service = Scripted::new([Does::Hangs]);
    let stack = stack()
        .with_attempt_timeout(ms(100))
        .unwrap()
        .with_retries(at_once(3));
    let late = call(&stack.layer(service.clone()), request(WATCH))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let expired = crate::cause::find_cause::<Expired>(&late).unwrap();
    assert!(expired.is_of_attempt());
    assert_eq!((expired.within(), service.calls()), (ms(100), 3));
}
