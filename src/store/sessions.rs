//! Sessions, read, and what they take on disk.

use sea_orm::sea_query::{Expr, Func, LikeExpr};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, ExprTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Select, Value,
};

use super::entity::conversation;
use super::entity::session::{self, Column};
use super::page::cut;
use super::rows::{session_of, sessions_of};
use super::sql::statement;
use super::{Store, payload};
use crate::domain::{
    Cursor, Manifest, Page, PageRequest, Result, Session, SessionFilter, SessionId, SessionOrder, SessionState, SessionStorage, TriggerId,
    UnixMicros,
};

/// Written out, not bound: only so does SQLite see that the index of threads fits.
const THREADS: &str = "kind = 'thread'";

impl Store {
    /// The session of this id, with its conversations.
    pub(crate) async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        let row = session::Entity::find_by_id(id.0).all(self.read()).await?;
        Ok(sessions_of(self.read(), row).await?.pop())
    }

    /// The session of this thread, with its conversations.
    pub(crate) async fn session_by_key(&self, trigger: TriggerId, thread_key: &str) -> Result<Option<Session>> {
        let thread = session::Entity::find().filter(Column::TriggerId.eq(trigger.0)).filter(Column::ThreadKey.eq(thread_key));
        Ok(sessions_of(self.read(), thread.all(self.read()).await?).await?.pop())
    }

    /// Which of these sessions have no row any more.
    pub(crate) async fn gone_sessions(&self, ids: Vec<SessionId>) -> Result<Vec<SessionId>> {
        let mut gone = Vec::new();
        for some in ids.chunks(500) {
            let there: Vec<uuid::Uuid> = session::Entity::find()
                .select_only()
                .column(Column::Id)
                .filter(Column::Id.is_in(some.iter().map(|id| id.0)))
                .into_tuple()
                .all(self.read())
                .await?;
            gone.extend(some.iter().filter(|id| !there.contains(&id.0)));
        }
        Ok(gone)
    }

    /// Which files of the session's present conversation are in custody.
    pub(crate) async fn manifest(&self, id: SessionId) -> Result<Option<Manifest>> {
        let row = session::Entity::find_by_id(id.0).one(self.read()).await?;
        row.map(|row| payload::manifest_from(&row.manifest)).transpose()
    }

    /// Which files of an earlier conversation of the session are in custody.
    pub(crate) async fn manifest_of(&self, id: SessionId, generation: i32) -> Result<Option<Manifest>> {
        let row = conversation::Entity::find_by_id((id.0, generation)).one(self.read()).await?;
        row.map(|row| payload::manifest_from(&row.manifest)).transpose()
    }

    /// Sessions, without their conversations, largest of the order first.
    pub(crate) async fn list_sessions(&self, filter: &SessionFilter, order: SessionOrder, page: PageRequest) -> Result<Page<Session>> {
        let rows = select(filter, order, page, self.is_postgres()).all(self.read()).await?;
        let key = |row: &session::Model| match order {
            SessionOrder::LastUse => row.last_use_time,
            SessionOrder::Cost => row.cost_nano,
            SessionOrder::Size => row.transcript_bytes,
        };
        let (rows, next) = cut(rows, page, |row| Cursor { key: key(row), id: row.id });
        Ok(Page { items: rows.into_iter().map(session_of).collect::<Result<_>>()?, next })
    }

    /// Sessions whose conversation does not fit this fingerprint: what a change of the trigger would begin anew.
    pub(crate) async fn count_unfit_sessions(&self, trigger: TriggerId, fingerprint: &str) -> Result<u64> {
        let unfit = session::Entity::find()
            .filter(Column::TriggerId.eq(trigger.0))
            .filter(Expr::cust(THREADS))
            .filter(Column::AgentSessionId.is_not_null())
            .filter(Column::Fingerprint.ne(fingerprint));
        Ok(unfit.count(self.read()).await?)
    }

    /// What sessions take on disk; stale are those unused since `stale_before`.
    pub(crate) async fn session_storage(&self, trigger: Option<TriggerId>, stale_before: UnixMicros) -> Result<SessionStorage> {
        let mine = || Vec::from_iter(trigger.map(|id| Value::from(id.0)));
        let (of_trigger, of_session, of_run) = match trigger {
            None => ("", "", ""),
            Some(_) => (
                " AND trigger_id = ?",
                " WHERE session_id IN (SELECT id FROM sessions WHERE trigger_id = ?)",
                " WHERE run_id IN (SELECT id FROM runs WHERE trigger_id = ?)",
            ),
        };
        let sessions = format!(
            "SELECT COUNT(*), COUNT(CASE WHEN state = 'idle' AND last_use_time < ? THEN 1 END), COUNT(CASE WHEN state = 'running' THEN 1 END), \
             CAST(COALESCE(SUM(transcript_bytes), 0) AS BIGINT), MIN(last_use_time) FROM sessions WHERE {THREADS}{of_trigger}"
        );
        let values = [Value::from(stale_before.0)].into_iter().chain(mine()).collect();
        let counted = self.read().query_one_raw(statement(self.backend(), sessions, values)).await?;
        let count = |place: usize| -> Result<i64> { Ok(counted.as_ref().map(|row| row.try_get_by_index(place)).transpose()?.unwrap_or(0)) };
        let small = |place| count(place).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        let oldest: Option<i64> = counted.as_ref().map(|row| row.try_get_by_index(4)).transpose()?.flatten();
        let bytes = async |table: &str, which: &str| -> Result<i64> {
            let text = format!("SELECT CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT) FROM {table}{which}");
            let row = self.read().query_one_raw(statement(self.backend(), text, mine())).await?;
            Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0))
        };
        Ok(SessionStorage {
            session_count: small(0)?,
            stale_session_count: small(1)?,
            live_session_count: small(2)?,
            transcript_bytes: bytes("transcript_parts", of_session).await?,
            transcript_raw_bytes: count(3)?,
            journal_bytes: bytes("journal_chunks", of_run).await? + bytes("journal_lines", of_run).await?,
            database_bytes: self.database_size().await?,
            oldest_use_time: oldest.map(UnixMicros),
        })
    }
}

pub(super) fn select(filter: &SessionFilter, order: SessionOrder, page: PageRequest, postgres: bool) -> Select<session::Entity> {
    let column = match order {
        SessionOrder::LastUse => Column::LastUseTime,
        SessionOrder::Cost => Column::CostNano,
        SessionOrder::Size => Column::TranscriptBytes,
    };
    let mut query = session::Entity::find().filter(condition(filter, postgres));
    if let Some(Cursor { key, id }) = page.after {
        query = query.filter(column.lte(key)).filter(Condition::any().add(column.lt(key)).add(Column::Id.lt(id)));
    }
    query.order_by_desc(column).order_by_desc(Column::Id).limit(u64::from(page.size) + 1)
}

fn condition(filter: &SessionFilter, postgres: bool) -> Condition {
    let mut all = Condition::all().add(Expr::cust(THREADS));
    if let Some(id) = filter.trigger_id {
        all = all.add(Column::TriggerId.eq(id.0));
    }
    if let Some(key) = &filter.thread_key {
        all = all.add(Column::ThreadKey.eq(key));
    }
    if let Some(text) = filter.query.as_deref().filter(|text| !text.is_empty()) {
        // SQLite's LOWER knows ASCII only; the pattern is made small in the same way.
        let small = if postgres { text.to_lowercase() } else { text.to_ascii_lowercase() };
        let escaped = small.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        let holds = |column: Column| {
            let pattern = LikeExpr::new(format!("%{escaped}%")).escape('\\');
            Expr::expr(Func::lower(Expr::col(column))).like(pattern)
        };
        all = all.add(Condition::any().add(holds(Column::ThreadKey)).add(holds(Column::Title)));
    }
    if !filter.states.is_empty() {
        all = all.add(Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
    }
    if let Some((stale, before)) = filter.stale {
        let idle_and_old = Condition::all().add(Column::State.eq(SessionState::Idle.as_str())).add(Column::LastUseTime.lt(before.0));
        all = all.add(if stale { idle_and_old } else { idle_and_old.not() });
    }
    all
}
