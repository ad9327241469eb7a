use http::{Extensions, HeaderMap};

use crate::RequestContext;

/// Adds to the context of a request what the application knows of it.
pub trait AddFields {
    /// Given what the layer has made of the request, with all of its headers and extensions.
    fn add_fields(
        &self,
        context: RequestContext,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> RequestContext;
}

impl<F: Fn(RequestContext, &HeaderMap, &Extensions) -> RequestContext> AddFields for F {
    fn add_fields(
        &self,
        context: RequestContext,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> RequestContext {
        self(context, headers, extensions)
    }
}

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFields;

impl AddFields for NoFields {
    #[inline]
    fn add_fields(&self, context: RequestContext, _: &HeaderMap, _: &Extensions) -> RequestContext {
        context
    }
}
