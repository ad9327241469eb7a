use super::{Backend, Failed};

#[test]
fn the_last_of_so_many_requests_fails() {
    let failed: Vec<u64> = (0..8)
        .filter(|it| Backend::<4>.answer(*it).is_err())
        .collect();
    assert_eq!(failed, [3, 7]);
    assert_eq!(Backend::<1>.answer(5), Err(Failed(5)));
    assert!((0..100).all(|it| Backend::<0>.answer(it) == Ok(it)));
}
