use std::sync::{Mutex, PoisonError};

use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::{Broker, Means};
use crate::generated::grpc_broker_client::GrpcBrokerClient;

/// The broker of a host for one plugin; it ends with this.
#[derive(Debug)]
pub(crate) struct HostBroker {
    broker: Broker,
    means: Means,
    /// What reads the stream.
    reading: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl HostBroker {
    pub(crate) fn new(means: Means) -> Self {
        Self {
            broker: Broker::new(),
            means,
            reading: Mutex::new(None),
        }
    }

    pub(crate) const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Opens the stream, unless it is open.
    pub(crate) fn open(&self, channel: Channel) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broker.is_open() {
            return;
        }
        let (link, outgoing) = self.broker.open(self.means.clone());
        let broker = self.broker.clone();
        let task = self.broker.spawn(async move {
            // Some answer only when they have something to say.
            let why = match GrpcBrokerClient::new(channel).start_stream(outgoing).await {
                Ok(incoming) => link.run(incoming.into_inner()).await,
                Err(status) => format!("the plugin has none: {status}"),
            };
            broker.ended(&link, &why);
        });
        *reading = Some(AbortOnDropHandle::new(task));
    }

    /// Ends it before the plugin does; calls under way may finish.
    pub(crate) fn close(&self) {
        self.broker.close("the plugin was stopped");
        // With it goes the stream, which a plugin may wait for the end of.
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        drop(reading.take());
    }
}

impl Drop for HostBroker {
    fn drop(&mut self) {
        self.broker.abort("the plugin has ended");
        if let Some(strays) = &self.means.strays {
            strays.remove();
        }
    }
}
