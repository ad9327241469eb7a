use std::fmt;

/// Up to `N` bytes of ASCII, in place: a context is one allocation, whatever it holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Text<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = {
        assert!(N <= u8::MAX as usize);
        Self {
            len: 0,
            bytes: [0; N],
        }
    };

    /// Makes it what fits of `text`, with a `?` for each byte that is not ASCII.
    #[inline]
    pub(crate) fn set(&mut self, text: &[u8]) {
        self.set_if(text, |_| true);
    }

    /// The same, with a `?` for each byte that `keep` does not want too.
    #[inline]
    pub(crate) fn set_if(&mut self, text: &[u8], keep: impl Fn(u8) -> bool) {
        let text = &text[..text.len().min(N)];
        for (to, &from) in self.bytes.iter_mut().zip(text) {
            // Without a branch, so that it is done for many bytes at once.
            *to = if from.is_ascii() & keep(from) {
                from
            } else {
                b'?'
            };
        }
        self.len = text.len() as u8;
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(bytes).expect("whatever sets it leaves nothing but ASCII")
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
