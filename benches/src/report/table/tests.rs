use super::digits;

#[test]
fn three_digits_are_shown_and_no_digit_before_the_point_is_lost() {
    let numbers = [
        0.0, 0.0512, 0.99, 1.004, 9.949, 12.34, 99.44, 123.4, 52573.4,
    ];
    let shown = numbers.map(digits);
    let expected = [
        "0", "0.051", "0.990", "1.00", "9.95", "12.3", "99.4", "123", "52573",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_is_below_zero_is_shown_alike() {
    assert_eq!(digits(-0.25), "-0.250");
    assert_eq!(digits(-12.34), "-12.3");
}
