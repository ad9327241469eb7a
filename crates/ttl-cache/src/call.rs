use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// A call of a service that is not ready yet.
    #[project = CallProj]
    pub(crate) enum Call<S, Request>
    where
        S: Service<Request>,
    {
        /// Waits for the service.
        Waiting { service: S, request: Option<Request> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Request>, Request> Call<S, Request> {
    pub(crate) const fn new(service: S, request: Request) -> Self {
        Self::Waiting {
            service,
            request: Some(request),
        }
    }
}

impl<S: Service<Request>, Request> Future for Call<S, Request> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                CallProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("it is called once");
                    service.call(request)
                }
                CallProj::Called { future } => return future.poll(cx),
            };
            self.set(Self::Called { future });
        }
    }
}
