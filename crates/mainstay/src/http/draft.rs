use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body_util::Full;
use url::Url;

use super::connect::Target;
use super::connection::Request;
use super::error::{Error, Wrong};

/// A request that can be sent, once or more often.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The URL, as it is sent.
    uri: Uri,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// It may be sent twice.
    pub(crate) is_idempotent: bool,
}

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION")));

impl Draft {
    pub(crate) fn new(method: Method, url: &str) -> Result<Self, Error> {
        let url = Url::parse(url).map_err(|it| Error::invalid(Wrong::Url(it)))?;
        let (uri, target) = address(&url)?;
        Ok(Self {
            is_idempotent: method.is_idempotent(),
            method,
            url,
            uri,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    pub(crate) fn go_to(&mut self, url: Url) -> Result<(), Error> {
        (self.uri, self.target) = address(&url)?;
        self.url = url;
        Ok(())
    }

    /// As it goes over HTTP/1.1 or HTTP/2.
    pub(crate) fn request(&self, headers: HeaderMap, is_http2: bool) -> Request {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(AGENT);
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        if is_http2 {
            headers.remove(HOST);
            *request.uri_mut() = self.uri.clone();
            *request.version_mut() = Version::HTTP_2;
        } else {
            headers.entry(HOST).or_insert_with(|| {
                let authority = self.target.authority.as_str();
                HeaderValue::from_str(authority).expect("an authority is visible ASCII")
            });
            let path = self.uri.path_and_query().cloned();
            *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        }
        request
    }
}

fn address(url: &Url) -> Result<(Uri, Target), Error> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid(Wrong::Credentials));
    }
    // What comes behind the `#` is not sent.
    let sent = &url[..url::Position::AfterQuery];
    let uri: Uri = sent.parse().map_err(|it| Error::invalid(Wrong::Uri(it)))?;
    let target = Target::of(&uri).ok_or_else(|| Error::invalid(Wrong::Scheme))?;
    Ok((uri, target))
}
