//! The futures and streams of this crate.

pub use crate::{
    chunks::Chunks,
    collect::{Collect, TryCollect},
    function::Function,
    items::{Items, OkItems},
    load_many::LoadMany,
    loader::Load,
    response::ResponseFuture,
    spawned::{Spawned, SpawnedFuture},
    stages::{KeepIf, KeepSome},
};
