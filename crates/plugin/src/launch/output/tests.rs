use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn pieces(written: Vec<u8>) -> Vec<Piece> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&written));
        let mut lines = Lines::new(reader.into()).unwrap();
        let mut pieces = Vec::new();
        loop {
            pieces.push(lines.next().await.unwrap());
            if matches!(pieces.last(), Some(Piece::End(_))) {
                writing.join().unwrap().unwrap();
                return pieces;
            }
        }
    })
}

#[test]
fn lines_come_one_by_one_and_the_last_without_an_end_is_told_as_such() {
    assert_eq!(
        pieces(b"one\r\n\ntwo\nthree".to_vec()),
        [
            Piece::Line("one".into()),
            Piece::Line(String::new()),
            Piece::Line("two".into()),
            Piece::End("three".into()),
        ]
    );
    assert_eq!(pieces(Vec::new()), [Piece::End(String::new())]);
}

#[test]
fn an_endless_line_comes_in_parts() {
    let parts = pieces(vec![b'a'; 3 * LONGEST_LINE as usize + 5]);
    assert_eq!(parts.len(), 4);
    let part = Piece::Part("a".repeat(LONGEST_LINE as usize));
    assert!(parts[..3].iter().all(|piece| *piece == part));
    assert_eq!(parts[3], Piece::End("aaaaa".into()));
}

#[test]
fn what_is_not_utf_8_is_replaced() {
    assert_eq!(
        pieces(b"\xff\n".to_vec())[0],
        Piece::Line("\u{fffd}".into())
    );
}

#[test]
fn the_tail_keeps_the_last_lines_and_the_beginning_of_each() {
    let tail = Tail::default();
    for number in 0..100 {
        tail.push(&format!("{number}{}", "é".repeat(10_000)));
    }
    let lines = tail.lines();
    assert_eq!(lines.len(), LINES_KEPT);
    assert!(lines[0].starts_with("80é") && lines[19].starts_with("99é"));
    assert!(
        lines
            .iter()
            .all(|line| line.chars().count() <= LENGTH_KEPT + 1)
    );
}

proptest! {
    #[test]
    fn nothing_but_ends_of_lines_is_lost(text in "[a-z\n]{0,400}") {
        let read = pieces(text.clone().into_bytes());
        let mut joined = String::new();
        for piece in read {
            match piece {
                Piece::Line(line) => joined.extend([line.as_str(), "\n"]),
                Piece::Part(part) | Piece::End(part) => joined.push_str(&part),
            }
        }
        prop_assert_eq!(joined, text);
    }
}
