use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData};

use tower_layer::Layer;

use crate::{Cache, TtlCache};

/// Answers requests from a [`TtlCache`].
///
/// All services that a layer or its clones make share the cache; a handle of it invalidates.
pub struct CacheLayer<K, V, R, F, Q: ?Sized = K> {
    cache: TtlCache<K, V, R>,
    key: F,
    borrowed: PhantomData<fn(&Q)>,
}

impl<K, V, R, F, Q: ?Sized> CacheLayer<K, V, R, F, Q> {
    /// Requests with the same key have the same answer; those without one bypass the cache.
    ///
    /// The key is borrowed from the request, or made: `Some(Cow::Borrowed(request.as_str()))`,
    /// `Some(Cow::Owned(request.id))`. One that is borrowed is copied only when a load begins. Whatever an
    /// answer depends on has to be in the key; who asks, too, if not all may have it.
    #[must_use]
    pub const fn new<Request>(cache: TtlCache<K, V, R>, key: F) -> Self
    where
        F: Fn(&Request) -> Option<Cow<'_, Q>>,
        Q: Hash + Eq + ToOwned<Owned = K>,
    {
        Self {
            cache,
            key,
            borrowed: PhantomData,
        }
    }

    /// The cache.
    #[must_use]
    pub const fn cache(&self) -> &TtlCache<K, V, R> {
        &self.cache
    }
}

impl<S, K, V, R, F: Clone, Q: ?Sized> Layer<S> for CacheLayer<K, V, R, F, Q> {
    type Service = Cache<S, K, V, R, F, Q>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.cache.clone(), self.key.clone())
    }
}

impl<K, V, R, F: Clone, Q: ?Sized> Clone for CacheLayer<K, V, R, F, Q> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            key: self.key.clone(),
            borrowed: PhantomData,
        }
    }
}

impl<K, V, R, F, Q: ?Sized> fmt::Debug for CacheLayer<K, V, R, F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
