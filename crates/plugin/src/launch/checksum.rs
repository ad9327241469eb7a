use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// What is read at a time.
const BLOCK: usize = 64 * 1024;

/// What the file of a plugin's program must hash to: its SHA-256, or a longer one.
///
/// As text it is the hexadecimal digits that `sha256sum`, `sha384sum` or `sha512sum` print, 64, 96 or 128
/// of them.
///
/// ```
/// use mainstay_plugin::Checksum;
///
/// let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// let checksum: Checksum = text.parse()?;
/// assert_eq!(checksum.to_string(), format!("SHA-256 {text}"));
/// # Ok::<_, mainstay_plugin::InvalidChecksum>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    kind: Kind,
    digest: Vec<u8>,
}

/// A text is no [`Checksum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidChecksum(&'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha384,
    Sha512,
}

impl Checksum {
    /// A SHA-256.
    #[must_use]
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self {
            kind: Kind::Sha256,
            digest: digest.to_vec(),
        }
    }

    /// A SHA-384.
    #[must_use]
    pub fn sha384(digest: [u8; 48]) -> Self {
        Self {
            kind: Kind::Sha384,
            digest: digest.to_vec(),
        }
    }

    /// A SHA-512.
    #[must_use]
    pub fn sha512(digest: [u8; 64]) -> Self {
        Self {
            kind: Kind::Sha512,
            digest: digest.to_vec(),
        }
    }

    /// The one of the same kind that the file has. It blocks.
    pub(crate) fn of_file(&self, path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut context = digest::Context::new(self.kind.algorithm());
        let mut block = vec![0; BLOCK];
        loop {
            match file.read(&mut block) {
                Ok(0) => break,
                Ok(len) => context.update(&block[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            kind: self.kind,
            digest: context.finish().as_ref().to_vec(),
        })
    }

    /// In a time that does not depend on where they differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.kind == other.kind && verify_slices_are_equal(&self.digest, &other.digest).is_ok()
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let kind = match text.len() {
            64 => Kind::Sha256,
            96 => Kind::Sha384,
            128 => Kind::Sha512,
            _ => {
                return Err(InvalidChecksum(
                    "not 64, 96 or 128 hexadecimal digits, as of SHA-256, SHA-384 and SHA-512",
                ));
            }
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes = text.as_bytes().chunks_exact(2);
        let digest = bytes.map(|pair| {
            let byte = digit(pair[0])? << 4 | digit(pair[1])?;
            u8::try_from(byte).ok()
        });
        let digest = digest
            .collect::<Option<_>>()
            .ok_or(InvalidChecksum("not all hexadecimal digits"))?;
        Ok(Self { kind, digest })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Sha256 => "SHA-256 ",
            Kind::Sha384 => "SHA-384 ",
            Kind::Sha512 => "SHA-512 ",
        })?;
        self.digest
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for InvalidChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid checksum: {}", self.0)
    }
}

impl std::error::Error for InvalidChecksum {}

impl Kind {
    const fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

#[cfg(test)]
mod tests;
