use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::{Extensions, Method};
use tokio::time::Instant;

use crate::{Id, TraceContext, scope, text::Text};

/// What is known of a request, wherever the work for it has got to.
///
/// It does not change: what is added makes another one, for a scope of its own. A clone is a reference
/// to the same.
#[derive(Clone)]
pub struct RequestContext(Arc<Record>);

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) id: Id,
    /// [`Id::UNKNOWN`] if it is not known.
    pub(crate) client: Id,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) method: Method,
    pub(crate) path: Path,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) fields: Option<Arc<Extensions>>,
}

/// A path of ordinary length; longer ones are cut.
pub(crate) type Path = Text<128>;

impl RequestContext {
    /// One for work that no layer has given one: with this id, begun now, and nothing else.
    #[must_use]
    pub fn new(id: Id) -> Self {
        Self::begun(Instant::now(), |it| it.id = id)
    }

    /// It is filled in where it stays: what is written piece by piece is slow to be moved on.
    #[inline]
    pub(crate) fn begun(started: Instant, fill_in: impl FnOnce(&mut Record)) -> Self {
        let mut record = Arc::new(Record {
            id: Id::UNKNOWN,
            client: Id::UNKNOWN,
            peer: None,
            started,
            deadline: None,
            method: Method::GET,
            path: Path::EMPTY,
            trace: None,
            fields: None,
        });
        fill_in(Arc::get_mut(&mut record).expect("nobody else has it yet"));
        Self(record)
    }

    /// That of the innermost scope that this runs in: of a layer, or one that was opened by hand.
    ///
    /// Tasks that are spawned begin without one, unless it is [given to them](crate::InContext).
    #[must_use]
    #[inline]
    pub fn current() -> Option<Self> {
        scope::current(Self::clone)
    }

    /// The request's id: as it came, or made where it did not or was no [`Id`].
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.0.id
    }

    /// Who calls, by its own word: it is for authentication to prove that.
    #[must_use]
    pub fn client(&self) -> Option<&Id> {
        self.0.client.known()
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// When the request came.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// When the caller gives up.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long it is until then, zero if it is past.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.0.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// The method of HTTP: of gRPC calls, `POST`.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The path without its query, of gRPC calls service and method. The first 128 bytes of it; with
    /// a `?` for each byte that is not visible ASCII, or is a quote or a backslash. Empty where
    /// there was no request.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path.as_str()
    }

    /// The trace that it belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.trace.as_ref()
    }

    /// What was [added](Self::with_field) of this type.
    #[must_use]
    pub fn field<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.fields.as_ref()?.get()
    }

    /// With a value of the user's, in place of one of the same type.
    #[must_use]
    pub fn with_field<T: Clone + Send + Sync + 'static>(self, field: T) -> Self {
        self.with(|it| {
            let mut fields = it.fields.take().unwrap_or_default();
            Arc::make_mut(&mut fields).insert(field);
            it.fields = Some(fields);
        })
    }

    /// With another client, for example the one that authentication has found.
    #[must_use]
    pub fn with_client(self, client: Id) -> Self {
        self.with(|it| it.client = client)
    }

    /// With this deadline, unless it has an earlier one: nobody gives more time than there is.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        self.with(|it| it.deadline = earlier(it.deadline, Some(deadline)))
    }

    /// With a deadline that is so far from now, unless it has an earlier one. One that is too far to be
    /// told is none.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        let deadline = Instant::now().checked_add(timeout);
        self.with(|it| it.deadline = earlier(it.deadline, deadline))
    }

    /// Without a deadline: for work that outlives the request that it was begun for.
    #[must_use]
    pub fn without_deadline(self) -> Self {
        self.with(|it| it.deadline = None)
    }

    /// With another trace, for example from a tracer.
    #[must_use]
    pub fn with_trace(self, trace: impl Into<Option<TraceContext>>) -> Self {
        let trace = trace.into();
        self.with(|it| it.trace = trace)
    }

    #[inline]
    pub(crate) fn record(&self) -> &Record {
        &self.0
    }

    fn with(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fields are the user's, and may be secret.
        f.debug_struct("RequestContext")
            .field("id", &self.0.id)
            .field("client", &self.client())
            .field("peer", &self.0.peer)
            .field("deadline", &self.0.deadline)
            .field("method", &self.0.method)
            .field("path", &self.0.path)
            .field("trace", &self.0.trace)
            .finish_non_exhaustive()
    }
}

/// When the caller of the [current](RequestContext::current) request gives up. `None` if that is not
/// known, or there is no request.
///
/// What other layers ask: `|_: &_| deadline()` is a closure that tells them.
#[must_use]
#[inline]
pub fn deadline() -> Option<Instant> {
    scope::current(|it| it.0.deadline)?
}

/// How long it is until the [`deadline`], zero if it is past.
#[must_use]
pub fn remaining() -> Option<Duration> {
    Some(deadline()?.saturating_duration_since(Instant::now()))
}

#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
