use std::time::{Duration, Instant};

use mainstay_examples::proto::GetRequest;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::{Request, Status};

use crate::host::{Client, Host};
use crate::seen::Seen;

/// How long a caller wants to wait for an answer, at most.
const DEADLINE: Duration = Duration::from_secs(5);

/// Between two calls of a caller: who meets a dead plugin is not to make a thousand calls of it.
const PAUSE: Duration = Duration::from_millis(1);

/// Callers that call again and again, until they are dropped.
pub(crate) fn start(callers: u16, host: &impl Host, seen: &Seen) -> JoinSet<()> {
    let callers = (0..callers).map(|it| call(it, host.client(it), seen.clone()));
    callers.collect()
}

async fn call(caller: u16, mut kv: Client, seen: Seen) {
    for number in 0_u64.. {
        let key = format!("caller {caller}, call {number}");
        let begun = Instant::now();
        let outcome = get(&mut kv, key).await;
        seen.called(begun.elapsed(), outcome);
        sleep(PAUSE).await;
    }
}

async fn get(kv: &mut Client, key: String) -> Result<(), Status> {
    let mut request = Request::new(GetRequest { key: key.clone() });
    request.set_timeout(DEADLINE);
    let value = kv.get(request).await?.into_inner().value;
    if value == key.as_bytes() {
        return Ok(());
    }
    let value = String::from_utf8_lossy(&value);
    Err(Status::data_loss(format!(
        "asked for {key:?} and got {value:?}"
    )))
}
