//! A plugin that is kept running, in so many processes: a pool whose connections are processes.

mod launch;
mod roster;
mod running;
mod supervisor;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use mainstay_conn_pool::{
    self as pool, AcquireError, Dispatch, LentBody, NotDrained, Pool, Read, Shared,
};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::StdError as BoxError;
use tower_service::Service;

use self::roster::Roster;
use self::running::Running;
use crate::connection;

pub use launch::NotCallable;
pub use roster::InstanceSnapshot;
pub use supervisor::Supervisor;

/// The running instances of a plugin, from a [`Supervisor`]: a service that sends each request to the
/// one that has the fewest under way.
///
/// One that dies is replaced, as is one that fails its health check; calls go to the others meanwhile,
/// or wait. Put a [`Stack`](crate::Stack) around it to have those tried again that were under way.
///
/// # Readiness
/// It is ready when it has an instance, which is then one call the busier; when it waited for one for
/// too long the call fails with the reason.
///
/// # Clone
/// Clones share the instances. With the last of them, and of the answers that come from them, the
/// plugin is stopped, in the background.
///
/// # Errors
/// [`BackendDown`](pool::BackendDown), with why the plugin does not start; [`TimedOut`](pool::TimedOut)
/// and [`Closed`](pool::Closed); and those of hyper.
#[derive(Clone)]
pub struct Instances {
    pool: Pool<Running, (), Shared>,
    dispatch: Dispatch<Running, Shared, Read>,
    roster: Roster,
}

/// The instances of a plugin at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstancesSnapshot {
    /// The pool that they are.
    pub pool: pool::Snapshot,
    /// Those whose processes run, the oldest first; those among them too that are about to end.
    pub running: Vec<InstanceSnapshot>,
}

/// The future of [`Instances`].
#[must_use = "futures do nothing unless polled"]
pub struct InstanceCall(pool::future::ResponseFuture<connection::Call, Running, Shared, Read>);

/// The body of an answer from one of the [`Instances`]; until it has ended the instance is busy with it.
pub struct InstanceBody(LentBody<Incoming, Running, Shared>);

impl Instances {
    fn new(pool: Pool<Running, (), Shared>, roster: Roster) -> Self {
        Self {
            dispatch: pool.dispatch().until_read(),
            pool,
            roster,
        }
    }

    /// Waits until all instances run.
    ///
    /// # Errors
    /// As soon as one fails to start, with the reason: what it printed and its last lines of stderr
    /// included. More are started in the background nevertheless.
    pub async fn ready(&self) -> Result<(), AcquireError> {
        self.pool.warm_up().await
    }

    /// A rolling restart: each instance is replaced by a new one, one after the other, and goes when
    /// its calls are done. Returns at once.
    pub fn restart(&self) {
        self.pool.replace_all();
    }

    /// Stops the plugin: there are no more calls, and those under way may end within this time; then
    /// they are broken off. Returns when all processes have ended, which takes as long again as the
    /// launcher gives them to stop, and two seconds, if they do not.
    ///
    /// # Errors
    /// If calls had to be broken off.
    ///
    /// # Cancel safety
    /// Dropped, it leaves no instance to be called; each is stopped when its calls are done, in the
    /// background.
    pub async fn drain(&self, within: Duration) -> Result<(), NotDrained> {
        let drained = self.pool.drain(within).await;
        // One that is stuck in the kernel does not end at all.
        let _ = timeout(supervisor::CLOSE_WITHIN, self.roster.is_empty()).await;
        match drained {
            Err(error) if error.sizes().lent > 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// How they are, and what has become of them.
    #[must_use]
    pub fn snapshot(&self) -> InstancesSnapshot {
        InstancesSnapshot {
            pool: self.pool.snapshot(),
            running: self.roster.snapshot(),
        }
    }
}

impl Service<Request<Body>> for Instances {
    type Response = Response<InstanceBody>;
    type Error = BoxError;
    type Future = InstanceCall;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.dispatch, cx)
    }

    fn call(&mut self, request: Request<Body>) -> InstanceCall {
        InstanceCall(self.dispatch.call(request))
    }
}

impl Future for InstanceCall {
    type Output = Result<Response<InstanceBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.0).poll(cx))?;
        Poll::Ready(Ok(response.map(InstanceBody)))
    }
}

impl http_body::Body for InstanceBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instances").field(&self.snapshot()).finish()
    }
}

impl fmt::Debug for InstanceCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceCall").finish_non_exhaustive()
    }
}

impl fmt::Debug for InstanceBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
