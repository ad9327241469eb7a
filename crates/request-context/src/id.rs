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
        let mut text = Text::EMPTY;
        set(&mut text, id.as_ref())?;
        Ok(Self(text))
    }

    /// Makes it the one that was given. It stays what it was if that is none.
    #[inline]
    pub(crate) fn set(&mut self, id: &[u8]) -> Result<(), InvalidId> {
        set(&mut self.0, id)
    }

    /// The place of one that is not known.
    pub(crate) const UNKNOWN: Self = Self(Text::EMPTY);

    #[inline]
    pub(crate) const fn known(&self) -> Option<&Self> {
        if self.0.is_empty() { None } else { Some(self) }
    }

    /// A new one: a UUID of version 7 (RFC 9562), in lower case with hyphens. Later ones of a process
    /// sort after earlier ones.
    #[must_use]
    pub fn unique() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        let mut id = Self::UNKNOWN;
        id.0.set(text.as_bytes());
        id
    }

    /// As it was given.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[inline]
fn set(text: &mut Text<LONGEST>, id: &[u8]) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId("an id must not be empty"));
    }
    if id.len() > LONGEST {
        return Err(InvalidId("an id must not have more than 128 bytes"));
    }
    if !id.iter().fold(true, |all, &it| all & is_allowed(it)) {
        return Err(InvalidId(
            "an id must have only ASCII letters, digits and -_.:/+=@|~",
        ));
    }
    text.set(id);
    Ok(())
}

/// Without a branch, so that it is asked for many bytes at once.
#[inline]
const fn is_allowed(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/`, the digits and `:` follow one another.
    let is_digit_or_near = byte.wrapping_sub(b'-') <= b':' - b'-';
    is_letter
        | is_digit_or_near
        | (byte == b'_')
        | (byte == b'+')
        | (byte == b'=')
        | (byte == b'@')
        | (byte == b'|')
        | (byte == b'~')
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
