//! Hints between servers: a word on PostgreSQL's notification channel. What is told may get lost; whoever listens also looks.

use sea_orm::{ConnectionTrait, Value};
use sqlx::postgres::PgListener;

use super::Store;
use super::sql::statement;
use crate::domain::{Error, Result};

const CHANNEL: &str = "reprise";

/// The listening end.
#[derive(Debug)]
pub(crate) struct Bell(PgListener);

impl Store {
    /// Tells the other servers a word. A statement of its own, after what it tells of was committed: in a transaction that
    /// writes it would make all such transactions queue for one lock.
    pub(crate) async fn ring(&self, word: String) -> Result<()> {
        let values: Vec<Value> = vec![CHANNEL.into(), word.into()];
        self.write().execute_raw(statement(self.backend(), "SELECT pg_notify(?, ?)", values)).await?;
        Ok(())
    }

    /// Begins to listen, on a connection of its own.
    pub(crate) async fn listen(&self) -> Result<Bell> {
        let trouble = |error: sqlx::Error| Error::StoreUnavailable(error.to_string());
        let mut listener = PgListener::connect_with(self.read().get_postgres_connection_pool()).await.map_err(trouble)?;
        listener.listen(CHANNEL).await.map_err(trouble)?;
        Ok(Bell(listener))
    }
}

impl Bell {
    /// The next word; none: the connection was lost and is there again, so that something may have been missed.
    pub(crate) async fn word(&mut self) -> Result<Option<String>> {
        let heard = self.0.try_recv().await.map_err(|error| Error::StoreUnavailable(error.to_string()))?;
        Ok(heard.map(|heard| heard.payload().to_owned()))
    }
}
