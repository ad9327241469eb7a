use std::io::{Read as _, Write as _};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::time::{Instant, advance};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::generated::stdio_data::Channel;

/// What a process prints to, without being that process.
struct Process {
    output: Arc<Output>,
    stdout: File,
    stderr: File,
    real_stdout: File,
    stop: Stop,
}

fn process() -> Process {
    let pipe = || {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (read, File::from(write))
    };
    let [stdout, stderr, real_stdout, real_stderr] = [(); 4].map(|()| pipe());
    let stop = Stop::new();
    let output = Output {
        pipes: Mutex::new(Pipes::new(stdout.0, stderr.0).unwrap()),
        takers: watch::Sender::new(0),
        real: Arc::new(Real {
            stdout: real_stdout.1,
            stderr: real_stderr.1,
        }),
        stop: stop.clone(),
    };
    Process {
        output: Arc::new(output),
        stdout: stdout.1,
        stderr: stderr.1,
        real_stdout: real_stdout.0.into(),
        stop,
    }
}

impl Process {
    fn stream(&self) -> ReceiverStream<Result<StdioData, Status>> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(Arc::clone(&self.output).stream(sender));
        ReceiverStream::new(receiver)
    }
}

async fn next(stream: &mut ReceiverStream<Result<StdioData, Status>>) -> (Channel, Vec<u8>) {
    let data = stream.next().await.unwrap().unwrap();
    (data.channel(), data.data)
}

#[tokio::test]
async fn pieces_are_of_at_most_a_kibibyte_and_say_where_they_come_from() {
    let mut process = process();
    let mut stream = process.stream();
    process.stdout.write_all(&[b'x'; 2500]).unwrap();
    for len in [1024, 1024, 452] {
        assert_eq!(next(&mut stream).await, (Channel::Stdout, vec![b'x'; len]));
    }
    process.stderr.write_all(b"\xff\0").unwrap();
    assert_eq!(next(&mut stream).await, (Channel::Stderr, b"\xff\0".into()));
}

#[tokio::test]
async fn a_later_stream_takes_over_and_nothing_is_lost() {
    let mut process = process();
    let mut first = process.stream();
    process.stdout.write_all(b"first").unwrap();
    assert_eq!(next(&mut first).await.1, b"first");
    let mut second = process.stream();
    let ended = first.next().await.unwrap().unwrap_err();
    assert_eq!(ended.code(), tonic::Code::Aborted);
    assert!(first.next().await.is_none());
    process.stdout.write_all(b"second").unwrap();
    assert_eq!(next(&mut second).await.1, b"second");
}

#[tokio::test]
async fn a_stream_that_nobody_receives_lets_go_of_the_output() {
    let mut process = process();
    drop(process.stream());
    tokio::task::yield_now().await;
    process.output.released().await;
    process.stdout.write_all(b"kept").unwrap();
    assert_eq!(next(&mut process.stream()).await.1, b"kept");
}

#[tokio::test]
async fn a_drain_sends_what_is_there_and_ends_the_stream() {
    let mut process = process();
    // Written where tokio has not looked yet.
    process.stdout.write_all(&[b'x'; 3000]).unwrap();
    process.stderr.write_all(b"last").unwrap();
    process.stop.drain();
    let mut stream = process.stream();
    let mut read = 0;
    while let Some(data) = stream.next().await {
        read += data.unwrap().data.len();
    }
    assert_eq!(read, 3004);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_within_five_seconds_is_passed_on_and_the_rest_is_for_who_comes_then()
{
    let mut process = process();
    let output = Arc::clone(&process.output);
    tokio::spawn(async move { output.pass_on().await });
    process.stdout.write_all(b"early").unwrap();
    let began = Instant::now();
    let mut real = process.real_stdout.try_clone().unwrap();
    let passed = tokio::task::spawn_blocking(move || {
        let mut read = [0; 5];
        real.read_exact(&mut read).unwrap();
        read
    });
    // A task that blocks keeps a paused clock from moving by itself.
    tokio::task::yield_now().await;
    advance(HELD_FOR - Duration::from_millis(10)).await;
    tokio::task::yield_now().await;
    assert!(!passed.is_finished());
    advance(Duration::from_millis(20)).await;
    assert_eq!(&passed.await.unwrap(), b"early");
    assert!(began.elapsed() < HELD_FOR * 2);

    let mut stream = process.stream();
    tokio::task::yield_now().await;
    process.stdout.write_all(b"late").unwrap();
    assert_eq!(next(&mut stream).await.1, b"late");
}

#[tokio::test]
async fn what_is_left_at_the_end_goes_to_the_process_itself_within_a_bound() {
    let mut process = process();
    process.stdout.write_all(&[b'x'; 1500]).unwrap();
    process.output.finish();
    let mut read = [0; 1500];
    process.real_stdout.read_exact(&mut read).unwrap();
    assert_eq!(read, [b'x'; 1500]);

    // Nobody reads that one: its pipe becomes full.
    let began = Instant::now();
    for _ in 0..2 {
        process.stdout.write_all(&[b'x'; 40_000]).unwrap();
        process.output.finish();
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}
