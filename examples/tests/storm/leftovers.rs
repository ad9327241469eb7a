//! A host that ends its runtime without a word to its plugins.

use std::time::{Duration, Instant};

use mainstay_examples::trial_proto::ReadRequest;
use tokio::runtime::Runtime;

use crate::fleet::{Fleet, started_with};

/// What it takes to kill a process and to reap it, on a machine that has a lot else to do.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn no_process_outlives_the_runtime_of_its_host() {
    let ends: [(&str, fn(Runtime)); 3] = [
        ("dropped", drop),
        ("shut down", |it| {
            it.shutdown_timeout(Duration::from_secs(1))
        }),
        ("left to itself", Runtime::shutdown_background),
    ];
    for (how, end) in ends {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let dir = runtime.block_on(async {
            let fleet = Fleet::new().await;
            for _ in 0..4 {
                let mut client = fleet.client();
                tokio::spawn(async move {
                    let request = ReadRequest {
                        milliseconds: 60_000,
                        answer_size: 0,
                    };
                    client.read(request).await
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(started_with(fleet.dir.path()).len(), 2);
            fleet.dir
        });
        end(runtime);
        let begun = Instant::now();
        while !started_with(dir.path()).is_empty() {
            assert!(
                begun.elapsed() < SOON,
                "some are left of a runtime that was {how}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("{how}: gone after {:?}", begun.elapsed());
    }
}
