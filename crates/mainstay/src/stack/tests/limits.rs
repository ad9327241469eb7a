use super::*;

#[tokio::test(start_paused = true)]
async fn calls_wait_for_their_turn_in_the_order_in_which_they_came() {
    let limit = ConcurrencyLimit::new(n(2)).with_wait_within(ms(1_000));
    let service = Scripted::new([Does::After(ms(100), Code::Ok)]);
    let stacked = stack().with_concurrency_limit(limit).layer(service.clone());
    let begun = Instant::now();
    let calls = (0..6).map(|_| async {
        call(&stacked, request(GET)).await.unwrap();
        begun.elapsed()
    });
    let ended = futures_util::future::join_all(calls).await;
    assert_eq!(ended, [100, 100, 200, 200, 300, 300].map(ms));
}

/// It counts until its end, and not only until its headers.
#[tokio::test(start_paused = true)]
async fn a_stream_is_a_call_until_its_end() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let mut stacked = stack().with_concurrency_limit(limit).layer(Scripted::new([
        Does::Streams(ms(10)),
        Does::Answers(Code::Ok),
    ]));
    let stream = stacked.call(request(WATCH)).await.unwrap();
    let full = call(&stacked, request(GET)).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    drop(stream);
    call(&stacked, request(GET)).await.unwrap();
}

#[tokio::test]
async fn who_may_not_wait_is_refused_at_once() {
    let limit = ConcurrencyLimit::new(n(1)).with_wait_within(Duration::ZERO);
    let _slot = limit.enter().await.unwrap();
    let refused = futures_util::FutureExt::now_or_never(limit.enter());
    assert!(refused.expect("it does not wait").is_err());
}
