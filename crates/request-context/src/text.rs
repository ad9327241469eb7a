use std::fmt;

/// Up to `N` bytes of ASCII, in place: a context is one allocation, whatever it holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// `None` if it is longer than `N`, or is not all ASCII.
    #[inline]
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        const { assert!(N <= u8::MAX as usize) };
        if text.len() > N || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self {
            len: text.len() as u8,
            bytes,
        })
    }

    /// What fits of it, with a `?` for each byte that `keep` does not want.
    #[inline]
    pub(crate) fn of(text: &[u8], keep: impl Fn(u8) -> bool) -> Self {
        let text = &text[..text.len().min(N)];
        let mut bytes = [0; N];
        for (to, &from) in bytes.iter_mut().zip(text) {
            *to = if from.is_ascii() && keep(from) {
                from
            } else {
                b'?'
            };
        }
        Self {
            len: text.len() as u8,
            bytes,
        }
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(bytes).expect("both constructors leave nothing but ASCII")
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
