use std::sync::Arc;

use crate::tags::{Stamp, TagNames, Tags};

#[test]
fn an_entry_is_invalid_if_one_of_its_tags_was_invalidated_after_it() {
    let names = TagNames::default();
    let tags = names.find(&["a".into(), "b".into()]);
    names.invalidate("b", Stamp(5));
    names.invalidate("c", Stamp(9));
    assert!(tags.are_invalid(Stamp(4)));
    assert!(!tags.are_invalid(Stamp(5)));
    // Of two at once the later one counts.
    names.invalidate("b", Stamp(3));
    assert!(tags.are_invalid(Stamp(4)));
    assert!(!Tags::default().are_invalid(Stamp(0)));
}

#[test]
fn a_load_learns_of_an_invalidation_before_it_had_the_tag() {
    let names = TagNames::default();
    names.invalidate("a", Stamp(5));
    let tags = names.find(&["a".into()]);
    assert!(tags.are_invalid(Stamp(4)));
    assert!(!tags.are_invalid(Stamp(5)));
}

#[test]
fn tags_of_no_entry_take_no_memory_for_ever_and_are_not_taken_for_valid() {
    let names = TagNames::default();
    let kept = names.find(&["kept".into()]);
    for stamp in 1..10_000 {
        names.invalidate(&format!("tag {stamp}"), Stamp(stamp));
    }
    assert!(names.len() <= 200, "{}", names.len());
    names.invalidate("kept", Stamp(10_000));
    assert!(kept.are_invalid(Stamp(9_999)));
    // It may be one of those that were forgotten, for all that is known.
    let tags = names.find(&[Arc::from("tag 5")]);
    assert!(tags.are_invalid(Stamp(4)));
    assert!(!tags.are_invalid(Stamp(10_000)));
}
