use super::Spread;

#[test]
fn quartiles_do_not_depend_on_the_order_or_on_the_extremes() {
    let spread = Spread::of([9.0, 1.0, 1e9, 4.0, 5.0]);
    let expected = Spread {
        lower: 4.0,
        median: 5.0,
        upper: 9.0,
    };
    assert_eq!(spread, expected);
}

#[test]
fn one_sample_is_its_own_spread() {
    let expected = Spread {
        lower: 7.0,
        median: 7.0,
        upper: 7.0,
    };
    assert_eq!(Spread::of([7.0]), expected);
}
