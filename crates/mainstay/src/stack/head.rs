use http::header::{CONTENT_TYPE, TE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tokio::time::Instant;
use tonic::GrpcMethod;
use tonic::body::Body;

use crate::deadline::{Deadline, TIMEOUT};
use crate::header;

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The head of a call, which each of its attempts gets anew.
///
/// The first attempt takes the caller's own. What most calls have in it is not copied for those that
/// follow, but made again, since most calls have none.
#[derive(Debug)]
pub(crate) struct Head {
    first: Option<Parts>,
    kept: Option<Kept>,
}

/// What it takes to make the head again.
#[derive(Debug)]
struct Kept {
    method: Method,
    version: Version,
    uri: Uri,
    /// None if they are those that every call has.
    headers: Option<HeaderMap>,
    extensions: Extended,
}

#[derive(Debug)]
enum Extended {
    Nothing,
    Grpc(GrpcMethod<'static>),
    All(Extensions),
}

/// What an attempt adds to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// When it is to end, and when that was said.
    pub(crate) deadline: Option<(Deadline, Instant)>,
    /// Whether it has all the time of its call.
    pub(crate) is_whole: bool,
    /// How many have been made before.
    pub(crate) previous: u32,
}

impl Head {
    /// Keeps what is needed for further attempts only if there can be any. `has_deadline` says that each
    /// attempt will have one.
    pub(crate) fn new(head: Parts, can_be_sent_again: bool, has_deadline: bool) -> Self {
        Self {
            kept: can_be_sent_again.then(|| Kept::new(&head, has_deadline)),
            first: Some(head),
        }
    }

    /// The path of the method.
    pub(crate) fn path(&self) -> &str {
        match (&self.first, &self.kept) {
            (Some(head), _) => head.uri.path(),
            (None, Some(kept)) => kept.uri.path(),
            (None, None) => "",
        }
    }

    /// The request of an attempt; none if the head is gone.
    pub(crate) fn request(&mut self, attempt: Attempt, body: Body) -> Option<Request<Body>> {
        let is_first = self.first.is_some();
        let mut request = match self.first.take() {
            Some(head) => Request::from_parts(head, body),
            None => self.kept.as_ref()?.request(body),
        };
        let headers = request.headers_mut();
        if let Some((deadline, now)) = attempt.deadline {
            // What its caller said of it is as good as what could be said here.
            let is_said = is_first && attempt.is_whole && header::find(headers, &TIMEOUT).is_some();
            if !is_said {
                deadline.put(headers, now, attempt.is_whole);
            }
        }
        if attempt.previous > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, attempt.previous.into());
        }
        Some(request)
    }
}

impl Kept {
    /// With a deadline, what the caller said of it is said anew for each attempt.
    fn new(head: &Parts, has_deadline: bool) -> Self {
        // Without look-ups, which are dear.
        let (mut te, mut content_type) = (0, 0);
        let is_usual = head.headers.iter().all(|(name, value)| match *name {
            TE => {
                te += 1;
                value == TRAILERS
            }
            CONTENT_TYPE => {
                content_type += 1;
                value == GRPC
            }
            _ => has_deadline && name == TIMEOUT,
        });
        let is_usual = is_usual && (te, content_type) == (1, 1);
        Self {
            method: head.method.clone(),
            version: head.version,
            uri: head.uri.clone(),
            headers: (!is_usual).then(|| head.headers.clone()),
            extensions: match head.extensions.get::<GrpcMethod<'static>>() {
                Some(method) if head.extensions.len() == 1 => Extended::Grpc(method.clone()),
                _ if head.extensions.is_empty() => Extended::Nothing,
                _ => Extended::All(head.extensions.clone()),
            },
        }
    }

    fn request(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.version_mut() = self.version;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        match &self.headers {
            Some(kept) => headers.clone_from(kept),
            None => {
                headers.insert(TE, TRAILERS);
                headers.insert(CONTENT_TYPE, GRPC);
            }
        }
        match &self.extensions {
            Extended::Nothing => {}
            Extended::Grpc(method) => {
                request.extensions_mut().insert(method.clone());
            }
            Extended::All(extensions) => request.extensions_mut().clone_from(extensions),
        }
        request
    }
}

#[cfg(test)]
mod tests;
