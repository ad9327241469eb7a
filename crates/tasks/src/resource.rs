use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ending::Task;
use crate::outcome::Outcome;
use crate::{BoxError, Tasks};

/// Something that is released when this is dropped, be it by an error, a cancellation or a panic. Made by
/// [`Tasks::acquire`].
///
/// It may be dropped anywhere: the release has a task of its own.
pub struct Resource<R> {
    /// Gone only when this is.
    resource: Option<R>,
    release: Option<oneshot::Sender<R>>,
    task: Task,
}

impl Tasks {
    /// Acquires something that is released in a task of these, so that their
    /// [`shutdown`](Self::shutdown) waits until it is released, and names what is not. The task is listed
    /// from the start, by `name` and a number. For resources, [`Phase::ClosePools`](crate::Phase::ClosePools)
    /// is the phase of a [`Shutdown`](crate::Shutdown).
    ///
    /// Its cancellation does not reach the holder, who is to be stopped in an earlier phase.
    ///
    /// # Errors
    /// That of `acquire`. A [`StartError`](crate::StartError) after [`shutdown`](Self::shutdown); `acquire`
    /// is not polled then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// If it is dropped, so is `acquire`, and nothing is left.
    pub async fn acquire<A, R, E, M, F>(
        &self,
        name: &str,
        acquire: A,
        release: M,
    ) -> Result<Resource<R>, BoxError>
    where
        A: Future<Output = Result<R, E>>,
        R: Send + 'static,
        E: Into<BoxError>,
        M: FnOnce(R) -> F + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let task = self.start_numbered(name, async move |_| match receiver.await {
            Ok(resource) => release(resource).await,
            Err(_) => Ok(()), // it was not acquired
        })?;
        let resource = acquire.await.map_err(Into::into)?;
        Ok(Resource {
            resource: Some(resource),
            release: Some(sender),
            task,
        })
    }
}

impl<R> Resource<R> {
    /// Releases it, and says how that went.
    ///
    /// # Cancel safety
    /// If it is dropped, the release goes on.
    pub async fn release(mut self) -> Outcome {
        self.send();
        self.task.ended().await
    }

    /// The name of its task.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.task.name
    }

    fn send(&mut self) {
        let (Some(release), Some(resource)) = (self.release.take(), self.resource.take()) else {
            return; // it was sent before
        };
        if release.send(resource).is_err() {
            tracing::warn!(resource = %self.task.name, "resource dropped without its release");
        }
    }
}

impl<R> Deref for Resource<R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.resource
            .as_ref()
            .expect("it is gone only when this is")
    }
}

impl<R> DerefMut for Resource<R> {
    fn deref_mut(&mut self) -> &mut R {
        self.resource
            .as_mut()
            .expect("it is gone only when this is")
    }
}

impl<R> Drop for Resource<R> {
    fn drop(&mut self) {
        self.send();
    }
}

impl<R: fmt::Debug> fmt::Debug for Resource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.task.name)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}
