//! Writes that must come about although the database is away for a while.

use std::time::Duration;

use tokio::time::Instant;

use super::fence::Fence;
use crate::domain::{Error, Result, RunId};

/// How long a database that is away is waited for, as long as the fence is not passed.
const PATIENCE: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tries `write` until the database takes or refuses it. Errors: `Fenced` when the fence is passed before.
pub(super) async fn patiently<T, F>(fence: &Fence, run: RunId, what: &str, mut write: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let why = match write().await {
            Err(Error::StoreUnavailable(why)) if began.elapsed() < PATIENCE => why,
            done => return done,
        };
        tracing::warn!(run.id = %run, error = why, "{what} cannot be written, trying again");
        tokio::select! { () = fence.passed() => return Err(Error::Fenced), () = tokio::time::sleep(pause) => {} }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
