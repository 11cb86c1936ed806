//! A time limit for each check, and errors in words.

use std::time::Duration;

/// Longest wait for one thing over the network.
const LIMIT: Duration = Duration::from_secs(15);

/// Waits for an answer for as long as one check may take; an error in words.
pub(super) async fn limited<T, E: Into<anyhow::Error>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(in_words),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

pub(super) fn in_words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
