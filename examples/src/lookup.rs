//! A request that is answered from three lookups at once: it takes as long as the slowest of them, and if
//! one fails the others are cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tonic::{Request, Response, Status};

use crate::lookup_proto::lookup_server::Lookup;
use crate::lookup_proto::{self as proto, CountsRequest, CountsResponse};

/// The user that has no permission to anything.
pub const STRANGER: &str = "stranger";

/// How long the three take, which stand for calls over a network.
pub const DATA: Duration = Duration::from_millis(1000);
/// See [`DATA`].
pub const PERMISSION: Duration = Duration::from_millis(500);
/// See [`DATA`].
pub const QUOTA: Duration = Duration::from_millis(200);

/// Looks things up; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Directory {
    async fn data(&self, id: &str) -> Result<String, Status> {
        self.look_up(DATA).await;
        Ok(format!("what is known of {id}"))
    }

    async fn permission(&self, user: &str) -> Result<bool, Status> {
        self.look_up(PERMISSION).await;
        if user == STRANGER {
            return Err(Status::permission_denied(format!("{user} may not ask")));
        }
        Ok(true)
    }

    async fn quota(&self, _user: &str) -> Result<bool, Status> {
        self.look_up(QUOTA).await;
        Ok(true)
    }

    async fn look_up(&self, takes: Duration) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        sleep(takes).await;
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl Lookup for Directory {
    async fn process(
        &self,
        request: Request<proto::Request>,
    ) -> Result<Response<proto::Response>, Status> {
        let proto::Request { id, user } = request.into_inner();
        // With the first failure, or when the caller gives up, all three are dropped.
        let (data, authorized, quota_ok) =
            tokio::try_join!(self.data(&id), self.permission(&user), self.quota(&user))?;
        Ok(Response::new(proto::Response {
            data,
            authorized,
            quota_ok,
        }))
    }

    async fn counts(&self, _: Request<CountsRequest>) -> Result<Response<CountsResponse>, Status> {
        Ok(Response::new(CountsResponse {
            begun: self.0.begun.load(Ordering::Relaxed),
            ended: self.0.ended.load(Ordering::Relaxed),
        }))
    }
}
