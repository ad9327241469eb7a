use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_request_context");

#[tokio::test]
async fn each_request_has_its_own_context_everywhere_below_it_and_only_there() {
    for ids in [&["one"][..], &["a", "b", "c-3"]] {
        let mut expected = String::new();
        for id in ids {
            expected += &format!(
                "{id}: here {id}, in a task {id}, in one that was not given it none, in the backend {id}\n"
            );
        }
        assert_eq!(printed(PROGRAM, ids).await, expected + "in flight: 0\n");
    }
}

#[tokio::test]
async fn what_cannot_be_an_id_is_replaced_by_one_for_that_request() {
    let printed = printed(PROGRAM, &["no id", "neither is this", "id"]).await;
    let ids: Vec<_> = printed.lines().take(3).map(id_of).collect();
    assert_eq!(ids[2], "id");
    assert_ne!(ids[0], ids[1]);
    for id in &ids[..2] {
        assert_eq!(
            id.len(),
            "01890a5d-ac96-774b-bcce-b302099a8057".len(),
            "{printed}"
        );
        assert_eq!(printed.matches(id).count(), 3, "{printed}");
    }
}

#[tokio::test]
async fn a_request_whose_caller_has_given_up_does_nothing_more() {
    let arguments = ["--timeout", "5", "--work", "10", "one", "two"];
    let (printed, complaint) = failed(PROGRAM, &arguments).await;
    assert_eq!(
        printed,
        "one: its caller waits no longer\ntwo: its caller waits no longer\nin flight: 0\n"
    );
    assert_eq!(complaint, "2 of 2 failed");
}

/// The id that the handler had.
fn id_of(line: &str) -> &str {
    let (_, rest) = line.split_once(": here ").expect(line);
    rest.split_once(',').expect(line).0
}
