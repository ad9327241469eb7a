//! A plugin to be killed, stopped and overloaded, and how its hosts know it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mainstay::{Method, Methods};
use mainstay_plugin::{Cookie, InvalidCookie, Plugin};
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::trial_proto::trial_server::{Trial, TrialServer};
use crate::trial_proto::{Answer, Chunk, ReadRequest, WriteRequest};

/// The app protocol version of the contract.
pub const VERSION: u32 = 1;

/// Where the plugin writes down which calls ran: the name of a variable of its environment.
pub const RUNS: &str = "TRIAL_RUNS";

/// The calls that ran, in a file that outlives the plugin: eight bytes for each, in the order in which
/// they began. Many processes may append to it at once.
#[derive(Debug)]
pub struct Runs(PathBuf);

#[derive(Debug)]
struct Service {
    /// None if nobody wants to know.
    runs: Option<Arc<File>>,
}

/// The cookie of this plugin.
///
/// # Errors
/// None: key and value are right.
pub fn cookie() -> Result<Cookie, InvalidCookie> {
    Cookie::new("MAINSTAY_TRIAL", "trial")
}

/// What is known of its methods.
#[must_use]
pub fn methods() -> Methods {
    Methods::new()
        .with_method("trial.Trial/Read", Method::unary().idempotent())
        .with_method("trial.Trial/Write", Method::unary())
        .with_method("trial.Trial/Echo", Method::streaming())
}

/// The plugin, ready to serve; it writes down what runs if its environment says where.
///
/// # Errors
/// If it cannot write there.
pub fn plugin() -> Result<Plugin, Box<dyn std::error::Error>> {
    let runs = match std::env::var_os(RUNS) {
        Some(path) => Some(Arc::new(append_to(Path::new(&path))?)),
        None => None,
    };
    let service = TrialServer::new(Service { runs });
    Ok(Plugin::new(cookie()?, VERSION, Routes::new(service)))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Runs {
    /// In this file, which need not be there yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The ids of all calls that ran, as often as they did.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self) -> io::Result<Vec<u64>> {
        let bytes = std::fs::read(&self.0)?;
        let ids = bytes.as_chunks::<8>().0.iter();
        Ok(ids.map(|it| u64::from_le_bytes(*it)).collect())
    }
}

#[tonic::async_trait]
impl Trial for Service {
    type EchoStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Answer>, Status> {
        let ReadRequest {
            milliseconds,
            answer_size,
        } = request.into_inner();
        Ok(answer(milliseconds, answer_size).await)
    }

    async fn write(&self, request: Request<WriteRequest>) -> Result<Response<Answer>, Status> {
        let WriteRequest {
            id,
            milliseconds,
            answer_size,
        } = request.into_inner();
        if let Some(mut runs) = self.runs.as_deref() {
            // One write of so few bytes at the end of a file is not mixed with those of others.
            runs.write_all(&id.to_le_bytes())?;
        }
        Ok(answer(milliseconds, answer_size).await)
    }

    async fn echo(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> Result<Response<Self::EchoStream>, Status> {
        Ok(Response::new(Box::pin(request.into_inner().map(|it| it))))
    }
}

async fn answer(milliseconds: u32, size: u32) -> Response<Answer> {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
    }
    let content = vec![0; usize::try_from(size).unwrap_or(0)];
    Response::new(Answer { content })
}
