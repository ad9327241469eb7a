use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mainstay_tasks::Shutdown;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::deadline::{Expired, Whose};
use crate::refusal;

/// When a call ends, whatever it has come to: at its deadline, or when the server cannot wait for it any
/// longer.
pub(super) struct End {
    began: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Mostly work of the shutdown, which waits for it to be dropped.
    overdue: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl End {
    /// One that `lasts` for as long as its caller likes is no work: it ends when nothing new is accepted.
    pub(super) fn new(
        began: Instant,
        deadline: Option<Instant>,
        shutdown: Option<&Shutdown>,
        lasts: bool,
    ) -> Self {
        Self {
            began,
            deadline: deadline.map(|it| Box::pin(sleep_until(it))),
            overdue: shutdown.map(|it| {
                if lasts {
                    return Box::pin(it.stopping().cancelled_owned()) as _;
                }
                let work = it.work();
                Box::pin(async move { work.overdue().await }) as _
            }),
        }
    }

    /// Fails if the time was over before anything was done.
    pub(super) fn check(&self) -> Result<(), Status> {
        match &self.deadline {
            Some(it) if it.deadline() <= self.began => Err(self.late(it.deadline())),
            _ => Ok(()),
        }
    }

    /// What the caller is told when the call is to end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let deadline = deadline.deadline();
            return Poll::Ready(self.late(deadline));
        }
        if let Some(overdue) = &mut self.overdue
            && overdue.as_mut().poll(cx).is_ready()
        {
            self.overdue = None;
            return Poll::Ready(Status::unavailable(
                "the server ends, and cannot wait longer",
            ));
        }
        Poll::Pending
    }

    fn late(&self, deadline: Instant) -> Status {
        let expired = Expired {
            whose: Whose::Call,
            within: deadline.saturating_duration_since(self.began),
        };
        refusal::status(&refusal::of(&expired), Box::new(expired))
    }
}
