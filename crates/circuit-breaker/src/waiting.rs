use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::sync::Notified;

pin_project! {
    /// The wait for a circuit that does not admit: until it moves, or until it is time to ask again.
    #[derive(Debug)]
    pub(crate) struct Waiting {
        #[pin]
        moved: Notified<'static>,
        #[pin]
        ask_at: Option<Sleep>,
    }
}

impl Waiting {
    pub(crate) fn new(moved: Notified<'static>, ask_at: Option<Instant>) -> Self {
        Self {
            moved,
            ask_at: ask_at.map(sleep_until),
        }
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.moved.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match this.ask_at.as_pin_mut() {
            Some(ask_at) => ask_at.poll(cx),
            None => Poll::Pending,
        }
    }
}
