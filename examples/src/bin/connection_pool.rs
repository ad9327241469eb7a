//! Lends connections to a server: `connection_pool --max 2 a b c d` has four callers share two connections.
//!
//! The Python original made ten connections where two were the maximum, blocked for ever when the surplus
//! was given back, and let a caller wait for ever when the connection that it waited for broke. Here a
//! place is taken before a connection is made, giving back never waits, and one that broke is replaced.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mainstay_batch::{Concurrency, map_concurrent};
use mainstay_conn_pool::{Connection, Limits, Pool, PoolLayer, Times};
use mainstay_examples::line_server::LineServer;
use mainstay_examples::program::{self, BoxError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tower::{Layer, service_fn};

/// Sends words over the connections of a pool, all at once, to a server that answers in capitals.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many connections there may be.
    #[arg(long, default_value = "2")]
    max: NonZeroU32,
    /// The server; by default one that runs in this process.
    #[arg(long)]
    server: Option<SocketAddr>,
    /// At "quit" the server closes the connection.
    #[arg(required = true)]
    words: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> Result<(), BoxError> {
    let server = LineServer::start().await?;
    let address = arguments.server.unwrap_or(server.address());
    let times = Times::new().with_fail_fast_after(Duration::ZERO);
    let pool = PoolLayer::new(Limits::new(arguments.max))
        .with_times(times)
        .with_name("capitals")
        .layer(service_fn(move |()| Line::connect(address)));

    let words = &arguments.words;
    let all = Concurrency::new(words.len())?;
    let answers = map_concurrent(words, all, |word| ask(&pool, word))
        .collect()
        .await;
    let done = program::print_each(words, answers);
    println!("connections at once: {}", server.most());
    println!("connections made: {}", pool.snapshot().created);
    pool.drain(Duration::from_secs(1)).await?;
    done
}

async fn ask(pool: &Pool<Line>, word: &str) -> Result<String, BoxError> {
    pool.acquire().await?.ask(word).await
}

/// A connection that carries one line at a time.
struct Line {
    stream: BufReader<TcpStream>,
    is_broken: bool,
}

impl Line {
    async fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = BufReader::new(TcpStream::connect(server).await?);
        Ok(Self {
            stream,
            is_broken: false,
        })
    }

    async fn ask(&mut self, word: &str) -> Result<String, BoxError> {
        // Until it has been answered: whoever comes next would read the answer to this word.
        self.is_broken = true;
        self.stream
            .write_all(format!("{word}\n").as_bytes())
            .await?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        self.is_broken = false;
        Ok(answer.trim_end().into())
    }
}

impl Connection for Line {
    fn is_broken(&self) -> bool {
        self.is_broken
    }
}
