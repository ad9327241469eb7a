use std::collections::VecDeque;
use std::io;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Response, Status};

use super::*;
use crate::generated::grpc_stdio_server::{GrpcStdio, GrpcStdioServer};
use crate::generated::stdio_data::Channel::{Invalid, Stderr, Stdout};

const SOON: Duration = Duration::from_secs(10);

/// What a plugin says on its streams, one after the other.
#[derive(Clone)]
struct Plugin {
    streams: Arc<Mutex<VecDeque<Stream>>>,
    lost: Arc<Notify>,
}

type Stream = (Vec<(stdio_data::Channel, &'static [u8])>, End);

enum End {
    NoMore,
    /// The connection is lost, once all has been received.
    Lost,
    Refused(Status),
}

#[tonic::async_trait]
impl GrpcStdio for Plugin {
    type StreamStdioStream = ReceiverStream<Result<StdioData, Status>>;

    async fn stream_stdio(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        let next = self.streams.lock().unwrap().pop_front();
        let (pieces, end) = next.expect("asked once more");
        if let End::Refused(status) = end {
            return Err(status);
        }
        let (sender, receiver) = mpsc::channel(1);
        let lost = Arc::clone(&self.lost);
        tokio::spawn(async move {
            for (channel, data) in pieces {
                let data = StdioData {
                    channel: channel.into(),
                    data: data.into(),
                };
                sender.send(Ok(data)).await.unwrap();
            }
            if let End::Lost = end {
                // The last piece has been taken when there is room for another, and is then on its way.
                let _room = sender.reserve().await;
                tokio::task::yield_now().await;
                lost.notify_one();
                sender.closed().await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A channel to it that connects anew when its connection is lost.
fn channel(streams: Vec<Stream>) -> Channel {
    let plugin = Plugin {
        streams: Arc::new(Mutex::new(streams.into())),
        lost: Arc::default(),
    };
    let connect = tower::service_fn(move |_: Uri| {
        let plugin = plugin.clone();
        async move {
            let (client, server) = duplex(64 * 1024);
            let lost = Arc::clone(&plugin.lost);
            let routes = Routes::new(GrpcStdioServer::new(plugin)).prepare();
            let service = TowerToHyperService::new(routes);
            tokio::spawn(async move {
                let http2 = http2::Builder::new(TokioExecutor::new());
                tokio::select! {
                    _ = http2.serve_connection(TokioIo::new(server), service) => {}
                    () = lost.notified() => {}
                }
            });
            Ok::<_, io::Error>(TokioIo::new(client))
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
}

/// Fetches all that there is; ends with the last lines of stderr.
async fn fetched(streams: Vec<Stream>, writers: Writers) -> Vec<String> {
    let tail = Tail::default();
    let stdio = HostStdio::new("test".into(), writers, tail.clone());
    stdio.open(channel(streams), std::future::pending());
    timeout(SOON, stdio.drained()).await.unwrap();
    tail.lines()
}

fn to_stdout(writer: impl AsyncWrite + Send + 'static) -> Writers {
    Writers {
        stdout: Some(Writer::new(writer)),
        stderr: None,
    }
}

#[tokio::test]
async fn pieces_are_put_together_to_lines_and_what_has_no_end_is_not_lost() {
    let pieces: Vec<(_, &[u8])> = vec![
        (Stderr, b"one\ntw"),
        (Stdout, b"elsewhere"),
        (Invalid, b"nowhere\n"),
        (Stderr, b"o\n"),
        (Stderr, b"three"),
    ];
    let lines = fetched(vec![(pieces, End::NoMore)], Writers::default()).await;
    assert_eq!(lines, ["one", "two", "three"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_lost_with_its_connection_is_opened_again() {
    let (writer, mut reader) = duplex(1024);
    let streams: Vec<Stream> = vec![
        (vec![(Stdout, b"before ")], End::Lost),
        (vec![(Stdout, b"between ")], End::Lost),
        (vec![(Stdout, b"after")], End::NoMore),
    ];
    let writers = to_stdout(writer);
    fetched(streams, writers.clone()).await;
    drop(writers);
    let mut read = String::new();
    reader.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "before between after");
}

#[tokio::test]
async fn a_plugin_that_refuses_is_not_asked_again() {
    for status in [Status::unimplemented(""), Status::aborted("taken over")] {
        // Asked again, it would panic.
        fetched(vec![(vec![], End::Refused(status))], Writers::default()).await;
    }
}

#[tokio::test]
async fn a_writer_that_fails_is_left_and_the_plugin_is_not_held_up() {
    // It panics if it is asked once more.
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let writer = tokio_test::io::Builder::new().write_error(full).build();
    let writers = Writers {
        stdout: None,
        stderr: Some(Writer::new(writer)),
    };
    let pieces: Vec<(_, &[u8])> = vec![(Stderr, b"one\n"), (Stderr, b"two\n")];
    assert_eq!(
        fetched(vec![(pieces, End::NoMore)], writers).await,
        ["one", "two"]
    );
}

#[tokio::test]
async fn a_process_that_is_gone_is_not_asked_again() {
    let stdio = HostStdio::new("test".into(), Writers::default(), Tail::default());
    let streams: Vec<Stream> = vec![(vec![(Stdout, b"last")], End::Lost)];
    stdio.open(channel(streams), std::future::ready(()));
    timeout(SOON, stdio.drained()).await.unwrap();
}

#[tokio::test]
async fn what_is_never_opened_is_not_waited_for() {
    let stdio = HostStdio::new("test".into(), Writers::default(), Tail::default());
    stdio.drained().await;
    let drained = stdio.drained();
    drop(stdio);
    drained.await;
}
