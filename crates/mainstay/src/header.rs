use http::{HeaderMap, HeaderName, HeaderValue};

/// So many are looked through one by one.
const FEW: usize = 8;

/// The first value of a header. To look through the few that most messages have costs less than to hash
/// its name.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() > FEW {
        return headers.get(name);
    }
    let mut all = headers.iter();
    all.find(|(it, _)| *it == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_among_few_and_many() {
        let name = HeaderName::from_static("grpc-status");
        for many in [0, FEW - 1, FEW, 3 * FEW] {
            let mut headers = HeaderMap::new();
            for it in 0..many {
                let other = HeaderName::try_from(format!("x-{it}")).unwrap();
                headers.insert(other, it.into());
            }
            assert_eq!(find(&headers, &name), None);
            headers.append(&name, 7.into());
            headers.append(&name, 8.into());
            assert_eq!(find(&headers, &name), Some(&7.into()));
        }
    }
}
