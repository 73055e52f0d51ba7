//! Hints to and from other servers: that there is work, that something was cancelled. All are polled for as well.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Queue;

/// Hints of one server are sent at most this often.
const EVERY: Duration = Duration::from_millis(50);
/// How long a channel that does not work is left alone.
const PAUSE: Duration = Duration::from_secs(2);

const WORK: u8 = 1;
const CANCEL: u8 = 2;

/// What other servers should be told.
#[derive(Debug, Default)]
pub(super) struct Hints {
    due: AtomicU8,
    rung: Notify,
}

impl Hints {
    pub(super) fn work(&self) {
        self.put(WORK);
    }

    pub(super) fn cancel(&self) {
        self.put(CANCEL);
    }

    fn put(&self, what: u8) {
        if self.due.fetch_or(what, Ordering::SeqCst) & what == 0 {
            self.rung.notify_one();
        }
    }
}

impl Queue {
    /// Passes hints on between this server and the others, until `stop`. Ends at once where there are no others.
    pub async fn pass_hints(self, stop: CancellationToken) {
        if !self.is_shared() {
            return;
        }
        let me = Uuid::now_v7().simple().to_string();
        tokio::select! { () = stop.cancelled() => {}, () = self.tell(&me) => {}, () = self.hear(&me) => {} }
    }

    async fn tell(&self, me: &str) {
        let hints = &self.inner.hints;
        loop {
            hints.rung.notified().await;
            let due = hints.due.swap(0, Ordering::SeqCst);
            if let Err(error) = self.store().ring(format!("{due} {me}")).await {
                tracing::debug!(%error, "other servers cannot be told; they look by themselves");
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn hear(&self, me: &str) {
        if !self.store().may_listen() {
            std::future::pending().await
        }
        loop {
            let lost = async {
                let mut bell = self.store().listen().await?;
                loop {
                    // After a lost connection anything may have been said.
                    let word = bell.word().await?;
                    let (due, from) = word.as_deref().and_then(|word| word.split_once(' ')).unwrap_or(("3", ""));
                    if from != me {
                        self.heard(due.parse().unwrap_or(WORK | CANCEL));
                    }
                }
            };
            let Err::<std::convert::Infallible, crate::domain::Error>(error) = lost.await;
            tracing::debug!(%error, "other servers cannot be heard; this one looks by itself");
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn heard(&self, due: u8) {
        if due & WORK != 0 {
            self.inner.work.notify_one();
        }
        if due & CANCEL != 0 {
            self.inner.cancel_hint.notify_one();
        }
    }
}
