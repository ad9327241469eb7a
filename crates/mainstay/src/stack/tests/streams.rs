use super::*;

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_its_headers_at_once() {
    let mut stacked = stack().layer(Scripted::new([Does::Streams(Duration::from_secs(60))]));
    let begun = Instant::now();
    let stream = stacked.call(request(WATCH)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    stream.into_body().frame().await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_tried_again_until_it_has_headers() {
    let refused = Does::PushesBack(Code::Unavailable, "0");
    let service = Scripted::new([Does::IsDead, Does::Dies, refused, Does::Answers(Code::Ok)]);
    call(&stack().layer(service.clone()), request(WATCH))
        .await
        .unwrap();
    assert_eq!(service.calls(), 4);

    let service = Scripted::new([Does::Answers(Code::Unavailable), Does::Answers(Code::Ok)]);
    let status = call(&stack().layer(service.clone()), request(WATCH)).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    assert_eq!(service.calls(), 1, "its caller had the headers");
}

#[tokio::test(start_paused = true)]
async fn the_circuit_hears_how_a_stream_ends() {
    let stack = stack().with_circuit(brittle());
    let mut stacked = stack.layer(Scripted::new([Does::Answers(Code::Internal)]));
    let streams = [
        stacked.call(request(WATCH)).await,
        stacked.call(request(WATCH)).await,
    ];
    let bad = || stack.circuit().unwrap().snapshot().rules[0].bad;
    assert_eq!(bad(), 0, "headers say nothing");
    let [one, other] = streams;
    status(one).await.unwrap_err();
    assert_eq!(bad(), 1);
    drop(other);
    assert_eq!(bad(), 1, "one that is dropped says nothing either");
    let last = stacked.call(request(WATCH)).await;
    status(last).await.unwrap_err();
    assert_eq!(stack.circuit().unwrap().state(), State::Open);
}

/// What a throttle has lost it gains by streams as well.
#[tokio::test(start_paused = true)]
async fn the_throttle_hears_how_a_stream_ends() {
    let failing = Scripted::new([Does::Answers(Code::Unavailable)]);
    let stack = stack().without_circuit();
    for _ in 0..20 {
        call(&stack.layer(failing.clone()), request(WATCH))
            .await
            .unwrap_err();
    }
    let calls = || failing.calls();
    let before = calls();
    call(&stack.layer(failing.clone()), request(GET))
        .await
        .unwrap_err();
    assert_eq!(calls() - before, 1, "nothing is left for a retry");
    let fine = Scripted::new([Does::Answers(Code::Ok)]);
    for _ in 0..100 {
        call(&stack.layer(fine.clone()), request(WATCH))
            .await
            .unwrap();
    }
    let before = calls();
    call(&stack.layer(failing.clone()), request(GET))
        .await
        .unwrap_err();
    assert!(calls() - before > 1);
}

/// The timeout of an attempt is for its headers.
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_told_that_it_has_no_longer_than_an_attempt() {
    let service = Scripted::new([Does::Streams(ms(400))]);
    let mut stacked = stack()
        .with_attempt_timeout(ms(1_000))
        .unwrap()
        .layer(service.clone());
    let stream = stacked.call(request_within(WATCH, "60S")).await.unwrap();
    let (at, headers) = service.heads.lock().unwrap()[0].clone();
    assert_eq!(
        Deadline::of(&headers, at).unwrap().remaining(at),
        ms(60_000)
    );
    let mut body = stream.into_body();
    for _ in 0..10 {
        body.frame().await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_does_not_keep_a_half_open_circuit_from_closing() {
    let stack = stack();
    let failing = stack.layer(Scripted::new([Does::Answers(Code::Internal)]));
    for _ in 0..30 {
        let _ = call(&failing, request(GET)).await;
    }
    let circuit = stack.circuit().unwrap();
    assert_eq!(circuit.state(), State::Open);
    sleep(ms(6_000)).await;
    let mut streaming = stack.layer(Scripted::new([Does::Streams(ms(100))]));
    let stream = streaming.call(request(WATCH)).await.expect("it is a probe");
    assert_eq!(circuit.state(), State::HalfOpen);
    let well = stack.layer(Scripted::new([Does::Answers(Code::Ok)]));
    call(&well, request(GET)).await.unwrap();
    assert_eq!(circuit.state(), State::Closed);
    drop(stream);
}

/// It will not be sent again.
#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_what_a_stream_sends_once_it_has_headers() {
    let service = tower::service_fn(|request: Request<Body>| async {
        let mut body = request.into_body();
        body.frame().await.unwrap().unwrap();
        tokio::spawn(async move { while body.frame().await.is_some() {} });
        let answers = futures_util::stream::pending::<Result<Frame<Bytes>, Status>>();
        Ok::<_, BoxError>(Response::new(Body::new(StreamBody::new(answers))))
    });
    let chunks = futures_util::stream::unfold((), |()| async {
        sleep(ms(1)).await;
        let chunk = Frame::data(Bytes::from_static(&[0; 100]));
        Some((Ok::<_, Status>(chunk), ()))
    });
    let stack = stack();
    let request = request("/shop.v1.Cart/Chat").map(|_| Body::new(StreamBody::new(chunks)));
    let answer = stack.layer(service).call(request).await.unwrap();
    sleep(ms(100)).await;
    assert_eq!(stack.snapshot().requests_kept, 0);
    drop(answer);
}
