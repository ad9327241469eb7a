use std::{
    borrow::{Borrow, Cow},
    fmt,
    hash::Hash,
    marker::PhantomData,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    BoxError, Retention, TtlCache,
    call::Call,
    future::{Lookup, ResponseFuture},
    shared::Look,
};

/// A service behind a cache: it is called for what the cache does not have.
pub struct Cache<S, K, V, R, F, Q: ?Sized = K> {
    inner: S,
    cache: TtlCache<K, V, R>,
    key: F,
    borrowed: PhantomData<fn(&Q)>,
}

impl<S, K, V, R, F, Q: ?Sized> Cache<S, K, V, R, F, Q> {
    pub(crate) const fn new(inner: S, cache: TtlCache<K, V, R>, key: F) -> Self {
        Self {
            inner,
            cache,
            key,
            borrowed: PhantomData,
        }
    }

    /// The cache.
    pub const fn cache(&self) -> &TtlCache<K, V, R> {
        &self.cache
    }

    /// The service behind the cache.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the cache. Calls made with it are not cached.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind the cache.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, K, V, R, F, Q, Request> Service<Request> for Cache<S, K, V, R, F, Q>
where
    S: Service<Request, Response = V> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    K: Borrow<Q> + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    R: Retention<V> + Send + Sync + 'static,
    F: Fn(&Request) -> Option<Cow<'_, Q>>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    Request: Send + 'static,
{
    type Response = V;
    type Error = BoxError;
    type Future = ResponseFuture<S, Request>;

    /// Always ready: an answer that the cache has needs no inner service. When one is called, it is driven
    /// to readiness by the response.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let Some(key) = (self.key)(&request) else {
            return ResponseFuture::bypass(self.inner.clone(), request);
        };
        let shared = &self.cache.shared;
        let hash = shared.hash::<Q>(&key);
        match shared.look::<Q>(hash, &key) {
            Look::Hit(value) => ResponseFuture::looked_up(Lookup::hit(value)),
            look => match shared.ask::<Q>(hash, &key, look.is_present()) {
                Ok(lookup) => ResponseFuture::looked_up(lookup),
                Err(berth) => {
                    let key = key.into_owned();
                    let load = Call::new(self.inner.clone(), request);
                    ResponseFuture::looked_up(shared.begin(berth, key, load))
                }
            },
        }
    }
}

impl<S: Clone, K, V, R, F: Clone, Q: ?Sized> Clone for Cache<S, K, V, R, F, Q> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.cache.clone(), self.key.clone())
    }
}

impl<S: fmt::Debug, K, V, R, F, Q: ?Sized> fmt::Debug for Cache<S, K, V, R, F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.inner)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
