use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::BoxError;
use crate::outcome::Outcome;
use crate::registry::Exit;

type Body = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What is spawned. Fields are dropped in their order: the body is gone before its name is free,
/// whether it ended, panicked or was aborted.
pub(crate) struct Run {
    pub(crate) body: Body,
    pub(crate) exit: Exit,
}

impl Future for Run {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The body is not polled again after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| self.body.as_mut().poll(cx)));
        self.exit.outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Outcome::Completed,
            Ok(Poll::Ready(Err(error))) => Outcome::Failed(Arc::new(error)),
            Err(panic) => Outcome::Panicked(message(&*panic)),
        };
        Poll::Ready(())
    }
}

fn message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not a message").into()
}
