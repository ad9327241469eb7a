//! Multiplexed connections: who dials knocks, and opens a stream when that is answered; who accepts
//! has a door open for it by then.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::link::{Link, ended};
use super::{BrokerFailure, WITHIN};
use crate::generated::ConnInfo;
use crate::generated::conn_info::Knock;
use crate::mux::{MuxStream, Order, Session, Turn};

/// How long a dial waits for those before it, each of which may wait for [`WITHIN`].
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// How long a knock is kept for a number that nobody accepts yet. A little less than who knocks waits
/// for the answer: one that comes too late has a door open for nobody.
const KEPT_FOR: Duration = Duration::from_millis(4900);

/// How many knocks are kept; what comes beyond that is dropped.
const MOST_KEPT: usize = 4096;

/// The numbers that are accepted, and knocks for those that are not yet.
#[derive(Debug, Default)]
pub(crate) struct Accepting {
    numbers: HashMap<u32, mpsc::Sender<MuxStream>>,
    kept: VecDeque<(Instant, u32)>,
}

/// Who waits for the answer to a knock.
#[derive(Debug)]
pub(crate) struct Knocking {
    id: u32,
    order: Order,
    /// The answer, if it is an error.
    refused: oneshot::Sender<String>,
}

/// Somebody who has knocked.
struct Waiting<'a> {
    link: &'a Link,
    opened: oneshot::Receiver<MuxStream>,
    refusal: oneshot::Receiver<String>,
}

impl Accepting {
    /// False if the number is accepted already.
    pub(super) fn begin(&mut self, id: u32, streams: mpsc::Sender<MuxStream>) -> bool {
        if self.numbers.contains_key(&id) {
            return false;
        }
        self.numbers.insert(id, streams);
        true
    }

    pub(super) fn end(&mut self, id: u32) {
        self.numbers.remove(&id);
    }

    /// Where streams for a number go, or else the knock is kept.
    fn knocked(&mut self, id: u32, now: Instant) -> Option<mpsc::Sender<MuxStream>> {
        let streams = self.numbers.get(&id).cloned();
        if streams.is_none() {
            self.expire(now);
            if self.kept.len() < MOST_KEPT {
                self.kept.push_back((now + KEPT_FOR, id));
            }
        }
        streams
    }

    /// How many knocks there were for a number that nobody accepted then.
    fn take_kept(&mut self, id: u32, now: Instant) -> usize {
        self.expire(now);
        let before = self.kept.len();
        self.kept.retain(|(_, kept)| *kept != id);
        before - self.kept.len()
    }

    fn expire(&mut self, now: Instant) {
        while self.kept.front().is_some_and(|(until, _)| *until <= now) {
            self.kept.pop_front();
        }
    }
}

impl Link {
    /// Opens a stream to what the other side accepts under a number.
    pub(crate) async fn knock(&self, id: u32) -> Result<MuxStream, BrokerFailure> {
        let knocking = self.ended().run_until_cancelled(self.knock_and_wait(id));
        knocking.await.unwrap_or_else(|| Err(ended()))
    }

    async fn knock_and_wait(&self, id: u32) -> Result<MuxStream, BrokerFailure> {
        let session = self.session().ok_or_else(ended)?;
        let turn = timeout(TURN_WITHIN, session.turn());
        let turn: Turn = turn.await.map_err(|_| BrokerFailure::Busy(TURN_WITHIN))?;
        let (reply, opened) = oneshot::channel();
        let (refused, refusal) = oneshot::channel();
        let order = Order { reply, turn };
        *self.knocking() = Some(Knocking { id, order, refused });
        let mut waiting = Waiting {
            link: self,
            opened,
            refusal,
        };
        self.send(message(id, false, String::new())).await?;

        let answer = async {
            tokio::select! {
                biased;
                Ok(refusal) = &mut waiting.refusal => Err(BrokerFailure::Refused(refusal)),
                stream = &mut waiting.opened => stream.map_err(|_| ended()),
            }
        };
        timeout(WITHIN, answer)
            .await
            .unwrap_or(Err(BrokerFailure::NotAcknowledged(WITHIN)))
    }

    /// A knock of the other side's, or the answer to one of this side's.
    pub(super) async fn knocked(&self, id: u32, knock: &Knock) {
        let Some(session) = self.session() else {
            return;
        };
        match (knock.knock, knock.ack) {
            (true, false) => {
                let streams = self.accepting().knocked(id, Instant::now());
                if let Some(streams) = streams {
                    self.answer(&session, id, streams).await;
                }
            }
            (true, true) => self.answered(&session, id, &knock.error).await,
            (false, _) => tracing::debug!(id, ?knock, "knock ignored: it is none"),
        }
    }

    /// Answers those who knocked before the number was accepted.
    pub(super) async fn answer_knocks(&self, id: u32) -> Result<(), BrokerFailure> {
        let session = self.session().ok_or_else(ended)?;
        let (kept, streams) = {
            let mut accepting = self.accepting();
            let kept = accepting.take_kept(id, Instant::now());
            (kept, accepting.numbers.get(&id).cloned())
        };
        for _ in 0..kept {
            if let Some(streams) = &streams {
                self.answer(&session, id, streams.clone()).await;
            }
        }
        Ok(())
    }

    /// First the door, then the answer.
    async fn answer(&self, session: &Session, id: u32, streams: mpsc::Sender<MuxStream>) {
        let error = if session.open_door(streams) {
            String::new()
        } else {
            "too many connections are being made".to_owned()
        };
        // If it cannot be sent, all of it ends.
        let _ = self.send(message(id, true, error)).await;
    }

    async fn answered(&self, session: &Session, id: u32, error: &str) {
        let knocking = self.knocking().take_if(|knocking| knocking.id == id);
        match knocking {
            Some(Knocking { order, .. }) if error.is_empty() => session.order(Some(order)).await,
            // Its turn ends with it.
            Some(Knocking { refused, .. }) => {
                let _ = refused.send(error.chars().take(200).collect());
            }
            // Who knocked has given up; but the other side has a door open, and through that would come
            // whatever is opened next.
            None if error.is_empty() => session.order(None).await,
            None => {}
        }
    }
}

fn message(id: u32, ack: bool, error: String) -> ConnInfo {
    ConnInfo {
        service_id: id,
        knock: Some(Knock {
            knock: true,
            ack,
            error,
        }),
        ..ConnInfo::default()
    }
}

impl Drop for Waiting<'_> {
    /// With the knock goes its turn; if it was answered, somebody else may be knocking by now.
    fn drop(&mut self) {
        self.opened.close();
        let mut knocking = self.link.knocking();
        drop(knocking.take_if(|it| it.order.reply.is_closed()));
    }
}
