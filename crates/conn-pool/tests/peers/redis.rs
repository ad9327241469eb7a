use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mainstay_conn_pool::Connection;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::{BoxError, MAX_SIZE, Server, Usable, pool, survives};

struct Redis {
    folder: TempDir,
    process: Option<Child>,
}

/// A client of a few lines, for which one call at a time is under way.
struct Client {
    stream: BufReader<UnixStream>,
    /// A call was begun and not ended: whatever comes next is not the answer to the next.
    amid: bool,
}

impl Client {
    async fn connect(socket: &Path) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::connect(socket).await?);
        let amid = false;
        Ok(Self { stream, amid })
    }

    async fn call(&mut self, command: &str) -> io::Result<String> {
        self.amid = true;
        self.stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let mut answer = self.line().await?;
        if let Some(length) = answer.strip_prefix('$') {
            let length: usize = length.parse().map_err(io::Error::other)?;
            let mut bytes = vec![0; length + 2];
            self.stream.read_exact(&mut bytes).await?;
            answer = String::from_utf8_lossy(&bytes).into_owned();
        }
        self.amid = false;
        Ok(answer)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Connection for Client {
    fn is_broken(&self) -> bool {
        self.amid
    }

    fn is_reusable(&self) -> bool {
        !self.amid
    }

    async fn check(&mut self) -> Result<(), BoxError> {
        match self.call("PING").await?.as_str() {
            "+PONG" => Ok(()),
            other => Err(other.into()),
        }
    }

    async fn close(mut self) {
        let _ = self.call("QUIT").await;
    }
}

impl Usable for Client {
    async fn use_it(&mut self) -> Result<(), BoxError> {
        let answer = self.call("ECHO hello").await?;
        assert_eq!(answer.trim_end(), "hello");
        Ok(())
    }
}

impl Redis {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}

impl Server for Redis {
    async fn start(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        self.process = Some(command.spawn().expect("Redis is installed"));
        let ready = async {
            while Client::connect(&self.socket()).await.is_err() {
                // A real sleep, as nothing tells us when another process listens.
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), ready).await.unwrap();
    }

    async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_pool_of_redis_connections_survives_its_server() {
    let mut server = Redis {
        folder: tempfile::tempdir().unwrap(),
        process: None,
    };
    server.start().await;
    let socket = server.socket();
    let connector = service_fn(move |()| {
        let socket = socket.clone();
        async move { Ok::<_, BoxError>(Client::connect(&socket).await?) }
    });
    let pool = pool(connector);
    let work = survives(&pool, &mut server);
    timeout(Duration::from_secs(120), work).await.unwrap();

    let mut watcher = Client::connect(&server.socket()).await.unwrap();
    let mut clients = async || {
        let list = watcher.call("CLIENT LIST").await.unwrap();
        list.matches("addr=").count() - list.matches("laddr=").count() - 1
    };
    assert!(clients().await <= MAX_SIZE as usize);
    pool.drain(Duration::from_secs(5)).await.unwrap();
    let gone = async {
        while clients().await > 0 {
            // A real sleep: it is the server that has to notice.
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    server.kill().await;
}
