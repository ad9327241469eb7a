//! The counter of go-plugin's bidirectional example: a plugin whose `Put` calls its host back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_plugin::{Broker, BrokerError, InvalidCookie, Plugin};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::counter_proto::add_helper_client::AddHelperClient;
use crate::counter_proto::add_helper_server::{AddHelper, AddHelperServer};
use crate::counter_proto::counter_client::CounterClient;
use crate::counter_proto::counter_server::{Counter, CounterServer};
use crate::counter_proto::{Empty, GetRequest, GetResponse, PutRequest, SumRequest, SumResponse};
use crate::kv::{VERSION, cookie};

/// The number under which the plugin offers an `AddHelper` of its own, from its start. This is not in
/// Go's example.
pub const OFFERED: u32 = 1000;

/// Sums in memory, which the host adds up; clones share them.
#[derive(Clone, Debug)]
pub struct Sums {
    broker: Broker,
    sums: Arc<Mutex<HashMap<String, i64>>>,
}

/// Adds.
#[derive(Clone, Copy, Debug)]
pub struct Adder;

/// The counter plugin, ready to serve.
///
/// # Errors
/// None: its cookie is right.
///
/// # Panics
/// Outside a tokio runtime.
pub fn plugin() -> Result<Plugin, InvalidCookie> {
    Ok(Plugin::brokered(cookie()?, VERSION, |broker| {
        tokio::spawn(offer(broker.clone()));
        Routes::new(CounterServer::new(Sums {
            broker,
            sums: Arc::default(),
        }))
    }))
}

/// Waits for the host, and then serves until the plugin ends.
async fn offer(broker: Broker) {
    match broker.accept(OFFERED, add_helper()).await {
        Ok(accepted) => accepted.detach(),
        Err(error) => tracing::warn!(%error, "cannot offer an AddHelper"),
    }
}

/// An `AddHelper`, to be accepted by a broker.
#[must_use]
pub fn add_helper() -> Routes {
    Routes::new(AddHelperServer::new(Adder))
}

/// The host's side of a `Put`: accepts the helper for this one call.
///
/// # Errors
/// If nothing can be accepted, or the plugin fails.
pub async fn put(
    counter: &mut CounterClient<Channel>,
    broker: &Broker,
    key: &str,
    value: i64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let helper = broker.accept(broker.next_id(), add_helper()).await?;
    let request = PutRequest {
        add_server: helper.id(),
        key: key.to_owned(),
        value,
    };
    let put = counter.put(request).await;
    helper.close().await;
    put?;
    Ok(())
}

impl Sums {
    fn get(&self, key: &str) -> Option<i64> {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.get(key).copied()
    }

    fn set(&self, key: String, sum: i64) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.insert(key, sum);
    }
}

#[tonic::async_trait]
impl Counter for Sums {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let key = request.into_inner().key;
        match self.get(&key) {
            Some(value) => Ok(Response::new(GetResponse { value })),
            None => Err(Status::not_found(format!("no sum for the key {key:?}"))),
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<Empty>, Status> {
        let PutRequest {
            add_server,
            key,
            value,
        } = request.into_inner();
        let unavailable = |error: BrokerError| Status::unavailable(error.to_string());
        let host = self.broker.dial(add_server).await.map_err(unavailable)?;
        let request = SumRequest {
            a: self.get(&key).unwrap_or_default(),
            b: value,
        };
        let sum = AddHelperClient::new(host).sum(request).await?;
        self.set(key, sum.into_inner().r);
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl AddHelper for Adder {
    async fn sum(&self, request: Request<SumRequest>) -> Result<Response<SumResponse>, Status> {
        let SumRequest { a, b } = request.into_inner();
        let r = a
            .checked_add(b)
            .ok_or_else(|| Status::out_of_range("the sum is beyond 64 bits"))?;
        Ok(Response::new(SumResponse { r }))
    }
}
