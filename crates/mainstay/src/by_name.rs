/// What is known of methods, by their names: `package.Service/Method`.
// In the order of the names: to find one among a few costs less than to hash its name.
#[derive(Clone, Debug)]
pub(crate) struct ByName<T>(Vec<(Box<str>, T)>);

impl<T> ByName<T> {
    /// In place of what was known of it. A `/` in front is no part of the name.
    pub(crate) fn insert(&mut self, name: &str, known: T) {
        let name = name.trim_start_matches('/');
        match self.find(name) {
            Ok(at) => self.0[at].1 = known,
            Err(at) => self.0.insert(at, (name.into(), known)),
        }
    }

    /// By the path of a request: `/package.Service/Method`. What stands before, as with a server behind a
    /// prefix, is not looked at.
    pub(crate) fn get(&self, path: &str) -> Option<&T> {
        let known = self.find(path.strip_prefix('/').unwrap_or(path));
        let known = known.or_else(|_| {
            let method = path.rfind('/').unwrap_or(0);
            let start = path[..method].rfind('/').map_or(0, |it| it + 1);
            self.find(&path[start..])
        });
        Some(&self.0[known.ok()?].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, known)| (&**name, known))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(it, _)| (**it).cmp(name))
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
