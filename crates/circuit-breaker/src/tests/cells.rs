use crate::cells::{Cells, Counted, MAX_COUNT, RING};

#[test]
fn a_full_cell_counts_on_when_it_was_taken() {
    for threads in [0, 1_000] {
        let cells = Cells::new(threads);
        assert_eq!(cells.count(7), Counted::First);
        for _ in 1..MAX_COUNT {
            assert_eq!(cells.count(7), Counted::Again);
        }
        assert_eq!(cells.count(7), Counted::Full);
        assert_eq!(cells.sum(7, 7), MAX_COUNT);
        assert_eq!(cells.take(6), 0);
        assert_eq!(cells.take(7), MAX_COUNT);
        assert_eq!(cells.sum(7, 7), 0);
        assert_eq!(cells.count(7), Counted::Again);
        assert_eq!(cells.sum(7, 7), 1);
    }
}

#[test]
fn an_older_tag_is_late_only_where_a_newer_one_has_taken_its_place() {
    let cells = Cells::new(0);
    assert_eq!(cells.count(20), Counted::First);
    assert_eq!(cells.count(19), Counted::First);
    assert_eq!(cells.count(20 - RING as u64), Counted::Late);
    assert_eq!(cells.sum(19, 20), 2);
    assert_eq!(cells.sum(0, 18), 0);
}
