use std::borrow::Cow;
use std::fmt;

/// The magic cookie: an environment variable that a host sets and a plugin looks for.
///
/// It tells a person who runs a plugin by hand that this is a plugin; it is no secret and keeps
/// nobody out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    key: Cow<'static, str>,
    value: Cow<'static, str>,
}

/// The key or value of a [`Cookie`] cannot stand in an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCookie(&'static str);

impl Cookie {
    /// A cookie named `key` that must have this `value`.
    ///
    /// # Errors
    /// An empty key or value, a key with `=`, a NUL byte in either: no environment can hold these.
    pub fn new(
        key: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, InvalidCookie> {
        let (key, value) = (key.into(), value.into());
        if key.is_empty() {
            return Err(InvalidCookie("key must not be empty"));
        }
        if value.is_empty() {
            return Err(InvalidCookie("value must not be empty"));
        }
        if key.contains('=') {
            return Err(InvalidCookie("key must not contain '='"));
        }
        if key.contains('\0') || value.contains('\0') {
            return Err(InvalidCookie("key and value must not contain a NUL byte"));
        }
        Ok(Self { key, value })
    }

    /// The name of the environment variable.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What the variable must hold.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid magic cookie: {}", self.0)
    }
}

impl std::error::Error for InvalidCookie {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_no_environment_can_hold_is_refused_with_the_reason() {
        for (key, value, reason) in [
            ("", "hello", "key must not be empty"),
            ("KEY", "", "value must not be empty"),
            ("A=B", "hello", "'='"),
            ("A\0", "hello", "NUL"),
            ("A", "hel\0lo", "NUL"),
        ] {
            let error = Cookie::new(key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
