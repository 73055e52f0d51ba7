//! Answers to requests that carried a request id, so that a repeat gets the first answer.

use std::time::Duration;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::Store;
use super::entity::remembered_request as request;
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// How long an answer is remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestKey<'a> {
    /// Whose.
    pub(crate) api_key_id: ApiKeyId,
    /// Its rpc.
    pub(crate) rpc: &'a str,
    /// The caller's id of it.
    pub(crate) request_id: &'a str,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Hash of the request.
    pub(crate) content_hash: Vec<u8>,
    /// The encoded answer, secrets left out.
    pub(crate) response: Vec<u8>,
}

impl Store {
    /// The answer to this request, if it was asked within the last day.
    pub(crate) async fn remembered(&self, key: RequestKey<'_>) -> Result<Option<Remembered>> {
        let row = request::Entity::find_by_id((key.api_key_id.0, key.rpc.to_owned(), key.request_id.to_owned()))
            .filter(request::Column::CreateTime.gt(UnixMicros::now().minus(REMEMBERED).0))
            .one(self.read())
            .await?;
        Ok(row.map(|row| Remembered { content_hash: row.content_hash, response: row.response }))
    }

    /// Remembers an answer; an older one of the same id is replaced.
    pub(crate) async fn remember(&self, key: RequestKey<'_>, answer: Remembered) -> Result<()> {
        use request::Column::{ApiKeyId, ContentHash, CreateTime, RequestId, Response, Rpc};
        let row = request::ActiveModel {
            api_key_id: Set(key.api_key_id.0),
            rpc: Set(key.rpc.to_owned()),
            request_id: Set(key.request_id.to_owned()),
            content_hash: Set(answer.content_hash),
            response: Set(answer.response),
            create_time: Set(UnixMicros::now().0),
        };
        let replace = OnConflict::columns([ApiKeyId, Rpc, RequestId]).update_columns([ContentHash, Response, CreateTime]).to_owned();
        let tx = self.begin().await?;
        request::Entity::insert(row).on_conflict(replace).exec_without_returning(&tx).await?;
        Ok(tx.commit().await?)
    }
}
