//! Slow work off the async threads.

use crate::error::WalletError;
use crate::password::restore_terminal;

/// Runs `work` on a thread of its own, as it may take seconds, half a gibibyte or a person at a
/// keyboard. It blocks neither other tasks nor the end of the program. If the future is dropped,
/// the terminal is restored.
///
/// # Errors
/// Those of `work`, and [`WalletError::Stopped`] when no thread can be started.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WalletError> + Send + 'static,
) -> Result<T, WalletError> {
    struct Terminal;
    impl Drop for Terminal {
        fn drop(&mut self) {
            restore_terminal();
        }
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("wallet".to_owned());
    let thread = thread.spawn(move || {
        let _given_up = sender.send(work());
    });
    let thread = thread.map_err(|_| WalletError::Stopped)?;
    let _terminal = Terminal;
    match receiver.await {
        Ok(result) => result,
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => Err(WalletError::Stopped),
        },
    }
}
