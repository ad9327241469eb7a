use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mainstay_request_context::RequestContext;
use tonic::Status;

/// What a piece of a service's work comes to. A panic in it is logged, and is this status to the
/// caller, who is told no more: what it says is for those who run the service.
///
/// What has panicked must not be used again, so whatever it has left behind is seen by nobody.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let context = RequestContext::current();
        let method = context.as_ref().map(RequestContext::path);
        tracing::error!(method, panic = text(&*payload), "the service panicked");
        if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // It would go on like this.
            std::mem::forget(worse);
        }
        Status::internal("the service panicked")
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not with a text")
}
