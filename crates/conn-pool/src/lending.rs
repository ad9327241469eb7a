use std::error::Error;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use crate::connection::Connection;

/// A connection is lent to one at a time, who may change it.
#[derive(Clone, Copy, Debug)]
pub enum Whole {}

/// A connection is lent to many at once, who share it.
#[derive(Clone, Copy, Debug)]
pub enum Shared {}

/// How connections are lent: [`Whole`] or [`Shared`].
pub trait Lending<C>: sealed::Lending<C> {}

impl<C: Connection> Lending<C> for Whole {}

impl<C: Connection + Sync> Lending<C> for Shared {}

#[expect(unnameable_types, unreachable_pub, reason = "sealed")]
pub(crate) mod sealed {
    use super::{Deref, Error, Future, fmt};

    pub trait Lending<C>: Send + Sync + fmt::Debug + Sized + 'static {
        type Ref: Lend + Deref<Target = C> + Send + 'static;

        fn wrap(connection: C) -> Self::Ref;

        fn check(
            one: &mut Self::Ref,
        ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send;

        /// Given the last there is of it.
        fn close(one: Self::Ref) -> impl Future<Output = ()> + Send;
    }

    pub use crate::book::Lend;
}

impl<C: Connection> sealed::Lending<C> for Whole {
    type Ref = Box<C>;

    fn wrap(connection: C) -> Box<C> {
        Box::new(connection)
    }

    async fn check(one: &mut Box<C>) -> Result<(), Box<dyn Error + Send + Sync>> {
        (**one).check().await
    }

    async fn close(one: Box<C>) {
        (*one).close().await;
    }
}

impl<C: Connection + Sync> sealed::Lending<C> for Shared {
    type Ref = Arc<C>;

    fn wrap(connection: C) -> Arc<C> {
        Arc::new(connection)
    }

    async fn check(one: &mut Arc<C>) -> Result<(), Box<dyn Error + Send + Sync>> {
        one.check_shared().await
    }

    async fn close(one: Arc<C>) {
        if let Some(connection) = Arc::into_inner(one) {
            connection.close().await;
        }
    }
}
