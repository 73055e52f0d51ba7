//! Short transactions, tried again when somebody else was in the way.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr};
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::{Error, Result};
use crate::store::transient;
use crate::{fail_point, metrics};

const MOST_TRIES: u32 = 6;

/// Why a transaction did not come about.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database refused a statement.
    Database(DbErr),
    /// The rules of the domain did.
    Domain(Error),
}

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => error.into(),
            Fault::Domain(error) => error,
        }
    }
}

/// What a step of a transaction gives.
pub(super) type Step<T> = std::result::Result<T, Fault>;

/// Runs `$body` in one write transaction, `$tx`, again if somebody was in the way: it must change nothing but the database.
///
/// A macro, since a generic function over async closures that borrow cannot promise `Send` to its callers.
macro_rules! transaction {
    ($queue:expr, $name:literal, $tx:ident => $body:expr) => {{
        let mut tries = $crate::queue::transaction::Tries::new($name);
        loop {
            let outcome: $crate::queue::transaction::Step<_> = async {
                let held = $queue.store().begin().await?;
                $crate::fail_point::pass($name, "begun");
                let done: $crate::queue::transaction::Step<_> = async {
                    let $tx = &held;
                    $body
                }
                .await;
                $crate::queue::transaction::settle($name, held, done).await
            }
            .await;
            if let Some(result) = tries.after(outcome).await {
                $queue.hint_change();
                break result;
            }
        }
    }};
}

pub(super) use transaction;

/// Commits what worked, rolls back what did not.
pub(super) async fn settle<T>(name: &str, tx: DatabaseTransaction, done: Step<T>) -> Step<T> {
    match done {
        Ok(done) => {
            fail_point::pass(name, "written");
            tx.commit().await?;
            fail_point::pass(name, "committed");
            Ok(done)
        }
        Err(fault) => {
            // What failed is what matters; a connection that cannot roll back is closed when it comes back to its pool.
            let _ = tx.rollback().await;
            Err(fault)
        }
    }
}

/// Counts the tries of one transaction.
#[derive(Debug)]
pub(super) struct Tries {
    name: &'static str,
    began: Instant,
    made: u32,
}

impl Tries {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, began: Instant::now(), made: 0 }
    }

    /// The result, or none after a pause: then it is to be tried again.
    pub(super) async fn after<T>(&mut self, outcome: Step<T>) -> Option<Result<T>> {
        self.made += 1;
        match outcome {
            Ok(done) => {
                metrics::database(self.name, self.began.elapsed());
                Some(Ok(done))
            }
            Err(Fault::Database(error)) if self.made < MOST_TRIES && transient(&error) => {
                tracing::debug!(transaction = self.name, tries = self.made, %error, "transaction is tried again");
                tokio::time::sleep(pause(self.made)).await;
                None
            }
            Err(fault) => Some(Err(fault.into())),
        }
    }
}

/// Longer each time, and never the same for two who met.
fn pause(tries: u32) -> Duration {
    let jitter = Uuid::now_v7().as_u128() % 8;
    Duration::from_millis((1 << tries) + u64::try_from(jitter).unwrap_or(0))
}
