//! The peers' rows.

use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{TOGETHER, member, row};
use crate::group::{Role::Peer, Row};

pub(super) fn finishing() -> Vec<Row> {
    vec![
        row("tokio JoinSet", Peer, || {
            |_| async {
                let mut set = JoinSet::new();
                set.spawn(async {});
                set.join_next().await.ok_or(())?.map_err(drop)
            }
        }),
        row("tokio-util TaskTracker", Peer, || {
            let tracker = TaskTracker::new();
            move |_| {
                let tracker = tracker.clone();
                async move { tracker.spawn(async {}).await }
            }
        }),
    ]
}

pub(super) fn stopping() -> Vec<Row> {
    vec![row(
        "tokio-util TaskTracker and CancellationToken",
        Peer,
        || {
            let tracker = TaskTracker::new();
            move |_| {
                let tracker = tracker.clone();
                async move {
                    let stop = CancellationToken::new();
                    let task = tracker.spawn(stop.clone().cancelled_owned());
                    stop.cancel();
                    task.await
                }
            }
        },
    )]
}

pub(super) fn groups() -> Vec<Row> {
    vec![
        row("tokio JoinSet", Peer, || {
            |_| async {
                let mut set = JoinSet::new();
                for n in 0..TOGETHER {
                    set.spawn(async move { (n, member(n).await) });
                }
                let mut results = [None; TOGETHER as usize];
                while let Some(ended) = set.join_next().await {
                    let (n, result) = ended.map_err(drop)?;
                    results[n as usize] = Some(result?);
                }
                Ok::<_, ()>(results)
            }
        }),
        row("futures-util try_join_all", Peer, || {
            |_| try_join_all((0..TOGETHER).map(member))
        }),
    ]
}
