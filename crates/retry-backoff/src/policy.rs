use std::fmt;

use tokio::time::Instant;

use crate::outcome::Outcome;

/// What has this attempt come to, and may its request be sent again?
///
/// Any `Fn(&Result<Res, E>) -> Outcome` is a policy for requests that are [`Clone`], and
/// [`EveryError`] is one. Implement the trait to decide by the request, or to look at what is sent
/// and what is received.
///
/// Each request gets a clone of the policy: what must be remembered from attempt to attempt of one
/// request may stand in fields.
///
/// ```
/// use mainstay_retry_backoff::{Outcome, Policy};
///
/// #[derive(Clone, Debug)]
/// struct Numbered;
///
/// struct Request { is_idempotent: bool, attempt: u32 }
/// struct Failure { is_lasting: bool }
///
/// impl<Res> Policy<Request, Res, Failure> for Numbered {
///     fn judge(&mut self, _: Option<&mut Request>, result: &mut Result<Res, Failure>, _: u32) -> Outcome {
///         match result {
///             Ok(_) => Outcome::Success,
///             Err(failure) if failure.is_lasting => Outcome::Fatal,
///             Err(_) => Outcome::transient(),
///         }
///     }
///
///     fn copy(&mut self, request: &Request) -> Option<Request> {
///         request.is_idempotent.then_some(Request { ..*request })
///     }
///
///     fn prepare(&mut self, request: &mut Request, attempt: u32) {
///         request.attempt = attempt;
///     }
/// }
/// ```
pub trait Policy<Req, Res, E> {
    /// What the attempt of this number has come to; the first one is 1.
    ///
    /// `request` is the copy that the next attempt would send, if one can be sent. Both it and the
    /// result may be replaced.
    fn judge(
        &mut self,
        request: Option<&mut Req>,
        result: &mut Result<Res, E>,
        attempt: u32,
    ) -> Outcome;

    /// A copy to send again; `None` if this request must not be, or cannot.
    ///
    /// Asked before each attempt that another may follow, and not when none may: for the last one
    /// only if the plan says
    /// [`with_transparent_retries`](crate::Plan::with_transparent_retries).
    fn copy(&mut self, request: &Req) -> Option<Req>;

    /// Makes the request ready for the attempt of this number, the first one included.
    fn prepare(&mut self, request: &mut Req, attempt: u32) {
        let _ = (request, attempt);
    }

    /// How long the caller of this request waits: every other attempt begins before.
    fn deadline(&self, request: &Req) -> Option<Instant> {
        let _ = request;
        None
    }
}

/// Retries whatever failed; each `Ok` is a success.
///
/// For services whose errors all may pass, and requests that may be carried out twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EveryError;

/// A policy, and which requests may be sent again. See
/// [`RetryLayer::only_if`](crate::RetryLayer::only_if).
#[derive(Clone, Copy)]
pub struct OnlyIf<P, F> {
    pub(crate) policy: P,
    pub(crate) may_retry: F,
}

/// A policy, and where a request's deadline stands. See
/// [`RetryLayer::with_deadline`](crate::RetryLayer::with_deadline).
#[derive(Clone, Copy)]
pub struct WithDeadline<P, D> {
    pub(crate) policy: P,
    pub(crate) deadline: D,
}

impl<F, Req, Res, E> Policy<Req, Res, E> for F
where
    F: Fn(&Result<Res, E>) -> Outcome,
    Req: Clone,
{
    fn judge(&mut self, _: Option<&mut Req>, result: &mut Result<Res, E>, _: u32) -> Outcome {
        self(result)
    }

    fn copy(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<Req: Clone, Res, E> Policy<Req, Res, E> for EveryError {
    fn judge(&mut self, _: Option<&mut Req>, result: &mut Result<Res, E>, _: u32) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::transient(),
        }
    }

    fn copy(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<P, F, Req, Res, E> Policy<Req, Res, E> for OnlyIf<P, F>
where
    P: Policy<Req, Res, E>,
    F: Fn(&Req) -> bool,
{
    fn judge(
        &mut self,
        request: Option<&mut Req>,
        result: &mut Result<Res, E>,
        attempt: u32,
    ) -> Outcome {
        self.policy.judge(request, result, attempt)
    }

    fn copy(&mut self, request: &Req) -> Option<Req> {
        if (self.may_retry)(request) {
            self.policy.copy(request)
        } else {
            None
        }
    }

    fn prepare(&mut self, request: &mut Req, attempt: u32) {
        self.policy.prepare(request, attempt);
    }

    fn deadline(&self, request: &Req) -> Option<Instant> {
        self.policy.deadline(request)
    }
}

impl<P, D, Req, Res, E> Policy<Req, Res, E> for WithDeadline<P, D>
where
    P: Policy<Req, Res, E>,
    D: Fn(&Req) -> Option<Instant>,
{
    fn judge(
        &mut self,
        request: Option<&mut Req>,
        result: &mut Result<Res, E>,
        attempt: u32,
    ) -> Outcome {
        self.policy.judge(request, result, attempt)
    }

    fn copy(&mut self, request: &Req) -> Option<Req> {
        self.policy.copy(request)
    }

    fn prepare(&mut self, request: &mut Req, attempt: u32) {
        self.policy.prepare(request, attempt);
    }

    fn deadline(&self, request: &Req) -> Option<Instant> {
        match (self.policy.deadline(request), (self.deadline)(request)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

impl<P: fmt::Debug, F> fmt::Debug for OnlyIf<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnlyIf")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<P: fmt::Debug, F> fmt::Debug for WithDeadline<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDeadline")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
