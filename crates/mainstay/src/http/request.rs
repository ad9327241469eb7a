use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use super::client::Client;
use super::draft::Draft;
use super::error::{Error, Wrong};
use super::response::Response;

/// A request that is being made. What is wrong with it, [`send`](Self::send) says.
#[must_use = "it is not sent until `send` is called"]
pub struct Request {
    client: Client,
    draft: Result<Draft, Error>,
    total_time: Option<Duration>,
}

impl Request {
    pub(crate) fn new(client: Client, method: Method, url: &str) -> Self {
        Self {
            client,
            draft: Draft::new(method, url),
            total_time: None,
        }
    }

    /// A header beside those that there are. `User-Agent` and `Accept` are set unless you do, `Host` and
    /// `Content-Length` always.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|draft| {
            let wrong = |it| Error::invalid(Wrong::Header(it));
            let name = name.try_into().map_err(|it| wrong(it.into()))?;
            let value = value.try_into().map_err(|it| wrong(it.into()))?;
            draft.headers.append(name, value);
            Ok(())
        })
    }

    /// What is sent with it.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.change(|draft| {
            draft.body = body.into();
            Ok(())
        })
    }

    /// The same, as JSON, with a `Content-Type` that says so unless there is one.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.change(|draft| {
            let json = serde_json::to_vec(value);
            draft.body = json.map_err(|it| Error::invalid(Wrong::Json(it)))?.into();
            let is_json = HeaderValue::from_static("application/json");
            draft.headers.entry(CONTENT_TYPE).or_insert(is_json);
            Ok(())
        })
    }

    /// Says whether it may be sent twice, whatever its method: true of a POST with a key by which the
    /// server knows it again. Only such requests are retried.
    pub fn idempotent(self, is_idempotent: bool) -> Self {
        self.change(|draft| {
            draft.is_idempotent = is_idempotent;
            Ok(())
        })
    }

    /// How long it may take all in all, the reading of the answer included, instead of
    /// [what the client says](crate::http::Http::with_total_time).
    pub const fn total_time(mut self, total_time: Duration) -> Self {
        self.total_time = Some(total_time);
        self
    }

    /// Sends it, and waits for the head of the answer. An answer of whatever status is one; see
    /// [`Response::error_for_status`].
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// # Cancel safety
    /// Dropped, it closes the HTTP/1.1 connection that it uses, or resets its stream of HTTP/2. The server
    /// may have acted on it.
    pub async fn send(self) -> Result<Response, Error> {
        self.client.send(self.draft?, self.total_time).await
    }

    fn change(mut self, change: impl FnOnce(&mut Draft) -> Result<(), Error>) -> Self {
        if let Ok(draft) = &mut self.draft
            && let Err(error) = change(draft)
        {
            self.draft = Err(error);
        }
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("draft", &self.draft)
            .field("total_time", &self.total_time)
            .finish_non_exhaustive()
    }
}
