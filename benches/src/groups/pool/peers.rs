//! The peers' rows, with the limits and deadlines that ours have by default, where they have such things.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use asyncband::pool::{ManageObject, ObjectStatus, bounded};
use deadpool::managed;

use super::{
    Connection, Lends, SIZE, row,
    waits::{Waits, measure},
};
use crate::group::{Role::Peer, Row};

const WITHIN: Duration = Duration::from_secs(5);

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("deadpool", Peer, deadpool),
        row("bb8", Peer, bb8),
        row("mobc", Peer, mobc),
        row("asyncband", Peer, asyncband),
    ]
}

pub(super) fn waits() -> Vec<fn(usize) -> Waits> {
    vec![
        |workers| measure("deadpool", deadpool, workers),
        |workers| measure("bb8", bb8, workers),
        |workers| measure("mobc", mobc, workers),
        |workers| measure("asyncband", asyncband, workers),
    ]
}

/// Makes connections, for all of them.
#[derive(Debug)]
struct Maker;

fn deadpool() -> managed::Pool<Maker> {
    managed::Pool::builder(Maker)
        .max_size(SIZE)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(WITHIN))
        .build()
        .expect("it has a runtime")
}

impl managed::Manager for Maker {
    type Type = Connection;
    type Error = Infallible;

    async fn create(&self) -> Result<Connection, Infallible> {
        Ok(Connection::default())
    }

    async fn recycle(
        &self,
        _: &mut Connection,
        _: &managed::Metrics,
    ) -> managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl Lends for managed::Pool<Maker> {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(mut lent) = self.get().await else {
            return false;
        };
        lent.0[0] += 1;
        meanwhile.await;
        true
    }
}

fn bb8() -> bb8::Pool<Maker> {
    bb8::Pool::builder()
        .max_size(SIZE as u32)
        .connection_timeout(WITHIN)
        .test_on_check_out(false)
        .build_unchecked(Maker)
}

impl bb8::ManageConnection for Maker {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self) -> Result<Connection, Infallible> {
        Ok(Connection::default())
    }

    async fn is_valid(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

impl Lends for bb8::Pool<Maker> {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(mut lent) = self.get().await else {
            return false;
        };
        lent.0[0] += 1;
        meanwhile.await;
        true
    }
}

fn mobc() -> mobc::Pool<Maker> {
    mobc::Pool::builder()
        .max_open(SIZE as u64)
        .max_idle(SIZE as u64)
        .get_timeout(Some(WITHIN))
        .build(Maker)
}

#[mobc::async_trait]
impl mobc::Manager for Maker {
    type Connection = Connection;
    type Error = Infallible;

    async fn connect(&self) -> Result<Connection, Infallible> {
        Ok(Connection::default())
    }

    async fn check(&self, connection: Connection) -> Result<Connection, Infallible> {
        Ok(connection)
    }
}

impl Lends for mobc::Pool<Maker> {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(mut lent) = self.get().await else {
            return false;
        };
        lent.0[0] += 1;
        meanwhile.await;
        true
    }
}

fn asyncband() -> Arc<bounded::Pool<Maker>> {
    bounded::Pool::new(bounded::PoolConfig::new(SIZE), Maker)
}

impl ManageObject for Maker {
    type Object = Connection;
    type Error = Infallible;

    async fn create(&self) -> Result<Connection, Infallible> {
        Ok(Connection::default())
    }

    async fn is_recyclable(&self, _: &mut Connection, _: &ObjectStatus) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Lends for Arc<bounded::Pool<Maker>> {
    async fn cycle(&self, meanwhile: impl Future<Output = ()> + Send) -> bool {
        let Ok(mut lent) = self.get().await;
        lent.0[0] += 1;
        meanwhile.await;
        true
    }
}
