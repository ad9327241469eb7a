//! An HTTP client with connections of its own.
//!
//! It is made of this workspace's parts: connections are lent fairly by a pool, names are looked up once
//! and remembered in a cache, and a host may have retries and a circuit. HTTP/1.1 and HTTP/2 by ALPN, over
//! hyper and rustls.
//!
//! **A request is sent twice only if nothing of it was sent before, if the server says that it did not
//! look at it, or if it may be sent twice and the client was [told to](Http::with_retries).**
//!
//! ```no_run
//! use mainstay::http::{Error, Http};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Order {
//!     item: String,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Error> {
//! let client = Http::new().client();
//! let order = Order { item: "tea".into() };
//! let answer = client.post("https://shop.example/orders").json(&order).send().await?;
//! let answer = answer.error_for_status().await?; // or the status, with what the server said
//! let _placed: Order = answer.json().await?;
//! client.close(std::time::Duration::from_secs(5)).await.ok();
//! # Ok(()) }
//! ```
//!
//! [`Http`] has a table of the settings and their defaults.
//!
//! # Clone
//! Clones of a [`Client`] share everything.
//!
//! # Cancel safety
//! A request or an answer that is dropped costs at most its connection, never the next request: an
//! answer of HTTP/1.1 is read to its end if that is not far, or else its connection is closed.
//!
//! # Panics
//! Outside of tokio's runtime with its time and IO enabled.

mod body;
mod client;
mod connect;
mod connection;
mod dns;
mod draft;
mod error;
mod redirect;
mod request;
mod response;
mod retry;
mod setup;

pub use body::Body;
pub use client::Client;
pub use dns::{Resolve, Resolving, SystemResolver};
pub use error::{Error, InvalidRequest, RedirectRefused, StatusError, TimedOut, TooLarge};
pub use request::Request;
pub use response::Response;
pub use setup::{Http, InvalidHttp};

// What the settings are made of.
pub use mainstay_ttl_cache as ttl_cache;
pub use rustls;
