use mainstay_request_context::{ClientContextLayer, RequestContext};

/// Which calls have a context.
#[derive(Clone, Debug)]
pub(super) enum Contexts {
    Absent,
    /// Those that are made for a request which has one. For others there is none to carry on, and an id
    /// that nobody has logged is of no use to anybody.
    Inherited,
    /// All.
    Of(ClientContextLayer),
}

impl Contexts {
    pub(super) fn layer(&self) -> ClientContextLayer {
        match self {
            Self::Of(layer) => layer.clone(),
            Self::Absent | Self::Inherited => ClientContextLayer::new(),
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        match self {
            Self::Of(_) => true,
            Self::Inherited => RequestContext::current().is_some(),
            Self::Absent => false,
        }
    }
}
