use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, response};
use mainstay_ttl_cache::{InvalidLimits, Keep, Limits, Name, Retention, Snapshot, Ttl, TtlCache};
use tonic::Status;
use tonic::body::Body;

use crate::body::Whole;
use crate::by_name::ByName;

/// Answers of methods that give the same for some time, to be given again without a call: for
/// [`Stack::with_cache`](crate::Stack::with_cache).
///
/// An answer is found again by its method, the bytes of the message, and the metadata that is
/// [named](Self::with_key_metadata). **Who may see an answer has to be in that, if not all may.** So a call
/// that carries credentials passes the cache by, unless their name is part of the key. They are
/// `authorization`, `proxy-authorization`, `cookie`, `x-api-key`, `x-auth-token`, and
/// [others](Self::with_credentials) that you name.
///
/// Only answers with the status OK are kept. When a call fails with CANCELLED, UNKNOWN,
/// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE or DATA_LOSS, an old answer is
/// given if its [`Ttl`] says so; any other status is an answer, which all get who waited for it.
///
/// Several calls for one answer wait for one load, each until its own deadline. The load has the stack's
/// [time for a call](crate::Stack::with_timeout), also if a caller has more, and the metadata of the call that
/// began it; a panic in it is INTERNAL to all of them.
///
/// # Clone
/// Clones share the answers. So stacks around services that answer differently need a cache each.
#[derive(Clone, Debug)]
#[must_use]
pub struct AnswerCache {
    methods: ByName<Arc<Rule>>,
    key: Vec<HeaderName>,
    credentials: Vec<HeaderName>,
    cache: TtlCache<Bytes, Answer, Retained>,
}

/// How the answers of one method are kept.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The tag of its answers.
    name: Arc<str>,
    ttl: Ttl,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Whole(Arc<Copied>),
    /// There is none, and not only for now.
    Refused(Status),
    /// It is for the caller alone whose call it was.
    TooLarge,
}

/// An answer, apart from the buffers that it came in.
#[derive(Debug)]
pub(crate) struct Copied {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    message: Bytes,
    trailers: Option<HeaderMap>,
    keep: Option<Keep>,
}

/// As the answers themselves say.
#[derive(Debug)]
pub(crate) struct Retained;

/// These say in which form the answer is, beside the message.
const FORMS: [HeaderName; 3] = [
    CONTENT_TYPE,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
];

/// What an entry takes beside its message, key and metadata.
const OVERHEAD: usize = 512;

impl AnswerCache {
    /// Room for so many bytes of answers, with all that it takes to find them; the `limits` say how many
    /// answers are expected.
    ///
    /// # Errors
    /// If `bytes` is zero or greater than 2^62.
    pub fn new(bytes: u64, limits: Limits) -> Result<Self, InvalidLimits> {
        let limits = limits.with_weight(bytes)?;
        Ok(Self::over(TtlCache::new(limits, Retained)))
    }

    /// One that has a name in its events and failures.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn named(name: impl Into<Name>, bytes: u64, limits: Limits) -> Result<Self, InvalidLimits> {
        let limits = limits.with_weight(bytes)?;
        Ok(Self::over(TtlCache::named(name, limits, Retained)))
    }

    fn over(cache: TtlCache<Bytes, Answer, Retained>) -> Self {
        let others = ["x-api-key", "x-auth-token"].map(HeaderName::from_static);
        let mut credentials = vec![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
        credentials.extend(others);
        Self {
            methods: ByName::default(),
            key: FORMS.into(),
            credentials,
            cache,
        }
    }

    /// The answers of a method, named as `package.Service/Method`, are kept for so long.
    pub fn with_method(mut self, name: &str, ttl: Ttl) -> Self {
        let name = name.trim_start_matches('/');
        let rule = Rule {
            name: name.into(),
            ttl,
        };
        self.methods.insert(name, Arc::new(rule));
        self
    }

    /// Calls that differ in this metadata have different answers.
    pub fn with_key_metadata(mut self, name: HeaderName) -> Self {
        self.key.push(name);
        self
    }

    /// Calls with this metadata pass the cache by, unless it is part of the key.
    pub fn with_credentials(mut self, name: HeaderName) -> Self {
        self.credentials.push(name);
        self
    }

    /// The answers of a method are not given any more, nor those that are under way at the moment to who
    /// comes later.
    pub fn invalidate_method(&self, name: &str) {
        self.cache.invalidate_tag(name.trim_start_matches('/'));
    }

    /// No answer that was kept until now is given any more.
    pub fn invalidate_all(&self) {
        self.cache.invalidate_all();
    }

    /// What there is, and what was done; the weight is in bytes.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.cache.snapshot()
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|(name, _)| name)
    }

    pub(crate) const fn store(&self) -> &TtlCache<Bytes, Answer, Retained> {
        &self.cache
    }

    /// How an answer is to be kept; none if the call passes the cache by.
    pub(crate) fn rule(&self, path: &str, headers: &HeaderMap) -> Option<&Arc<Rule>> {
        let rule = self.methods.get(path)?;
        let gives_away = |it: &&HeaderName| headers.contains_key(*it) && !self.key.contains(it);
        self.credentials
            .iter()
            .find(gives_away)
            .is_none()
            .then_some(rule)
    }

    /// Each part has its length before it, and each value its name: so no two requests have the same key,
    /// not even of clones whose keys are made of different metadata.
    pub(crate) fn key(&self, head: &Parts, message: &Whole) -> Bytes {
        let path = head.uri.path_and_query();
        let path = path
            .map_or(head.uri.path(), PathAndQuery::as_str)
            .as_bytes();
        let mut key = Vec::with_capacity(64 + path.len() + message.len());
        push(&mut key, path);
        key.extend(self.key.len().to_le_bytes());
        for name in &self.key {
            push(&mut key, name.as_str().as_bytes());
            let values = head.headers.get_all(name);
            key.extend(values.iter().count().to_le_bytes());
            for value in values {
                push(&mut key, value.as_bytes());
            }
        }
        for chunk in message.chunks() {
            key.extend_from_slice(chunk);
        }
        key.into()
    }
}

fn push(key: &mut Vec<u8>, part: &[u8]) {
    key.extend(part.len().to_le_bytes());
    key.extend_from_slice(part);
}

/// Metadata that was read may hold all that was read with it.
fn apart(metadata: &HeaderMap) -> HeaderMap {
    let copied = |(name, value): (&HeaderName, &HeaderValue)| {
        let mut copied = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        copied.set_sensitive(value.is_sensitive());
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, copied))
    };
    let mut apart = HeaderMap::with_capacity(metadata.len());
    for (name, value) in metadata.iter().filter_map(copied) {
        apart.append(name, value);
    }
    apart
}

impl Copied {
    /// An answer that is kept by this rule, if there is one.
    pub(crate) fn new(
        head: &response::Parts,
        message: &Whole,
        rule: Option<&Rule>,
        key_size: usize,
    ) -> Self {
        let mut copied = Vec::with_capacity(message.len());
        for chunk in message.chunks() {
            copied.extend_from_slice(chunk);
        }
        let headers = apart(&head.headers);
        let trailers = message.trailers.as_ref().map(apart);
        let metadata = headers.iter().chain(trailers.iter().flatten());
        let metadata: usize = metadata
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let keep = rule.map(|rule| {
            let weight = copied.len() + metadata + key_size + OVERHEAD;
            let weight = u64::try_from(weight).ok().and_then(NonZeroU64::new);
            Keep::new(rule.ttl)
                .with_weight(weight.unwrap_or(NonZeroU64::MAX))
                .with_tag(Arc::clone(&rule.name))
        });
        Self {
            status: head.status,
            version: head.version,
            headers,
            message: copied.into(),
            trailers,
            keep,
        }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let body = Whole::new(self.message.clone(), self.trailers.clone());
        let mut response = Response::new(body.into_body());
        *response.status_mut() = self.status;
        *response.version_mut() = self.version;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

impl Retention<Answer> for Retained {
    fn keep(&self, answer: &Answer) -> Option<Keep> {
        match answer {
            Answer::Whole(answer) => answer.keep.clone(),
            Answer::Refused(_) | Answer::TooLarge => None,
        }
    }
}
