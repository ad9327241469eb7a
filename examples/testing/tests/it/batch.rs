use std::convert::Infallible;
use std::time::Duration;

use mainstay_batch::{Concurrency, map_concurrent};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn ten_items_three_at_once_take_four_rounds_and_stay_in_order() {
    let start = Instant::now();
    let three = Concurrency::new(3).unwrap();
    let doubled = map_concurrent(0..10, three, async |item| {
        sleep(Duration::from_millis(100)).await;
        Ok::<u32, Infallible>(item * 2)
    });
    assert_eq!(
        doubled.try_collect().await.unwrap(),
        [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    );
    assert_eq!(start.elapsed(), Duration::from_millis(400));
}
