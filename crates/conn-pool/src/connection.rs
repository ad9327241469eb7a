use std::error::Error;
use std::future::{Future, ready};
use std::num::NonZeroU32;

/// What a connection says of itself. All of it has defaults, which suit one that cannot break.
///
/// ```
/// # use mainstay_conn_pool::Connection;
/// struct Client(tokio::sync::mpsc::Sender<Vec<u8>>);
///
/// impl Connection for Client {
///     fn is_broken(&self) -> bool {
///         self.0.is_closed()
///     }
/// }
/// ```
pub trait Connection: Send + 'static {
    /// Whether it is of no use any more. Asked when it is lent without a wait, when it is given back,
    /// and [once a second](crate::Times::with_sweep_every) while nobody has it, so it must be quick.
    fn is_broken(&self) -> bool {
        false
    }

    /// Whether it can take another request although one was dropped half-way, or failed: true of one
    /// that carries many at once, and keeps them apart.
    fn is_reusable(&self) -> bool {
        false
    }

    /// To how many it can be lent at a time. Asked once, when it is made; the pool lends it to no more
    /// than [it lends any](crate::PoolLayer::shared), so a pool of [`Whole`](crate::Whole) ones to one.
    ///
    /// For connections of which it is known only when they are made whether they can be shared: what the
    /// last one to a target said is expected of the next, of the first that it is shared as the pool
    /// shares.
    fn max_leases(&self) -> NonZeroU32 {
        NonZeroU32::MAX
    }

    /// Finds out whether the other side still answers, while nobody else has it.
    ///
    /// Of one that is [`Shared`](crate::Shared) [`check_shared`](Self::check_shared) is called instead:
    /// one that has only this passes every check then.
    fn check(&mut self) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send {
        ready(Ok(()))
    }

    /// As [`check`](Self::check), for one that is [`Shared`](crate::Shared), while others have it. It is
    /// never called of one that is [`Whole`](crate::Whole).
    fn check_shared(
        &self,
    ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send {
        ready(Ok(()))
    }

    /// Takes leave of the other side, once nobody has it. Whatever is left then is done by `Drop`.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        drop(self);
        ready(())
    }

    /// Ends what can be ended while others still have it: called for one that is
    /// [`Shared`](crate::Shared) when the time to drain is over. It is dropped by the last who has it.
    /// It must be quick: the pool does nothing else meanwhile.
    fn abort(&self) {}
}
