use std::future::pending;

use mainstay_examples::kv;
use mainstay_examples::proto::kv_server::{Kv, KvServer};
use mainstay_examples::proto::{Empty, GetRequest, GetResponse, PutRequest};
use mainstay_plugin::{InvalidCookie, Plugin};
use rand::random_ratio;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Of so many calls one is answered with UNAVAILABLE.
///
/// gRPC's throttle gives up on retries for a while if more than one call in eleven fails, and this is
/// far enough from it for a few failures in a row.
pub(crate) const FAILS_ONE_OF: u32 = 200;

/// Of so many calls one is never answered.
pub(crate) const HANGS_ONE_OF: u32 = 1_000;

/// A key-value service that cannot be relied upon: the value of each key is its name, if there is an
/// answer.
struct Unreliable {
    is_faulty: bool,
}

/// The plugin, ready to serve.
pub(crate) fn plugin(is_faulty: bool) -> Result<Plugin, InvalidCookie> {
    let services = Routes::new(KvServer::new(Unreliable { is_faulty }));
    Ok(Plugin::new(kv::cookie()?, kv::VERSION, services))
}

#[tonic::async_trait]
impl Kv for Unreliable {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        if self.is_faulty {
            if random_ratio(1, FAILS_ONE_OF) {
                return Err(Status::unavailable("out of order"));
            }
            if random_ratio(1, HANGS_ONE_OF) {
                pending::<()>().await;
            }
        }
        let value = request.into_inner().key.into_bytes();
        Ok(Response::new(GetResponse { value }))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("the values are given"))
    }
}
