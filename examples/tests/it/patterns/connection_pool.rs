use super::program::{failed, printed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_connection_pool");

#[tokio::test]
async fn all_callers_are_answered_over_no_more_connections_than_there_may_be() {
    let words: Vec<_> = (0..50).map(|number| format!("word{number}")).collect();
    for max in [1, 2, 60] {
        let max_ = max.to_string();
        let mut arguments = vec!["--max", &max_];
        arguments.extend(words.iter().map(String::as_str));
        let mut expected = String::new();
        for (number, word) in words.iter().enumerate() {
            expected += &format!("{word}: WORD{number}\n");
        }
        let printed = printed(PROGRAM, &arguments).await;
        let rest = printed.strip_prefix(&expected).expect(&printed);
        // Fewer may do: those given back are lent again, while others are still being made.
        for connections in numbers(rest) {
            assert!((1..=max.min(50)).contains(&connections), "{max}: {rest}");
        }
    }
}

#[tokio::test]
async fn whoever_waits_for_a_connection_that_breaks_gets_another() {
    let (printed, complaint) = failed(PROGRAM, &["--max", "1", "a", "quit", "b", "c"]).await;
    assert_eq!(
        printed,
        "a: A\n\
         quit: the server closed the connection\n\
         b: B\n\
         c: C\n\
         connections at once: 1\n\
         connections made: 2\n"
    );
    assert_eq!(complaint, "1 of 4 failed");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_to_all() {
    // Nothing listens on the port that was free just now.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (printed, complaint) = failed(PROGRAM, &["--server", &address, "a", "b"]).await;
    let lines: Vec<_> = printed.lines().collect();
    for (line, word) in lines.iter().zip(["a", "b"]) {
        let told = format!("{word}: backend of capitals is down");
        assert!(line.starts_with(&told), "{line}");
        assert!(line.contains("Connection refused"), "{line}");
    }
    assert_eq!(
        lines[2..],
        ["connections at once: 0", "connections made: 0"]
    );
    assert_eq!(complaint, "2 of 2 failed");
}

/// How many connections there were at once, and were made.
fn numbers(printed: &str) -> [u32; 2] {
    let lines: Vec<_> = printed.lines().collect();
    let [at_once, made] = lines[..] else {
        panic!("{printed}");
    };
    let at_once = at_once.strip_prefix("connections at once: ").unwrap();
    let made = made.strip_prefix("connections made: ").unwrap();
    [at_once, made].map(|number| number.parse().unwrap())
}
