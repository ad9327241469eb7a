//! A chat over a stream in both directions, with limits: a client that is silent, stays for ever or does
//! not read holds nothing up, and its end is always noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::chat_proto::chat_server::Chat;
use crate::chat_proto::{Heard, PresentRequest, PresentResponse, Said};

/// What ends a chat.
pub const QUIT: &str = "/quit";

/// How many answers wait for a client that does not read. When they do, nothing more is read of it.
const ANSWERS: usize = 4;

/// How long a client may take to notice that the chat has ended.
const HEARS_OUT: Duration = Duration::from_secs(1);

/// Says everything back; clones are the same.
#[derive(Clone, Debug)]
pub struct Echo {
    idle: Duration,
    total: Duration,
    present: Arc<AtomicU64>,
}

/// A client, until it is gone for whatever reason.
struct Client {
    id: String,
    present: Arc<AtomicU64>,
}

impl Echo {
    /// Ends a chat in which nothing was said for `idle`, or that has lasted for `total`.
    #[must_use]
    pub fn new(idle: Duration, total: Duration) -> Self {
        Self {
            idle,
            total,
            present: Arc::default(),
        }
    }
}

impl Client {
    fn new(present: Arc<AtomicU64>) -> Self {
        present.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:032x}", rand::random::<u128>());
        tracing::info!(client = %id, "client connected");
        Self { id, present }
    }

    /// Until it quits or is silent for too long.
    async fn talk(
        &self,
        said: &mut Streaming<Said>,
        answers: &mpsc::Sender<Result<Heard, Status>>,
        idle: Duration,
    ) -> Result<(), Status> {
        loop {
            let said = timeout(idle, said.message()).await;
            let silent =
                |_| Status::deadline_exceeded(format!("chat ended: nothing was said for {idle:?}"));
            let Some(Said { message }) = said.map_err(silent)?? else {
                return Ok(());
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let answer = Heard {
                message: format!("Echo: {message}"),
                time: now.unwrap_or_default().as_secs_f64(),
                client_id: self.id.clone(),
            };
            if answers.send(Ok(answer)).await.is_err() || message == QUIT {
                return Ok(());
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.present.fetch_sub(1, Ordering::Relaxed);
        tracing::info!(client = %self.id, "client disconnected");
    }
}

#[tonic::async_trait]
impl Chat for Echo {
    type TalkStream = ReceiverStream<Result<Heard, Status>>;

    async fn talk(
        &self,
        request: Request<Streaming<Said>>,
    ) -> Result<Response<Self::TalkStream>, Status> {
        let client = Client::new(Arc::clone(&self.present));
        let (answers, heard) = mpsc::channel(ANSWERS);
        let mut said = request.into_inner();
        let Self { idle, total, .. } = *self;
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = client.talk(&mut said, &answers, idle) => ended,
                // Whatever it waits for: a client that does not read either.
                () = sleep(total) => {
                    Err(Status::deadline_exceeded(format!("chat ended: it has lasted {total:?}")))
                }
                () = answers.closed() => Ok(()),
            };
            drop(client);
            if let Err(status) = ended {
                // The client may not read; it is not waited for.
                let _ = timeout(idle, answers.send(Err(status))).await;
            }
            drop(answers);
            // Who is still speaking would be reset, and that overtakes what ended the chat.
            let rest = async { while let Ok(Some(_)) = said.message().await {} };
            let _ = timeout(HEARS_OUT, rest).await;
        });
        Ok(Response::new(ReceiverStream::new(heard)))
    }

    async fn present(
        &self,
        _: Request<PresentRequest>,
    ) -> Result<Response<PresentResponse>, Status> {
        Ok(Response::new(PresentResponse {
            clients: self.present.load(Ordering::Relaxed),
        }))
    }
}
