//! What people do to sessions: compact, retry, reset, clean up.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::cancel::{cancel, unfinished};
use super::transaction::{Step, transaction};
use super::{CleanedUp, Queue, locked};
use crate::domain::{CancelMode, Error, Result, Session, SessionId, SessionKind, SessionOrigin, SessionState, TriggerId, UnixMicros};
use crate::metrics;
use crate::store::entity::{conversation, delivery, run, run_delivery, session, transcript_part};
use crate::store::rows::sessions_of;

/// Sessions that one call of a clean-up deletes at most, and that one of its transactions does.
const MOST: u64 = 10_000;
const AT_ONCE: usize = 50;
/// How much of a session's past a new conversation is told.
const TOLD_RUNS: u64 = 5;
const TOLD_BYTES: usize = 8 * 1024;

impl Queue {
    /// Starts a new generation: the next run of the session is a fresh conversation. Allowed any time: a live run goes on,
    /// but leaves nothing to the session. Twice is once, while nothing ran in between.
    pub async fn reset_session(&self, session: SessionId, cancel_runs: bool, purge: bool, reason: &str) -> Result<Session> {
        let reset = transaction!(self, "reset_session", tx => reset(tx, session, cancel_runs, purge, reason).await)?;
        if cancel_runs {
            self.hint_cancel(reset.live_run_id.map(|run| (run, CancelMode::Now)));
        }
        Ok(reset)
    }

    /// Deletes sessions unused since `before`, never one with a queued or live run; at most 10,000 a call.
    pub async fn clean_up(&self, before: UnixMicros, trigger: Option<TriggerId>) -> Result<CleanedUp> {
        let db = self.store().read();
        let stale = |idle| unused(before, trigger, idle);
        let ids: Vec<Uuid> = oldest(stale(true)).column(session::Column::Id).into_tuple().all(db).await?;
        let mut cleaned = CleanedUp { busy_count: count(stale(false).count(db).await?), ..CleanedUp::default() };
        for some in ids.chunks(AT_ONCE) {
            let deleted = transaction!(self, "clean_up", tx => delete_idle(tx, some, before).await)?;
            for row in deleted {
                cleaned.freed_bytes += row.transcript_bytes;
                cleaned.session_ids.push(SessionId(row.id));
            }
        }
        cleaned.remaining_count = count(stale(true).count(db).await?);
        metrics::sessions_cleaned(cleaned.session_ids.len() as u64);
        Ok(cleaned)
    }

    /// What [`Self::clean_up`] would delete now.
    pub async fn foresee_clean_up(&self, before: UnixMicros, trigger: Option<TriggerId>) -> Result<CleanedUp> {
        let db = self.store().read();
        let columns = [session::Column::Id, session::Column::TranscriptBytes];
        let found: Vec<(Uuid, i64)> = oldest(unused(before, trigger, true)).columns(columns).into_tuple().all(db).await?;
        let all = count(unused(before, trigger, true).count(db).await?);
        Ok(CleanedUp {
            busy_count: count(unused(before, trigger, false).count(db).await?),
            freed_bytes: found.iter().map(|(_, bytes)| bytes).sum(),
            remaining_count: (all - i64::try_from(found.len()).unwrap_or(all)).max(0),
            session_ids: found.into_iter().map(|(id, _)| SessionId(id)).collect(),
        })
    }

    /// A short account of the session's last five runs (event line and final text), at most 8 KiB, for a run that lost its conversation.
    pub async fn summary(&self, session: SessionId) -> Result<String> {
        let db = self.store().read();
        let runs = run::Entity::find()
            .filter(run::Column::SessionId.eq(session.0))
            .filter(run::Column::EndTime.is_not_null())
            .filter(run::Column::ResultText.ne(""))
            .order_by_desc(run::Column::Seq)
            .limit(TOLD_RUNS)
            .all(db)
            .await?;
        let mut told = Vec::new();
        for run in runs.iter().rev() {
            let first = run_delivery::Entity::find_by_id((run.id, 0)).one(db).await?;
            let event = match first {
                Some(link) => delivery::Entity::find_by_id(link.delivery_id).one(db).await?,
                None => None,
            };
            told.push(account(run, event.as_ref()));
        }
        Ok(told.join("\n\n"))
    }
}

/// Threads that were not used since, at rest or not.
fn unused(before: UnixMicros, trigger: Option<TriggerId>, idle: bool) -> sea_orm::Select<session::Entity> {
    let mut select = session::Entity::find()
        .filter(session::Column::Kind.eq(SessionKind::Thread.as_str()))
        .filter(session::Column::LastUseTime.lt(before.0));
    if let Some(trigger) = trigger {
        select = select.filter(session::Column::TriggerId.eq(trigger.0));
    }
    let idle_state = SessionState::Idle.as_str();
    select.filter(if idle { session::Column::State.eq(idle_state) } else { session::Column::State.ne(idle_state) })
}

/// As many as one call deletes, the longest unused first; the columns are still to be chosen.
fn oldest(select: sea_orm::Select<session::Entity>) -> sea_orm::Select<session::Entity> {
    select.select_only().order_by_asc(session::Column::LastUseTime).order_by_asc(session::Column::Id).limit(MOST)
}

fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// One run in words, within its share of the whole.
fn account(run: &run::Model, event: Option<&delivery::Model>) -> String {
    let when = UnixMicros(run.create_time).to_jiff().strftime("%Y-%m-%d %H:%M UTC");
    let what = event.map_or_else(String::new, |event| {
        let words = [&event.event_kind, &event.action, &event.actor_login, &event.title];
        words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
    });
    let share = TOLD_BYTES / usize::try_from(TOLD_RUNS).unwrap_or(1) - 8;
    let head = format!("[{when}] {what}");
    let head = cut(&head, share / 4);
    let text = cut(&run.result_text, share - head.len() - 1);
    format!("{head}\n{text}")
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most.min(text.len()))]
}

async fn reset(tx: &DatabaseTransaction, id: SessionId, cancel_runs: bool, purge: bool, reason: &str) -> Step<Session> {
    let gone = || Error::NotFound { kind: "session", id: id.to_string() };
    locked::session(tx, id.0).await?.ok_or_else(gone)?;
    if cancel_runs {
        for run in unfinished(tx, |runs| runs.filter(run::Column::SessionId.eq(id.0)).order_by_desc(run::Column::Seq)).await? {
            // Read again each time: each cancel may have moved the session's cursor.
            let session = locked::session(tx, id.0).await?;
            cancel(tx, session, run, reason).await?;
        }
    }
    let before = locked::session(tx, id.0).await?.ok_or_else(gone)?;
    let mut session = before.clone();
    let live = session.state == SessionState::Running.as_str();
    if session.agent_session_id.is_some() || live {
        session.generation += 1;
        session.agent_session_id = None;
        session.fingerprint = None;
        session.origin = SessionOrigin::Reset.to_string();
        session.turn_count = 0;
        session.turns_since_compaction = 0;
        session.agent_total_cost_nano = 0;
        session.context_tokens = 0;
        session.last_cache_share = None;
        session.manifest.clear();
        session.transcript_bytes = 0;
    }
    if purge {
        conversation::Entity::update_many()
            .col_expr(conversation::Column::Manifest, Expr::value(""))
            .filter(conversation::Column::SessionId.eq(id.0))
            .exec(tx)
            .await?;
        transcript_part::Entity::delete_many().filter(transcript_part::Column::SessionId.eq(id.0)).exec(tx).await?;
    }
    locked::save(tx, &before, session.clone()).await?;
    Ok(sessions_of(tx, vec![session]).await?.pop().ok_or_else(gone)?)
}

async fn delete_idle(tx: &DatabaseTransaction, ids: &[Uuid], before: UnixMicros) -> Step<Vec<session::Model>> {
    let deleted = session::Entity::delete_many()
        .filter(session::Column::Id.is_in(ids.iter().copied()))
        .filter(session::Column::State.eq(SessionState::Idle.as_str()))
        .filter(session::Column::LastUseTime.lt(before.0))
        .exec_with_returning(tx)
        .await?;
    delete_belongings(tx, &deleted.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    Ok(deleted)
}

/// What goes with a session; its runs and deliveries stay until retention ends.
pub(super) async fn delete_belongings(tx: &DatabaseTransaction, sessions: &[Uuid]) -> Step<()> {
    let ids = || sessions.iter().copied();
    transcript_part::Entity::delete_many().filter(transcript_part::Column::SessionId.is_in(ids())).exec(tx).await?;
    conversation::Entity::delete_many().filter(conversation::Column::SessionId.is_in(ids())).exec(tx).await?;
    Ok(())
}
