use std::future::Future;
use std::time::{Duration, Instant};

use mainstay_examples::proto::{GetRequest, PutRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::BoxError;
use crate::instances::Instances;
use crate::stack::Client;
use crate::stats::Stats;

/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long a caller whose call has failed waits for the plugin to be back.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How many keys each caller uses in turn.
const KEYS: u64 = 64;

/// Callers that call without a pause, each its own keys.
#[derive(Debug)]
pub(crate) struct Load(JoinSet<BoxError>);

struct Caller {
    name: u16,
    kv: Client,
    seen: Seen,
}

/// What a caller sees of its calls.
struct Seen {
    instances: Instances,
    stats: Stats,
}

impl Load {
    pub(crate) fn start(callers: u16, kv: &Client, instances: &Instances, stats: &Stats) -> Self {
        let callers = (0..callers).map(|name| Caller {
            name,
            kv: kv.clone(),
            seen: Seen {
                instances: instances.clone(),
                stats: stats.clone(),
            },
        });
        Self(callers.map(Caller::run).collect())
    }

    /// Resolves when a caller has met what must not be.
    pub(crate) async fn ended(&mut self) -> BoxError {
        match self.0.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(panic)) => panic.into(),
            None => "there are no callers".into(),
        }
    }

    /// Ends all callers; calls under way are not counted.
    pub(crate) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

impl Caller {
    async fn run(mut self) -> BoxError {
        self.seen.instances.other_than(None).await;
        let mut round = 0;
        loop {
            if let Err(error) = self.put_and_get(round).await {
                return error;
            }
            round += 1;
        }
    }

    async fn put_and_get(&mut self, round: u64) -> Result<(), BoxError> {
        let met = self.seen.instances.pid();
        let key = format!("caller {} key {}", self.name, round % KEYS);
        let value = round.to_string().into_bytes();

        let (own_key, own_value) = (key.clone(), value.clone());
        let put = self.kv.put(PutRequest { key, value });
        if self.seen.call(met, put).await.is_none() {
            return Ok(());
        }
        let key = own_key;
        let get = self.kv.get(GetRequest { key });
        match self.seen.call(met, get).await {
            Some(got) if got.value != own_value => {
                let caller = self.name;
                Err(format!("caller {caller} put {own_value:?} and got {:?}", got.value).into())
            }
            _ => Ok(()),
        }
    }
}

impl Seen {
    /// Counts a call that was begun when the process `met` ran.
    ///
    /// A call that fails with its plugin takes until the plugin is back: before that, the caller has
    /// nothing to do.
    async fn call<T>(
        &self,
        met: Option<u32>,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Option<T> {
        let begun = Instant::now();
        let answer = match timeout(DEADLINE, call).await {
            Ok(Ok(answer)) => Some(answer.into_inner()),
            Ok(Err(_)) => {
                let _ = timeout(BACK_WITHIN, self.instances.other_than(met)).await;
                None
            }
            Err(_) => None,
        };
        self.stats.called(begun.elapsed(), answer.is_some());
        answer
    }
}
