//! Answers to requests that carried a request id, so that a repeat gets the first answer.

use std::time::Duration;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::Store;
use super::entity::remembered_request as request;
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// How long an answer is remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Stands for the answer of a request that is at work, or was when its server died. No message begins so.
const AT_WORK: &[u8] = &[0xff];

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// Its answer.
    Answered(Vec<u8>),
    /// That it was begun, and when.
    Begun(UnixMicros),
}

impl Store {
    /// Hash and answer of this key's request to this rpc, if it was asked within the last day.
    pub(crate) async fn remembered_request(&self, key: ApiKeyId, rpc: &str, request_id: &str) -> Result<Option<([u8; 32], Remembered)>> {
        let row = request::Entity::find_by_id((key.0, rpc.to_owned(), request_id.to_owned()))
            .filter(request::Column::CreateTime.gt(UnixMicros::now().minus(REMEMBERED).0))
            .one(self.read())
            .await?;
        let known = |row: &request::Model| match row.response.as_slice() {
            AT_WORK => Remembered::Begun(UnixMicros(row.create_time)),
            answer => Remembered::Answered(answer.to_vec()),
        };
        Ok(row.and_then(|row| Some((row.content_hash.as_slice().try_into().ok()?, known(&row)))))
    }

    /// Notes that a request is at work, and gives the time of that; an older one of the same id is replaced.
    pub(crate) async fn begin_request(&self, key: ApiKeyId, rpc: &str, request_id: &str, content: [u8; 32]) -> Result<UnixMicros> {
        use request::Column::{ApiKeyId, ContentHash, CreateTime, RequestId, Response, Rpc};
        let now = UnixMicros::now();
        let row = request::ActiveModel {
            api_key_id: Set(key.0),
            rpc: Set(rpc.to_owned()),
            request_id: Set(request_id.to_owned()),
            content_hash: Set(content.to_vec()),
            response: Set(AT_WORK.to_vec()),
            create_time: Set(now.0),
        };
        let replace = OnConflict::columns([ApiKeyId, Rpc, RequestId]).update_columns([ContentHash, Response, CreateTime]).to_owned();
        request::Entity::insert(row).on_conflict(replace).exec_without_returning(self.write()).await?;
        Ok(now)
    }

    /// Forgets a request that came to nothing.
    pub(crate) async fn forget_request(&self, key: ApiKeyId, rpc: &str, request_id: &str) -> Result<()> {
        request::Entity::delete_by_id((key.0, rpc.to_owned(), request_id.to_owned())).exec(self.write()).await?;
        Ok(())
    }

    /// Remembers the answer of a request that was begun.
    pub(crate) async fn remember_request(&self, key: ApiKeyId, rpc: &str, request_id: &str, response: Vec<u8>) -> Result<()> {
        request::Entity::update_many()
            .col_expr(request::Column::Response, Expr::value(response))
            .filter(request::Column::ApiKeyId.eq(key.0))
            .filter(request::Column::Rpc.eq(rpc))
            .filter(request::Column::RequestId.eq(request_id))
            .exec(self.write())
            .await?;
        Ok(())
    }
}
