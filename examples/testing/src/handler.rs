use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::time::sleep;

/// Answers requests; what it has to find out for one, it finds out at the same time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handler;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked for.
    pub data: String,
    /// Whether the user may have more today.
    pub quota_ok: bool,
}

/// Nobody has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUser(String);

impl Handler {
    /// Answers one request.
    ///
    /// # Errors
    /// If there is no such user. What was begun is dropped then.
    pub async fn handle(&self, id: u32, user: &str) -> Result<Answer, InvalidUser> {
        let (data, (), quota_ok) = tokio::try_join!(fetch(id), validate(user), check_quota(user))?;
        Ok(Answer { data, quota_ok })
    }
}

async fn fetch(id: u32) -> Result<String, InvalidUser> {
    sleep(Duration::from_millis(100)).await;
    Ok(format!("data of {id}"))
}

async fn validate(user: &str) -> Result<(), InvalidUser> {
    sleep(Duration::from_millis(50)).await;
    if user.is_empty() {
        return Err(InvalidUser(user.into()));
    }
    Ok(())
}

async fn check_quota(user: &str) -> Result<bool, InvalidUser> {
    sleep(Duration::from_millis(20)).await;
    Ok(user != "greedy")
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no user {:?}", self.0)
    }
}

impl Error for InvalidUser {}
