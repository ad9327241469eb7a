use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use mainstay_circuit_breaker::Circuits;
use mainstay_conn_pool as conn_pool;
use mainstay_conn_pool::{NotDrained, Pool};
use mainstay_retry_backoff::Decision;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::body::{Body, Watch};
use super::connect::Target;
use super::connection::{Conn, Failure, Lent};
use super::draft::Draft;
use super::error::{Error, RedirectRefused, TimedOut};
use super::redirect;
use super::request::Request;
use super::response::Response;
use super::retry::{self, Retries};

/// An HTTP client with connections of its own, made by [`Http::client`](crate::http::Http::client).
///
/// Clones share everything. The connections are closed with the last of them, after the answers that are
/// still being read.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) pool: Pool<Conn, Target, conn_pool::Shared>,
    pub(crate) total_time: Duration,
    pub(crate) max_body: usize,
    pub(crate) max_redirects: u32,
    pub(crate) retries: Option<Retries>,
    pub(crate) circuits: Option<Circuits<Target>>,
    /// Requests, and answers that are not read yet.
    pub(crate) in_flight: TaskTracker,
}

impl Client {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks for what is there.
    pub fn get(&self, url: &str) -> Request {
        self.request(Method::GET, url)
    }

    /// Sends something to be acted on.
    pub fn post(&self, url: &str) -> Request {
        self.request(Method::POST, url)
    }

    /// Any request. The URL is absolute, of `http` or `https`, and has no credentials in it.
    pub fn request(&self, method: Method, url: &str) -> Request {
        Request::new(self.clone(), method, url)
    }

    /// What its connections are, and what they have done.
    #[must_use]
    pub fn snapshot(&self) -> conn_pool::Snapshot {
        self.shared.pool.snapshot()
    }

    /// Takes no more requests, waits until those that there are have been answered and the answers read
    /// or dropped, and closes the connections.
    ///
    /// # Errors
    /// If that takes longer than `within`: then all connections are closed under those who use them.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the client closed to new requests; it can be called again.
    pub async fn close(&self, within: Duration) -> Result<(), NotDrained> {
        let begun = Instant::now();
        self.shared.in_flight.close();
        // What is left then is told by the pool.
        let _ = tokio::time::timeout(within, self.shared.in_flight.wait()).await;
        let rest = within.saturating_sub(begun.elapsed());
        self.shared.pool.drain(rest).await
    }

    pub(crate) async fn send(
        &self,
        draft: Draft,
        total_time: Option<Duration>,
    ) -> Result<Response, Error> {
        let shared = &*self.shared;
        let in_flight = shared.in_flight.token();
        // In this order: who closes sees this request, or this one sees that it is closed.
        if shared.in_flight.is_closed() {
            return Err(Error::Closed);
        }
        let within = total_time.unwrap_or(shared.total_time);
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + FOR_EVER);
        let mut timer = Box::pin(sleep_until(deadline));
        let answer = {
            let mut answer = pin!(shared.redirected(draft, deadline));
            poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => timer
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(Error::TimedOut(TimedOut { within }))),
            })
            .await
        };
        let (response, draft) = answer?;
        let watch = Watch {
            timer,
            within,
            in_flight,
        };
        let response = response.map(|body| body.watched(watch));
        Ok(Response::new(response, draft, shared.max_body))
    }
}

/// As long as tokio's timers go.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// A server that takes leave of its connections may do so of several in a row that are overcrowded; one
/// that refuses more often is not well.
const REFUSALS: u32 = 10;

type Answer = http::Response<Body>;

impl Shared {
    /// Follows redirects, if it may.
    async fn redirected(
        &self,
        mut draft: Draft,
        deadline: Instant,
    ) -> Result<(Answer, url::Url), Error> {
        if self.max_redirects == 0 {
            let url = draft.url.clone();
            return Ok((self.retried(draft, deadline).await?, url));
        }
        for _ in 0..=self.max_redirects {
            let answer = self.retried(draft.clone(), deadline).await?;
            let url = draft.url.clone();
            let next = redirect::follow(draft, answer.status(), answer.headers());
            match next.map_err(Error::Redirect)? {
                Some(next) => draft = next,
                None => return Ok((answer, url)),
            }
        }
        let limit = self.max_redirects;
        Err(Error::Redirect(RedirectRefused::TooMany(limit)))
    }

    /// Tries again, if it may.
    async fn retried(&self, draft: Draft, deadline: Instant) -> Result<Answer, Error> {
        let retries = self.retries.as_ref().filter(|_| draft.is_idempotent);
        let Some(retries) = retries else {
            return self.admitted(draft).await;
        };
        let plan = retries.plan(&draft.target);
        let mut engine = plan.start(Some(deadline), Instant::now);
        loop {
            let answer = self.admitted(draft.clone()).await;
            match engine.decide(retry::outcome(&answer), Instant::now) {
                Decision::Stop(_) => return answer,
                Decision::Retry { delay } => {
                    drop(answer);
                    if !delay.is_zero() {
                        sleep(delay).await;
                    }
                    let attempt = engine.begin();
                    tracing::debug!(attempt, ?delay, "request sent again");
                }
            }
        }
    }

    /// Asks the circuit of the host, if there is one.
    async fn admitted(&self, draft: Draft) -> Result<Answer, Error> {
        let Some(circuits) = &self.circuits else {
            return self.exchanged(draft).await;
        };
        let permit = circuits.circuit(&draft.target).admit();
        let permit = permit.map_err(Error::Open)?;
        let answer = self.exchanged(draft).await;
        permit.settle(retry::verdict(&answer));
        answer
    }

    /// Sends it over a connection, and over another only if nothing of it left through the first, or the
    /// server did not look at it.
    async fn exchanged(&self, mut draft: Draft) -> Result<Answer, Error> {
        let mut refusals = 0;
        loop {
            let lease = self.pool.acquire_for(draft.target.clone()).await;
            let lent = Lent::new(lease.map_err(Error::NoConnection)?.into_owned());
            let headers = match lent.is_http2() {
                true => draft.headers.clone(),
                false => std::mem::take(&mut draft.headers),
            };
            let request = draft.request(headers, lent.is_http2());
            match lent.send(request).await {
                Ok(response) => return Ok(response.map(|body| Body::new(body, lent))),
                Err(Failure::Refused(_)) if refusals < REFUSALS => {
                    refusals += 1;
                    lent.retire();
                }
                Err(Failure::Sent(error) | Failure::Refused(error)) => {
                    return Err(Error::Failed(error));
                }
                Err(Failure::NotSent(request)) => {
                    // The server may have closed it while nobody looked. Where it closes all of them at
                    // once, the pool soon says so instead of making more.
                    lent.retire();
                    draft.headers = request.into_parts().0.headers;
                }
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("pool", &self.shared.pool)
            .field("in_flight", &self.shared.in_flight.len())
            .finish_non_exhaustive()
    }
}
