//! The futures and streams of this crate.

pub use crate::{
    collect::{Collect, TryCollect},
    function::Function,
    items::{Items, OkItems},
    loader::{Load, LoadMany},
    response::ResponseFuture,
    spawned::{Spawned, SpawnedFuture},
    stages::{KeepIf, KeepSome},
};
