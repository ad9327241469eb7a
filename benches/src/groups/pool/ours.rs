//! Our own rows, by the defaults.

use std::{convert::Infallible, future::Future, num::NonZeroU32};

use mainstay_conn_pool::{self as pool, Lending, Limits, Pool, PoolLayer, Shared, Whole};
use tower::{Layer, service_fn};

use super::{Connection, Lends, SIZE, row};
use crate::group::{Role::Ours, Row};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("mainstay", Ours, whole),
        row("mainstay, 2 shared by 4", Ours, shared),
    ]
}

impl pool::Connection for Connection {}

pub(super) fn whole() -> Pool<Connection, (), Whole> {
    PoolLayer::new(limits(SIZE)).layer(connector())
}

pub(super) fn shared() -> Pool<Connection, (), Shared> {
    PoolLayer::new(limits(SIZE / 4))
        .shared(number(4))
        .layer(connector())
}

fn connector()
-> impl tower::Service<(), Response = Connection, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(async |()| Ok(Connection::default()))
}

fn limits(max_size: usize) -> Limits {
    Limits::new(number(max_size))
}

fn number(number: usize) -> NonZeroU32 {
    NonZeroU32::new(number as u32).expect("not zero")
}

impl<L: Lending<Connection>> Lends for Pool<Connection, (), L> {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(lease) = self.acquire().await else {
            return false;
        };
        meanwhile.await;
        drop(lease);
        true
    }
}
