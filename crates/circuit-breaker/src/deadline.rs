use tokio::time::Instant;

/// Tells when the caller of a request stops waiting for it.
///
/// Closures `Fn(&Request) -> Option<Instant>` do. It is asked before each call; when the call is
/// dropped at that time or later, it is a failure, since the service did not answer in time.
pub trait Deadline<Request> {
    /// The moment after which a dropped call is a failure, if there is one.
    fn deadline(&self, request: &Request) -> Option<Instant>;
}

/// No call has a deadline: one that is dropped is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoDeadline;

impl<Request> Deadline<Request> for NoDeadline {
    fn deadline(&self, _: &Request) -> Option<Instant> {
        None
    }
}

impl<Request, F> Deadline<Request> for F
where
    F: Fn(&Request) -> Option<Instant>,
{
    fn deadline(&self, request: &Request) -> Option<Instant> {
        self(request)
    }
}
