//! Sessions (the unit of scheduling), runs and their attempts.

use sea_orm_migration::prelude::*;

use crate::columns::{
    big, drop_all, flag, id, id_or_none, index, int, key, one_of, primary, share_or_none, table, text, text_or_empty, text_or_none, time,
    time_or_none, usage,
};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

const RUN_STATUS: [&str; 7] = ["queued", "starting", "running", "cancelling", "succeeded", "failed", "cancelled"];
const LIVE: [&str; 3] = ["starting", "running", "cancelling"];

fn sessions() -> TableCreateStatement {
    let mut sessions = table(
        "sessions",
        [
            key("id"),
            // Where the thread would live if sessions were spread over several databases: hash(trigger, key) % 1024.
            ColumnDef::new(Alias::new("bucket")).small_integer().not_null().default(0).to_owned(),
            id("trigger_id"),
            text("trigger_slug"),
            one_of("kind", &["thread", "once"]),
            text_or_none("thread_key"),
            text_or_empty("title"),
            text_or_empty("url"),
            one_of("state", &["idle", "ready", "running"]),
            time("ready_time"),
            big("head"),
            big("tail"),
            big("epoch"),
            id_or_none("lease_id"),
            id_or_none("worker_id"),
            id_or_none("last_worker_id"),
            int("generation"),
            id_or_none("agent_session_id"),
            text_or_none("fingerprint"),
            one_of("origin", &["first", "reset", "expired", "changed", "lost"]),
            text_or_empty("agent"),
            text_or_empty("profile"),
            text_or_empty("model"),
            text_or_empty("agent_version"),
            int("turn_count"),
            int("turns_since_compaction"),
            int("run_count"),
            // Runs that wait: exact, while `tail - head` counts those that were cancelled in between.
            int("queued_count"),
            id_or_none("live_run_id"),
            id_or_none("last_run_id"),
            // What the agent said the conversation cost in all, where that is the only figure it gives.
            big("agent_total_cost_nano"),
            share_or_none("last_cache_share"),
            big("context_tokens"),
            // Which files of the conversation are in custody, as JSON; empty before the first turn.
            text_or_empty("manifest"),
            big("transcript_bytes"),
            time("create_time"),
            time("last_use_time"),
        ],
    );
    usage(&mut sessions);
    sessions.check(Expr::cust("(state = 'running') = (lease_id IS NOT NULL)"));
    sessions.check(Expr::cust("state = 'idle' OR head <= tail"));
    sessions
}

fn runs() -> TableCreateStatement {
    let mut runs = table(
        "runs",
        [
            key("id"),
            id("session_id"),
            big("seq"),
            id("trigger_id"),
            text("trigger_slug"),
            text_or_none("thread_key"),
            text_or_empty("title"),
            one_of("kind", &["turn", "compaction"]),
            one_of("status", &RUN_STATUS),
            // Not claimed before this time (quiet period, loop breaker), and why.
            time("not_before"),
            text_or_empty("wait_reason"),
            int("attempt"),
            int("interruptions"),
            id_or_none("lease_id"),
            flag("cancel_requested", false),
            text_or_empty("cancel_reason"),
            text("requester_kind"),
            text_or_empty("requester_id"),
            text_or_empty("requester_name"),
            text("session_mode"),
            // A prompt that was given instead of made: fired by hand, or a retry of an earlier run's.
            text_or_none("prompt_override"),
            text_or_none("prompt"),
            text_or_none("prompt_kind"),
            int("delivery_count"),
            id_or_none("retry_of"),
            text_or_none("lineage"),
            id_or_none("continued_from"),
            int("generation"),
            int("turn"),
            text_or_empty("model"),
            text_or_empty("agent_version"),
            text_or_empty("profile"),
            text_or_none("billing"),
            text_or_empty("by_model"),
            big("max_cost_nano"),
            big("context_tokens"),
            big("context_window_tokens"),
            text_or_empty("result_text"),
            text_or_none("failure_reason"),
            text_or_empty("failure_message"),
            ColumnDef::new(Alias::new("failure_api_status")).integer().null().to_owned(),
            text_or_empty("warnings"),
            int("first_sequence"),
            int("next_sequence"),
            time("create_time"),
            time_or_none("start_time"),
            time_or_none("end_time"),
        ],
    );
    usage(&mut runs);
    runs
}

fn attempts() -> TableCreateStatement {
    let mut attempts = table(
        "attempts",
        [
            id("run_id"),
            int("number"),
            id("lease_id"),
            id("worker_id"),
            big("trigger_version"),
            text_or_none("lineage"),
            text_or_empty("agent_session_id"),
            text_or_empty("agent_version"),
            time("start_time"),
            time_or_none("end_time"),
            text_or_empty("exit"),
            text_or_none("failure_reason"),
            text_or_empty("failure_message"),
        ],
    );
    usage(&mut attempts);
    attempts.primary_key(&mut primary(&["run_id", "number"]));
    attempts
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(sessions()).await?;
        manager.create_index(index("sessions_thread", "sessions", &["trigger_id", "thread_key"]).unique().to_owned()).await?;
        let when = |state: &'static str| Expr::col(Alias::new("state")).eq(state);
        manager
            .create_index(index("sessions_ready", "sessions", &["trigger_id", "ready_time", "id"]).and_where(when("ready")).to_owned())
            .await?;
        manager.create_index(index("sessions_owned", "sessions", &["worker_id"]).and_where(when("running")).to_owned()).await?;
        manager
            .create_index(
                index("sessions_use", "sessions", &["last_use_time", "id"])
                    .and_where(Expr::col(Alias::new("kind")).eq("thread"))
                    .to_owned(),
            )
            .await?;

        manager.create_table(runs()).await?;
        manager.create_index(index("runs_session", "runs", &["session_id", "seq"]).unique().to_owned()).await?;
        // One live run per session, whatever the code does.
        manager
            .create_index(
                index("runs_one_live", "runs", &["session_id"]).unique().and_where(Expr::col(Alias::new("status")).is_in(LIVE)).to_owned(),
            )
            .await?;
        manager.create_index(index("runs_trigger", "runs", &["trigger_id", "id"])).await?;
        manager.create_index(index("runs_status", "runs", &["status", "id"])).await?;
        manager.create_table(attempts()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["sessions", "runs", "attempts"]).await
    }
}
