//! A server to have connections to: it answers each line in capitals.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// A server in this process, on a port of its own of the loopback interface, until the runtime ends.
#[derive(Debug)]
pub struct LineServer {
    address: SocketAddr,
    open: Arc<Open>,
}

/// How many connections there are, and how many there were at most.
#[derive(Debug, Default)]
struct Open {
    now: AtomicU32,
    most: AtomicU32,
}

impl LineServer {
    /// Starts it.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let server = Self {
            address,
            open: open.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = open.clone();
                tokio::spawn(async move {
                    open.most
                        .fetch_max(1 + open.now.fetch_add(1, Relaxed), Relaxed);
                    // Whoever has left is not to be told.
                    let mut stream = BufReader::new(stream);
                    let _ = answer(&mut stream).await;
                    // Before it is closed, which is when the next one can be made.
                    open.now.fetch_sub(1, Relaxed);
                });
            }
        });
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there were at most at a time.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.open.most.load(Relaxed)
    }
}

/// At "quit" the connection is closed.
async fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 && line != "quit\n" {
        // What takes a while.
        sleep(Duration::from_millis(2)).await;
        stream.write_all(line.to_uppercase().as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
