use std::error::Error;
use std::fmt;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

use crate::by_name::ByName;

/// What is known of the methods that are called: their shapes, and which can be called again.
///
/// A request does not say it. What is not known is taken for a stream both ways that must not be
/// called twice; that is always right, and has the fewest retries.
#[derive(Clone, Debug, Default)]
pub struct Methods(ByName<Method>);

/// What is known of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    streams_requests: bool,
    streams_responses: bool,
    idempotent: bool,
}

/// What was given as a descriptor set is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDescriptors(String);

impl Methods {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns of all methods in an encoded `google.protobuf.FileDescriptorSet`, as protoc writes with
    /// `--descriptor_set_out`. Those with an `idempotency_level` can be called again.
    ///
    /// # Errors
    /// If it is not an encoded descriptor set.
    pub fn with_descriptors(mut self, set: &[u8]) -> Result<Self, InvalidDescriptors> {
        let set = FileDescriptorSet::decode(set)
            .map_err(|error| InvalidDescriptors(error.to_string()))?;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let options = method.options.as_ref();
                    let level = options.map_or(IdempotencyLevel::IdempotencyUnknown, |options| {
                        options.idempotency_level()
                    });
                    let name = format!("{}/{}", service.name(), method.name());
                    let name = match file.package() {
                        "" => name,
                        package => format!("{package}.{name}"),
                    };
                    let method = Method {
                        streams_requests: method.client_streaming(),
                        streams_responses: method.server_streaming(),
                        idempotent: level != IdempotencyLevel::IdempotencyUnknown,
                    };
                    self.0.insert(&name, method);
                }
            }
        }
        Ok(self)
    }

    /// Learns of one method, named as `package.Service/Method`; what was known of it before is
    /// forgotten.
    #[must_use]
    pub fn with_method(mut self, name: &str, method: Method) -> Self {
        self.0.insert(name, method);
        self
    }

    /// Learns that a method can be called again; what else is known of it stays.
    #[must_use]
    pub fn with_idempotent(self, name: &str) -> Self {
        let method = self.get(name).idempotent();
        self.with_method(name, method)
    }

    /// What is known of a method, by the path of its requests: `/package.Service/Method`. What stands
    /// before, as with a server behind a prefix, is not looked at.
    #[must_use]
    pub fn get(&self, path: &str) -> Method {
        self.0.get(path).copied().unwrap_or(Method::UNKNOWN)
    }
}

impl Method {
    /// What is assumed of a method that nothing is known of.
    pub const UNKNOWN: Self = Self {
        streams_requests: true,
        streams_responses: true,
        idempotent: false,
    };

    /// One message each way.
    #[must_use]
    pub const fn unary() -> Self {
        Self {
            streams_requests: false,
            streams_responses: false,
            idempotent: false,
        }
    }

    /// One request, a stream of responses.
    #[must_use]
    pub const fn server_streaming() -> Self {
        Self {
            streams_requests: false,
            ..Self::UNKNOWN
        }
    }

    /// A stream of requests, one response.
    #[must_use]
    pub const fn client_streaming() -> Self {
        Self {
            streams_responses: false,
            ..Self::UNKNOWN
        }
    }

    /// A stream each way.
    #[must_use]
    pub const fn streaming() -> Self {
        Self::UNKNOWN
    }

    /// The same, and to call it twice does no more than to call it once.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Whether its requests can be of more than one message.
    #[must_use]
    pub const fn streams_requests(self) -> bool {
        self.streams_requests
    }

    /// Whether its responses can be of more than one message.
    #[must_use]
    pub const fn streams_responses(self) -> bool {
        self.streams_responses
    }

    /// Whether to call it twice does no more than to call it once.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        self.idempotent
    }
}

impl fmt::Display for InvalidDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a descriptor set: {}", self.0)
    }
}

impl Error for InvalidDescriptors {}

#[cfg(test)]
mod tests;
