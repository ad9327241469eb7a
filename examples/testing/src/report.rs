use std::time::Duration;

use mainstay_tasks::{Period, StartError, Tasks};
use tokio::sync::mpsc::Sender;

use crate::BoxError;

/// Starts a background task that counts to whoever listens, once a minute.
///
/// # Errors
/// If it was started before.
pub fn report(tasks: &Tasks, to: Sender<u32>) -> Result<(), StartError> {
    let minute = Period::new(Duration::from_secs(60)).expect("it is not zero");
    let mut count = 0;
    tasks.start_periodic("report", minute, move || {
        count += 1;
        let (to, count) = (to.clone(), count);
        async move { to.send(count).await.map_err(BoxError::from) }
    })
}
