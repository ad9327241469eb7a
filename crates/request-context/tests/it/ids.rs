use mainstay_request_context::{Id, InvalidId};
use proptest::prelude::*;

#[test]
fn a_new_id_is_a_uuid_of_version_7_and_later_ones_sort_after_earlier_ones() {
    let ids: Vec<Id> = (0..1_000).map(|_| Id::unique()).collect();
    for id in &ids {
        let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.hyphenated().to_string(), id.as_str());
    }
    assert!(ids.windows(2).all(|it| it[0].as_str() < it[1].as_str()));
}

#[test]
fn an_id_has_bounds() {
    assert_eq!(Id::new("x".repeat(128)).unwrap().as_str().len(), 128);
    for garbage in [
        "",
        "a b",
        "a\nb",
        "a\r\nlevel=error",
        "a\tb",
        "\x1b[31m",
        "a\"b",
        "${jndi:ldap}",
        "<b>",
        "a,b",
        "é",
        "\0",
    ] {
        let error: InvalidId = Id::new(garbage).unwrap_err();
        assert!(error.to_string().starts_with("an id must "), "{garbage:?}");
    }
    assert!(Id::new("x".repeat(129)).is_err());
    assert!(Id::new(b"\xff").is_err());
}

#[test]
fn each_byte_is_allowed_or_not() {
    for byte in 0..=u8::MAX {
        let is_allowed = byte.is_ascii_alphanumeric() || b"-_.:/+=@|~".contains(&byte);
        assert_eq!(Id::new([byte]).is_ok(), is_allowed, "{byte}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_is_kept_and_is_safe_to_write(id in prop::collection::vec(any::<u8>(), 0..140)) {
        if let Ok(taken) = Id::new(&id) {
            prop_assert_eq!(taken.as_str().as_bytes(), id.as_slice());
        }
    }

    #[test]
    fn whatever_is_allowed_is_taken(id in "[A-Za-z0-9_.:/+=@|~-]{1,128}") {
        let taken: Id = id.parse().unwrap();
        prop_assert_eq!(taken.to_string(), id);
    }
}
