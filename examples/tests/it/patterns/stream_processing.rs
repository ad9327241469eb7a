use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stream_processing");

#[tokio::test]
async fn results_come_in_the_order_of_the_items_that_take_the_longer_the_earlier() {
    let arguments = ["--concurrency", "4", "1", "2", "4", "6", "7", "20"];
    assert_eq!(
        printed(PROGRAM, &arguments).await,
        "4\n8\n12\n40\npulled: 6\n"
    );
    assert_eq!(printed(PROGRAM, &["1", "3"]).await, "pulled: 2\n");
}

#[tokio::test]
async fn a_bad_item_does_not_end_the_stream() {
    let (results, complaint) = failed(PROGRAM, &["2", "x", "4", "1.5", "6"]).await;
    assert_eq!(
        results,
        "4\n\
         item failed: invalid digit found in string\n\
         8\n\
         item failed: invalid digit found in string\n\
         12\n\
         pulled: 5\n"
    );
    assert_eq!(complaint, "items that failed: 2");
}

#[tokio::test]
async fn a_reader_that_stops_early_leaves_the_rest_where_it_is() {
    let hundred: Vec<_> = (1..=100).map(|item| (item * 2).to_string()).collect();
    for (take, concurrency) in [(1, 2), (5, 3)] {
        let (take_, concurrency_) = (take.to_string(), concurrency.to_string());
        let mut arguments = vec!["--take", &take_, "--concurrency", &concurrency_];
        arguments.extend(hundred.iter().map(String::as_str));
        let printed = printed(PROGRAM, &arguments).await;
        let (results, pulled) = printed.trim_end().rsplit_once("\npulled: ").unwrap();
        let expected: Vec<_> = (1..=take).map(|item| (item * 4).to_string()).collect();
        assert_eq!(results, expected.join("\n"));
        let pulled: usize = pulled.parse().unwrap();
        // What was read, and what two stages have room for.
        assert!(
            (take..=take + 2 * concurrency).contains(&pulled),
            "{pulled}"
        );
    }
}
