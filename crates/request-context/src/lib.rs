//! Request id, client, deadline and trace: carried with the request, read anywhere below it.

mod id;
mod text;

pub use id::{Id, InvalidId};
