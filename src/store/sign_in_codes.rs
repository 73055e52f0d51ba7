//! Codes that sign a browser in once. Only their hashes are here.

use sea_orm::ConnectionTrait as _;

use super::Store;
use super::sql::statement;
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// What is known of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCode {
    /// The key that the code's key ends with.
    pub(crate) made_by: ApiKeyId,
    pub(crate) made_by_name: String,
    pub(crate) expire_time: UnixMicros,
    /// When the code's key ends at the latest.
    pub(crate) key_expire_time: Option<UnixMicros>,
}

/// Stores a code, and forgets those whose time is over.
pub(crate) async fn insert(store: &Store, hash: &[u8; 32], code: &StoredCode, now: UnixMicros) -> Result<()> {
    let backend = store.backend();
    let old = statement(backend, "DELETE FROM sign_in_codes WHERE expire_time <= ?", vec![now.0.into()]);
    store.write().execute_raw(old).await?;
    let text = "INSERT INTO sign_in_codes (hash, role, made_by, made_by_name, create_time, expire_time, key_expire_time) \
                VALUES (?, 'admin', ?, ?, ?, ?, ?)";
    let values = vec![
        hash.to_vec().into(),
        code.made_by.0.into(),
        code.made_by_name.as_str().into(),
        now.0.into(),
        code.expire_time.0.into(),
        code.key_expire_time.map(|time| time.0).into(),
    ];
    store.write().execute_raw(statement(backend, text, values)).await?;
    Ok(())
}

/// Takes a code away: of those who ask at the same time one gets it.
pub(crate) async fn take(store: &Store, hash: &[u8; 32]) -> Result<Option<StoredCode>> {
    let text = "DELETE FROM sign_in_codes WHERE hash = ? RETURNING made_by, made_by_name, expire_time, key_expire_time";
    let row = store.write().query_one_raw(statement(store.backend(), text, vec![hash.to_vec().into()])).await?;
    row.map(|row| {
        Ok(StoredCode {
            made_by: ApiKeyId(row.try_get_by_index(0)?),
            made_by_name: row.try_get_by_index(1)?,
            expire_time: UnixMicros(row.try_get_by_index(2)?),
            key_expire_time: row.try_get_by_index::<Option<i64>>(3)?.map(UnixMicros),
        })
    })
    .transpose()
}
