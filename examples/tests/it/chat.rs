use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_examples::chat_proto::chat_client::ChatClient;
use mainstay_examples::chat_proto::{Heard, PresentRequest, Said};
use mainstay_examples::kv;
use mainstay_plugin::{Instance, Launcher, StoppedBy};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::processes::{files_in, started_with};
use crate::wait::{SOON, soon};

const PLUGIN: &str = env!("CARGO_BIN_EXE_chat_plugin");

struct Chat {
    plugin: Instance,
    client: ChatClient<Channel>,
}

impl Chat {
    async fn start(arguments: &[&str]) -> Self {
        let mut launcher = Launcher::new(PLUGIN, kv::cookie().unwrap(), kv::VERSION);
        for argument in arguments {
            launcher = launcher.with_argument(argument);
        }
        let plugin = launcher.with_auto_mtls().launch().await.unwrap();
        let client = ChatClient::new(plugin.connect().await.unwrap());
        Self { plugin, client }
    }

    async fn talk(&self) -> (mpsc::Sender<Said>, Streaming<Heard>) {
        let (say, said) = mpsc::channel(1);
        let talk = self.client.clone().talk(ReceiverStream::new(said)).await;
        (say, talk.unwrap().into_inner())
    }

    /// Waits until there are so many clients.
    async fn present(&self, clients: u64) {
        let present = async {
            loop {
                let present = self.client.clone().present(PresentRequest {}).await;
                if present.unwrap().into_inner().clients == clients {
                    break;
                }
                // Another process notices it, and nothing wakes us then.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        soon("clients come and go", present).await;
    }

    async fn stops(self) {
        let stopped = soon("its end", self.plugin.stop()).await.unwrap();
        assert_eq!(stopped.by(), StoppedBy::Shutdown);
        assert_eq!(stopped.exit().status().unwrap().code(), Some(0));
    }
}

fn said(message: &str) -> Said {
    Said {
        message: message.to_owned(),
    }
}

async fn next(heard: &mut Streaming<Heard>) -> Result<Option<Heard>, Status> {
    soon("an answer", heard.message()).await
}

#[tokio::test]
async fn chat_host_prints_what_comes_back_until_quit() {
    for lines in [
        &b"hello\nworld\n/quit\nunheard\n"[..],
        b"hello\nworld\n/quit",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat_host"));
        command.args(["--plugin", PLUGIN]).env("TMPDIR", dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut host = command.kill_on_drop(true).spawn().unwrap();
        // Its stdin stays open: only `/quit` ends it.
        let mut stdin = host.stdin.take().unwrap();
        stdin.write_all(lines).await.unwrap();
        if !lines.ends_with(b"\n") {
            drop(stdin);
        }
        let output = soon("its end", host.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(0));
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Vec<_>> = printed
            .lines()
            .map(|it| it.splitn(3, ' ').collect())
            .collect();
        let messages: Vec<_> = lines.iter().map(|line| line[2]).collect();
        assert_eq!(messages, ["Echo: hello", "Echo: world", "Echo: /quit"]);
        let ids: BTreeSet<_> = lines.iter().map(|line| line[0]).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let time: f64 = lines[0][1].parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!((now.as_secs_f64() - time).abs() < 60.0, "{time}");
        assert_eq!(started_with(dir.path()), [0; 0]);
        assert_eq!(files_in(dir.path()), [""; 0]);
    }
}

#[tokio::test]
async fn each_client_has_an_id_and_its_end_is_noticed_whatever_it_was() {
    let chat = Chat::start(&[]).await;
    let mut ids = BTreeSet::new();
    for end in ["quits", "says no more", "is dropped"] {
        let (say, mut heard) = chat.talk().await;
        say.send(said("hello")).await.unwrap();
        let answer = next(&mut heard).await.unwrap().unwrap();
        assert_eq!(answer.message, "Echo: hello");
        assert!(ids.insert(answer.client_id), "{ids:?}");
        chat.present(1).await;
        match end {
            "quits" => {
                say.send(said("/quit")).await.unwrap();
                let answer = next(&mut heard).await.unwrap().unwrap();
                assert_eq!(answer.message, "Echo: /quit");
                assert_eq!(next(&mut heard).await.unwrap(), None);
            }
            "says no more" => {
                drop(say);
                assert_eq!(next(&mut heard).await.unwrap(), None);
            }
            // In this order it is cancelled; as long as it could say more, its idle time is what ends it.
            _ => {
                drop(heard);
                drop(say);
            }
        }
        chat.present(0).await;
    }
    chat.stops().await;
}

#[tokio::test]
async fn who_says_nothing_for_too_long_is_told_so() {
    let chat = Chat::start(&["--idle-ms", "200"]).await;
    let (say, mut heard) = chat.talk().await;
    say.send(said("hello")).await.unwrap();
    next(&mut heard).await.unwrap().unwrap();
    let status = next(&mut heard).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "chat ended: nothing was said for 200ms");
    chat.present(0).await;
    chat.stops().await;
}

#[tokio::test]
async fn who_does_not_stop_talking_is_ended_after_the_whole_time() {
    let chat = Chat::start(&["--total-ms", "300"]).await;
    let (say, mut heard) = chat.talk().await;
    tokio::spawn(async move { while say.send(said("again")).await.is_ok() {} });
    let status = loop {
        match next(&mut heard).await {
            Ok(answer) => assert_eq!(answer.unwrap().message, "Echo: again"),
            Err(status) => break status,
        }
    };
    // Now and then who is speaking at that moment sees the stream end without the reason.
    if status.code() != Code::Unknown {
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.message(), "chat ended: it has lasted 300ms");
    }
    chat.present(0).await;
    chat.stops().await;
}

#[tokio::test]
async fn who_does_not_read_is_not_read_either_and_loses_nothing() {
    const KIB_EACH: usize = 64;
    let chat = Chat::start(&[]).await;
    let (say, mut heard) = chat.talk().await;
    let long = "x".repeat(KIB_EACH * 1024);
    let before = resident_kib(chat.plugin.pid());
    let mut sent = 0;
    // Until none is taken for a while; 256 MiB would be all of them.
    while sent < 4096 {
        let send = say.send(said(&long));
        match timeout(Duration::from_millis(500), send).await {
            Ok(sending) => sending.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent * KIB_EACH < 32 * 1024, "{sent} messages were taken");
    let grown = resident_kib(chat.plugin.pid()).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    drop(say);
    for n in 0..sent {
        let answer = next(&mut heard).await.unwrap().unwrap();
        assert_eq!(answer.message.len(), "Echo: ".len() + long.len(), "{n}");
    }
    assert_eq!(timeout(SOON, heard.message()).await.unwrap().unwrap(), None);
    chat.stops().await;
}

fn resident_kib(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
