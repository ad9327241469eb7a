//! Hedges that are not sent, or not yet: what becomes of their number and of their price.

use std::num::NonZeroU32;
use std::pin::pin;

use mainstay_retry_backoff::{Hedge, Hedging, Outcome, TokenBucket};
use tokio::time::{Instant, timeout_at};
use tower::{Service, ServiceExt};

use crate::script::{Answer, Failure, Script, Step, judge, ms};

/// Its tokens are a hundred, and a hedge costs ten.
fn bucket() -> TokenBucket {
    TokenBucket::new(n(100), n(10)).unwrap()
}

fn hedging(attempts: u32, delay: u64, bucket: &TokenBucket) -> Hedging {
    Hedging::new(ms(delay))
        .with_attempts(n(attempts))
        .with_budget(bucket.clone())
}

fn n(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

const NOT_SENT: Answer = Err(Failure(Outcome::NotSent));
const NOT_PROCESSED: Answer = Err(Failure(Outcome::NotProcessed));

#[tokio::test(start_paused = true)]
async fn the_last_hedge_has_its_price_back_if_it_never_left() {
    for came_to_nothing in [NOT_SENT, NOT_PROCESSED] {
        let (begun, bucket) = (Instant::now(), bucket());
        let script = Script::timed([Step(ms(50), Ok(1)), Step(ms(5), came_to_nothing)]);
        let mut hedge = Hedge::new(hedging(2, 10, &bucket), judge, script);
        let mut call = pin!(hedge.ready().await.unwrap().call(7));
        assert!(timeout_at(begun + ms(12), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), 90);
        // There is no copy of it left to send.
        assert!(timeout_at(begun + ms(17), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), 100);
        assert_eq!(call.await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_hedge_has_its_own_price_back_once() {
    let bucket = bucket().with_timeout_cost(n(30)).unwrap();
    // At 0, 10, 15 and 25, where there is no copy any more when the second is seen not to have left.
    let script = Script::timed([
        Step(ms(15), Err(Failure(Outcome::timeout()))),
        Step(ms(30), NOT_SENT),
        Step(ms(60), Err(Failure(Outcome::Fatal))),
        Step(ms(100), NOT_SENT),
    ]);
    let begun = Instant::now();
    let mut hedge = Hedge::new(hedging(4, 10, &bucket), judge, script.clone());
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    for (at, tokens) in [(9, 100), (11, 90), (16, 60), (26, 30), (41, 40)] {
        assert!(timeout_at(begun + ms(at), call.as_mut()).await.is_err());
        assert_eq!(bucket.tokens(), tokens, "at {at}");
    }
    // The others were sent.
    let _ = call.await;
    assert_eq!((script.count(), bucket.tokens()), (4, 40));
}

#[tokio::test(start_paused = true)]
async fn an_answer_pays_back_what_was_to_be_sent_again() {
    for fails_with in [Ok(1), Err(Failure(Outcome::Fatal))] {
        let bucket = bucket();
        // The second never leaves at 10, four times, and would go again at 30.
        let never = Step(ms(0), NOT_SENT);
        let script = Script::timed([Step(ms(25), fails_with), never]);
        let mut hedge = Hedge::new(hedging(3, 20, &bucket), judge, script.clone());
        let mut call = pin!(hedge.ready().await.unwrap().call(7));
        let begun = Instant::now();
        assert!(timeout_at(begun + ms(24), call.as_mut()).await.is_err());
        assert_eq!((script.count(), bucket.tokens()), (5, 90));
        assert_eq!(call.as_mut().await, fails_with);
        // At once, although the future is still there.
        assert_eq!(bucket.tokens(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_other_has_what_never_left_paid_back() {
    let bucket = bucket();
    let no_other = Err(Failure(Outcome::DoNotRetry));
    let script = Script::timed([
        Step(ms(50), Ok(1)),
        Step(ms(20), no_other),
        Step(ms(0), NOT_SENT),
    ]);
    let begun = Instant::now();
    let mut hedge = Hedge::new(hedging(4, 10, &bucket), judge, script.clone());
    let mut call = pin!(hedge.ready().await.unwrap().call(7));
    assert!(timeout_at(begun + ms(29), call.as_mut()).await.is_err());
    assert_eq!(bucket.tokens(), 80);
    assert!(timeout_at(begun + ms(31), call.as_mut()).await.is_err());
    // But the second is spent: it is the one that said so.
    assert_eq!(bucket.tokens(), 90);
    assert_eq!(call.await, Ok(1));
}
