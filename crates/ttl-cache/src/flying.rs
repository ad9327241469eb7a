//! A load on its way into the cache.

use std::{
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{
    BoxError, LoadFailed, Panicked, Retention,
    calendar::Ticket,
    desk::{Landing, Outcome},
    event,
    shared::Shared,
    tick::Tick,
};

pin_project! {
    /// What a flight polls: the user's load, and then its landing. What panics in either fails the load.
    pub(crate) struct Flying<K, V, R, F>
    where
        K: Eq,
        K: Hash,
        K: Send,
        K: Sync,
        K: 'static,
        V: Clone,
        V: Send,
        V: Sync,
        V: 'static,
        R: Retention<V>,
        R: Send,
        R: Sync,
        R: 'static,
    {
        shared: Arc<Shared<K, V, R>>,
        ticket: Ticket,
        // When it was pending for the first time: what is ready at once takes no time.
        started: Option<Tick>,
        is_landed: bool,
        // `None` at the end: it is dropped where a panic is caught.
        #[pin]
        load: Option<F>,
    }

    impl<K, V, R, F> PinnedDrop for Flying<K, V, R, F>
    where
        K: Eq,
        K: Hash,
        K: Send,
        K: Sync,
        K: 'static,
        V: Clone,
        V: Send,
        V: Sync,
        V: 'static,
        R: Retention<V>,
        R: Send,
        R: Sync,
        R: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            if !this.is_landed {
                this.shared.desk.abandon(this.ticket);
            }
        }
    }
}

impl<K, V, R, F> Flying<K, V, R, F>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
{
    pub(crate) const fn new(shared: Arc<Shared<K, V, R>>, ticket: Ticket, load: F) -> Self {
        Self {
            shared,
            ticket,
            started: None,
            is_landed: false,
            load: Some(load),
        }
    }
}

impl<K, V, R, F, E> Future for Flying<K, V, R, F>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
    F: Future<Output = Result<V, E>>,
    E: Into<BoxError>,
{
    type Output = Outcome<V>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<V>> {
        let mut this = self.project();
        let name = this.shared.name.as_ref();
        let panicked = |payload: &_| LoadFailed::new(Panicked::new(payload).into(), name);
        let load = &mut this.load;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let Some(future) = load.as_mut().as_pin_mut() else {
                unreachable!("it is polled until it has landed");
            };
            let result = ready!(future.poll(cx));
            load.set(None);
            Poll::Ready(result)
        }));
        let result = match polled {
            Ok(Poll::Pending) => {
                if this.started.is_none() {
                    *this.started = Some(this.shared.clock.exact());
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(result)) => {
                // A failure that is shared already is passed on.
                result.map_err(|it| match it.into().downcast::<LoadFailed>() {
                    Ok(failed) => *failed,
                    Err(cause) => LoadFailed::new(cause, name),
                })
            }
            Err(payload) => {
                // What is left of it may panic again.
                let _ = catch_unwind(AssertUnwindSafe(|| load.set(None)));
                Err(panicked(&*payload))
            }
        };
        if let Err(failed) = &result {
            event::failed(this.shared.name.as_deref(), failed);
        }
        *this.is_landed = true;
        let shared = &*this.shared;
        let now = shared.clock.exact();
        let took = now.since(this.started.unwrap_or(now));
        let landing = catch_unwind(AssertUnwindSafe(|| shared.landing(result, now, took)));
        let landing = landing.unwrap_or_else(|payload| Landing::Failed {
            failure: panicked(&*payload),
            kept: None,
            retry_at: now.after(shared.limits.retry_after),
        });
        // Copies of values and comparisons of keys are the user's, too.
        let landed = catch_unwind(AssertUnwindSafe(|| {
            shared.land(*this.ticket, landing, took, now)
        }));
        Poll::Ready(landed.unwrap_or_else(|payload| {
            shared.desk.abandon(*this.ticket);
            Err(panicked(&*payload))
        }))
    }
}
