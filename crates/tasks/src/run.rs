use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::BoxError;
use crate::outcome::Outcome;
use crate::registry::Exit;

/// What is spawned. Fields are dropped in their order: the body is gone before its name is free,
/// whether it ended, panicked or was aborted.
pub(crate) struct Run {
    pub(crate) body: Caught,
    pub(crate) exit: Exit,
}

/// A future whose panics are its outcome.
pub(crate) struct Caught(Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>);

impl Caught {
    pub(crate) fn new(body: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self(Some(Box::pin(body)))
    }
}

impl Future for Run {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.exit.outcome = ready!(Pin::new(&mut self.body).poll(cx));
        Poll::Ready(())
    }
}

impl Future for Caught {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = catching(|| match &mut self.0 {
            Some(body) => body.as_mut().poll(cx),
            None => Poll::Pending, // it has ended
        });
        let mut outcome = ready!(outcome.unwrap_or_else(Poll::Ready));
        // Its destructors may panic, too.
        if let Err(panicked) = catching(|| self.0 = None) {
            outcome = panicked;
        }
        Poll::Ready(outcome)
    }
}

/// What this returns, or how it panicked.
pub(crate) fn catching<T>(f: impl FnOnce() -> T) -> Result<T, Outcome> {
    // What has panicked is only dropped after that.
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| Outcome::Panicked(message(&*panic)))
}

pub(crate) fn outcome_of(result: Result<(), BoxError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Completed,
        Err(error) => Outcome::Failed(Arc::new(error)),
    }
}

fn message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not a message").into()
}
