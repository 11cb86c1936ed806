//! A judge for tests of others: asked as often as in production, and sooner.

use super::*;

impl Gemini {
    /// Waits this long for each attempt, and hardly between them.
    pub(crate) fn in_a_hurry(self, attempt_timeout: Duration) -> Self {
        let delay = Duration::from_millis(1);
        let retry = RetryPolicy { attempt_timeout, first_delay: delay, max_delay: delay, ..RETRY };
        Self { service: Service { retry, ..SERVICE }, ..self }
    }
}
