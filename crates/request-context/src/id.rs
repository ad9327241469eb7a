use std::{error::Error, fmt, str::FromStr};

use uuid::Uuid;

use crate::text::Text;

/// The id of a request or of a client: 1 to 128 ASCII letters, digits and `-_.:/+=@|~`.
///
/// Nothing else is taken, since ids go to logs, headers and terminals: with neither white space nor
/// quotes, brackets or control characters, one cannot pretend to be another line or another field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(Text<LONGEST>);

/// What was given is no [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId(&'static str);

const LONGEST: usize = 128;

impl Id {
    /// The most bytes an id has.
    pub const LONGEST: usize = LONGEST;

    /// An id that was given.
    ///
    /// # Errors
    /// If it is empty, too long, or has other characters.
    #[inline]
    pub fn new(id: impl AsRef<[u8]>) -> Result<Self, InvalidId> {
        let id = id.as_ref();
        if id.is_empty() {
            return Err(InvalidId("an id must not be empty"));
        }
        if id.len() > Self::LONGEST {
            return Err(InvalidId("an id must not have more than 128 bytes"));
        }
        if !id.iter().all(|&it| is_allowed(it)) {
            return Err(InvalidId(
                "an id must have only ASCII letters, digits and -_.:/+=@|~",
            ));
        }
        Text::new(id)
            .map(Self)
            .ok_or(InvalidId("an id must be ASCII"))
    }

    /// A new one: a UUID of version 7 (RFC 9562), in lower case with hyphens. Later ones of a process
    /// sort after earlier ones.
    #[must_use]
    pub fn unique() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        Self(Text::new(text.as_bytes()).expect("36 digits and hyphens fit"))
    }

    /// As it was given.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'@' | b'|' | b'~'
        )
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidId {}
