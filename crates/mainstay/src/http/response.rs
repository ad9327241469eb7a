use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use url::Url;

use super::body::Body;
use super::error::{Error, StatusError, TooLarge};
use super::retry::retry_after;

/// The answer to a request: its head, and a body that is still to be read.
#[derive(Debug)]
pub struct Response {
    response: http::Response<Body>,
    url: Url,
    max_body: usize,
}

/// Of the body of a failure: enough for a message, and for most descriptions of problems.
const PIECE: usize = 8 * 1024;

impl Response {
    pub(crate) const fn new(response: http::Response<Body>, url: Url, max_body: usize) -> Self {
        Self {
            response,
            url,
            max_body,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The version of HTTP that it came by.
    #[must_use]
    pub fn version(&self) -> Version {
        self.response.version()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The URL that was asked for, after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The same, unless its status is one of failure.
    ///
    /// # Errors
    /// [`Error::Status`] with the beginning of the body, if the status is 400 or above. What the reading
    /// of that fails with is not told: the status matters more.
    pub async fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(self);
        }
        let retry_after = retry_after(self.headers());
        let (mut body, mut piece) = (self.response.into_body(), BytesMut::new());
        while piece.len() < PIECE
            && let Some(Ok(data)) = next(&mut body).await
        {
            piece.extend_from_slice(&data[..data.len().min(PIECE - piece.len())]);
        }
        Err(Error::Status(Box::new(StatusError {
            status,
            url: self.url.into(),
            body: piece.freeze(),
            retry_after,
        })))
    }

    /// All of its body.
    ///
    /// # Errors
    /// If the connection fails before its end, the time is over, or it is longer than it
    /// [may be](crate::http::Http::with_max_body).
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let limit = self.max_body;
        let mut body = self.response.into_body();
        if body.size_hint().lower() > limit as u64 {
            return Err(Error::TooLarge(TooLarge { limit }));
        }
        let Some(first) = next(&mut body).await else {
            return Ok(Bytes::new());
        };
        let first = first?;
        // Mostly that is all, and need not be copied.
        let Some(second) = (match body.is_end_stream() {
            true => None,
            false => next(&mut body).await,
        }) else {
            return match first.len() > limit {
                true => Err(Error::TooLarge(TooLarge { limit })),
                false => Ok(first),
            };
        };
        let mut all = BytesMut::from(first);
        let mut more = Some(second);
        while let Some(data) = more {
            let data = data?;
            if all.len() + data.len() > limit {
                return Err(Error::TooLarge(TooLarge { limit }));
            }
            all.extend_from_slice(&data);
            more = next(&mut body).await;
        }
        Ok(all.freeze())
    }

    /// All of its body, as text.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes), or if it is not UTF-8.
    pub async fn text(self) -> Result<String, Error> {
        let bytes = Vec::from(self.bytes().await?);
        String::from_utf8(bytes).map_err(|it| Error::NotText(it.utf8_error()))
    }

    /// All of its body, read as JSON.
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes), or if it is not what was expected.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes().await?).map_err(Error::Json)
    }

    /// Its body, to be read piece by piece; of no more than time bounds.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.response.into_body()
    }
}

/// The next piece of data. Trailers are left out.
async fn next(body: &mut Body) -> Option<Result<Bytes, Error>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}
