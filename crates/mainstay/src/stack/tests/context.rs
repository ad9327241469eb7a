use mainstay_request_context::{
    ClientContextLayer, Id, InContext as _, InFlight, RequestContext, TraceContext,
};

use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn context() -> RequestContext {
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), PARENT.parse().unwrap())]);
    RequestContext::new(Id::new("id-1").unwrap())
        .with_trace(TraceContext::of(&headers))
        .with_timeout(ms(2_000))
}

#[tokio::test(start_paused = true)]
async fn a_call_for_a_request_carries_its_id_and_trace_and_what_is_left_of_its_time() {
    let service = Scripted::new([Does::After(ms(5_000), Code::Ok)]);
    let stacked = stack().layer(service.clone());
    let begun = Instant::now();
    let served = async {
        sleep(ms(500)).await;
        call(&stacked, request(GET)).await
    };
    let late = served.in_context(context()).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), ms(2_000));
    assert_eq!(service.header(0, "x-request-id").unwrap(), "id-1");
    assert_eq!(service.header(0, "traceparent").unwrap(), PARENT);
    assert_eq!(service.header(0, "grpc-timeout").unwrap(), "1500000u");
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_deadlines_counts() {
    for (own, ends) in [("1S", 1_000), ("3S", 2_000)] {
        let service = Scripted::new([Does::Hangs]);
        let stacked = stack().layer(service.clone());
        let begun = Instant::now();
        let called = call(&stacked, request_within(GET, own)).in_context(context());
        called.await.unwrap_err();
        assert_eq!(begun.elapsed(), ms(ends));
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_says_the_id_and_what_is_left_then() {
    let service = Scripted::new([
        Does::After(ms(700), Code::Unavailable),
        Does::Answers(Code::Ok),
    ]);
    let plan = Plan::new(n(2)).with_backoff(ConstantBackoff::new(ms(300)));
    let stacked = stack().with_retries(plan).layer(service.clone());
    let called = call(&stacked, request(GET)).in_context(context());
    called.await.unwrap();
    let said = |call| ["x-request-id", "grpc-timeout"].map(|it| service.header(call, it).unwrap());
    assert_eq!(said(0), ["id-1", "2000000u"]);
    assert_eq!(said(1), ["id-1", "1000000u"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_for_no_request_says_nothing_unless_all_are_to_have_a_context() {
    let service = Scripted::new([Does::After(ms(10), Code::Ok)]);
    let stacked = stack().layer(service.clone());
    call(&stacked, request(GET)).await.unwrap();
    assert_eq!(service.header(0, "x-request-id"), None);

    let in_flight = InFlight::new();
    let layer = ClientContextLayer::new()
        .with_in_flight(in_flight.clone())
        .with_id_header("x-call".parse().unwrap());
    let stacked = stack().with_context(layer).layer(service.clone());
    let mut call = tokio_test::task::spawn(call(&stacked, request(GET)));
    assert!(call.poll().is_pending());
    let [under_way] = &in_flight.snapshot()[..] else {
        panic!("one call is in flight");
    };
    assert_eq!(under_way.context.path(), GET);
    let id = under_way.context.id().as_str();
    assert_eq!(service.header(1, "x-call").unwrap(), id);
    drop(call);
    assert!(in_flight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_context_nothing_of_the_request_is_carried_on() {
    let service = Scripted::new([Does::Answers(Code::Ok)]);
    let stacked = stack().without_context().layer(service.clone());
    let called = call(&stacked, request(GET)).in_context(context());
    called.await.unwrap();
    assert_eq!(service.header(0, "x-request-id"), None);
    assert_eq!(service.header(0, "grpc-timeout").unwrap(), "30000000u");
}
