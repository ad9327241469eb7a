//! The key-value service, and how hosts and plugins of it know each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_plugin::{Cookie, InvalidCookie, Plugin};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::proto::kv_server::{Kv, KvServer};
use crate::proto::{Empty, GetRequest, GetResponse, PutRequest};

/// The app protocol version of the contract.
pub const VERSION: u32 = 1;

/// Keys and values in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryKv(Arc<Mutex<HashMap<String, Vec<u8>>>>);

/// The cookie of go-plugin's examples.
///
/// # Errors
/// None: key and value are right.
pub fn cookie() -> Result<Cookie, InvalidCookie> {
    Cookie::new("BASIC_PLUGIN", "hello")
}

/// The key-value plugin, ready to serve.
///
/// # Errors
/// None: its cookie is right.
pub fn plugin() -> Result<Plugin, InvalidCookie> {
    let services = Routes::new(KvServer::new(MemoryKv::default()));
    Ok(Plugin::new(cookie()?, VERSION, services))
}

#[tonic::async_trait]
impl Kv for MemoryKv {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let key = request.into_inner().key;
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match values.get(&key) {
            Some(value) => Ok(Response::new(GetResponse {
                value: value.clone(),
            })),
            None => Err(Status::not_found(format!("no value for the key {key:?}"))),
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<Empty>, Status> {
        let PutRequest { key, value } = request.into_inner();
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(key, value);
        Ok(Response::new(Empty {}))
    }
}
