use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout};

use super::program::{command, failed};
use crate::processes::signal;
use crate::wait::soon;

const PROGRAM: &str = env!("CARGO_BIN_EXE_graceful_shutdown");

#[tokio::test]
async fn what_was_accepted_is_answered_after_the_signal_and_nothing_more_is_accepted() {
    for (ends, name, milliseconds) in [(Signal::TERM, "SIGTERM", 300), (Signal::INT, "SIGINT", 150)]
    {
        let mut server = Server::start(&[]).await;
        assert_eq!(server.get("/ready").await, "HTTP/1.1 200 OK");
        let mut working = server.ask(&format!("/work/{milliseconds}")).await;
        server.says("working").await;

        server.signal(ends);
        server.says("ending").await;
        let answer = soon("the answer", answer(&mut working)).await;
        assert!(
            answer.ends_with(&format!("worked for {milliseconds} ms")),
            "{answer}"
        );
        server.says(&format!("shutdown ({name}), clean")).await;
        assert!(TcpStream::connect(&server.address).await.is_err());
        let (status, stderr) = server.ended().await;
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&[]).await;
    let _working = server.ask("/work/600000").await;
    server.says("working").await;
    server.signal(Signal::TERM);
    server.says("ending").await;
    server.signal(Signal::TERM);
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(128 + 15));
}

#[tokio::test]
async fn a_task_that_ignores_the_shutdown_is_named() {
    let server = Server::start(&["--stubborn"]).await;
    server.signal(Signal::TERM);
    let (status, stderr) = server.ended().await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        "graceful_shutdown: shutdown (SIGTERM); stop tasks: stubborn aborted\n"
    );
}

#[tokio::test]
async fn work_that_takes_longer_than_the_drain_may_is_named() {
    let mut server = Server::start(&["--drain", "50"]).await;
    let _working = server.ask("/work/600000").await;
    server.says("working").await;
    server.signal(Signal::TERM);
    let (status, stderr) = server.ended().await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        "graceful_shutdown: shutdown (SIGTERM); drain: http aborted\n"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (printed, complaint) = failed(PROGRAM, &[&address]).await;
    assert_eq!(printed, "");
    let told = format!("cannot listen on {address}: Address already in use");
    assert!(complaint.starts_with(&told), "{complaint}");
}

/// The program, while it serves.
struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = command(PROGRAM, arguments);
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = soon("it listens", lines.next_line())
            .await
            .unwrap()
            .unwrap();
        let address = line.strip_prefix("listening on ").expect(&line).to_owned();
        Self {
            process,
            lines,
            address,
        }
    }

    /// Waits for the next line, which is this.
    async fn says(&mut self, expected: &str) {
        let line = soon(expected, self.lines.next_line()).await.unwrap();
        assert_eq!(line.as_deref(), Some(expected));
    }

    /// Sends a request.
    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The first line of the answer.
    async fn get(&self, path: &str) -> String {
        let answer = answer(&mut self.ask(path).await).await;
        answer.lines().next().unwrap().to_owned()
    }

    fn signal(&self, number: Signal) {
        signal(self.process.id().unwrap(), number);
    }

    async fn ended(self) -> (ExitStatus, String) {
        let output = soon("it ends", self.process.wait_with_output())
            .await
            .unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
