use std::error::Error;

/// Whether an error is an `E`, or comes from one, however deep: what a status was refused with, for
/// instance.
///
/// ```
/// use mainstay::{Expired, is_caused_by};
///
/// let status = tonic::Status::unavailable("a plain answer");
/// assert!(!is_caused_by::<Expired>(&status));
/// ```
#[must_use]
pub fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    find_cause::<E>(error).is_some()
}

/// The first `E` that an error is or comes from.
#[must_use]
pub fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
