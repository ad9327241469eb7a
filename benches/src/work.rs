//! Work that can be measured: so many calls, one after the other.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tower_service::Service;

/// One caller. It holds its own handle of what the row measures, and several callers share that.
///
/// Both methods make so many calls, numbered from zero, and tell how many of them succeeded.
pub trait Caller: Send {
    /// In the calling thread.
    fn run(&mut self, calls: u64) -> u64;

    /// As a task of a runtime.
    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>>;
}

/// A caller on cache lines of its own: two that lie side by side would slow each other down by what they write to
/// themselves, and whether they do is a matter of chance.
#[repr(align(128))]
pub(crate) struct Apart<C>(pub(crate) C);

/// Calls a tower service, and drives it to readiness before each call.
#[derive(Clone)]
pub(crate) struct Tower<S>(pub(crate) S);

/// Calls a function that answers with a future.
#[derive(Clone)]
pub(crate) struct Function<C>(pub(crate) C);

/// Calls a function that answers at once, or drives its own futures.
#[derive(Clone)]
pub(crate) struct Driven<C>(pub(crate) C);

/// Polls futures in its thread. One that is ready at once costs its poll and nothing else; for any other the thread
/// is parked until it is woken.
///
/// Timers fire only where a row is run by tasks.
pub struct Driver<'a>(Context<'a>);

struct Unpark(Thread);

impl Driver<'_> {
    /// Lends a driver for this thread.
    pub fn with<T>(work: impl FnOnce(&mut Driver<'_>) -> T) -> T {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        work(&mut Driver(Context::from_waker(&waker)))
    }

    /// Runs a future to its end.
    #[inline]
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut self.0) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[inline]
    pub(crate) fn ready<S: Service<R>, R>(&mut self, service: &mut S) -> bool {
        loop {
            match service.poll_ready(&mut self.0) {
                Poll::Ready(ready) => return ready.is_ok(),
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// How many of the calls succeed; the answers are kept from the optimiser.
#[inline]
fn count<T, E>(calls: u64, mut call: impl FnMut(u64) -> Result<T, E>) -> u64 {
    let mut succeeded = 0;
    for request in 0..calls {
        succeeded += u64::from(black_box(call(black_box(request))).is_ok());
    }
    succeeded
}

impl<C: Caller> Caller for Apart<C> {
    fn run(&mut self, calls: u64) -> u64 {
        self.0.run(calls)
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        self.0.task(calls)
    }
}

impl<S> Caller for Tower<S>
where
    S: Service<u64, Future: Send> + Clone + Send + 'static,
{
    #[inline(never)]
    fn run(&mut self, calls: u64) -> u64 {
        let Self(service) = self;
        Driver::with(|driver| {
            count(calls, |request| {
                assert!(driver.ready(service), "a service that is broken for good");
                driver.run(service.call(request))
            })
        })
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        let Self(mut service) = self.clone();
        Box::pin(async move {
            let mut succeeded = 0;
            for request in 0..calls {
                let ready = poll_fn(|cx| service.poll_ready(cx)).await.is_ok();
                assert!(ready, "a service that is broken for good");
                succeeded += u64::from(service.call(request).await.is_ok());
            }
            succeeded
        })
    }
}

impl<C, F, T, E> Caller for Function<C>
where
    C: FnMut(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, E>> + Send,
{
    #[inline(never)]
    fn run(&mut self, calls: u64) -> u64 {
        let Self(call) = self;
        Driver::with(|driver| count(calls, |request| driver.run(call(request))))
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        let Self(mut call) = self.clone();
        Box::pin(async move {
            let mut succeeded = 0;
            for request in 0..calls {
                succeeded += u64::from(call(request).await.is_ok());
            }
            succeeded
        })
    }
}

impl<C, T, E> Caller for Driven<C>
where
    C: FnMut(u64, &mut Driver<'_>) -> Result<T, E> + Clone + Send + 'static,
{
    #[inline(never)]
    fn run(&mut self, calls: u64) -> u64 {
        let Self(call) = self;
        Driver::with(|driver| count(calls, |request| call(request, driver)))
    }

    fn task(&self, calls: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        let mut caller = self.clone();
        Box::pin(async move { caller.run(calls) })
    }
}

#[cfg(test)]
mod tests;
