//! `reprise session …`.

mod export;

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::id;
use super::listing::Listing;
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Column, Table};
use super::watch::watch_to_end;
use super::words::{ago, choice, cost, count, dotted, labelled, parse_span, plural, share, short_id, size, time, to_wire, word};
use crate::proto::v1::{
    CleanUpStaleSessionsRequest, CleanUpStaleSessionsResponse, CompactSessionRequest, ForkSessionRequest, GetSessionRequest,
    GetSessionStorageRequest, ListSessionsRequest, ResetSessionRequest, Session, SessionOrder, SessionState,
};

/// The commands about sessions.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List sessions
    List(ListArgs),
    /// Show a session, by its id or by its trigger and thread
    Get {
        /// Id, or its last characters.
        #[arg(required_unless_present_any = ["thread", "trigger"], conflicts_with_all = ["thread", "trigger"])]
        session: Option<String>,
        /// Trigger, by slug or id.
        #[arg(long, requires = "thread", default_value = "", hide_default_value = true)]
        trigger: String,
        /// Thread within the trigger.
        #[arg(long, requires = "trigger", default_value = "", hide_default_value = true)]
        thread: String,
    },
    /// End the conversation: the next event begins a new one
    Reset(ResetArgs),
    /// Copy the conversation into a new session, which only fires by hand reach
    Fork {
        /// Id, or its last characters.
        session: String,
        /// Run after whose turn the copy ends. Default: the last one.
        #[arg(long, value_name = "RUN")]
        after: Option<String>,
        /// Name of the copy, for people.
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
    },
    /// Compact the conversation
    Compact {
        /// Id, or its last characters.
        session: String,
        /// Watch the run that does it.
        #[arg(long)]
        watch: bool,
    },
    /// Save a conversation's transcript as an archive
    Export(export::ExportArgs),
    /// Delete sessions that were not used for a time
    CleanUp {
        /// How long not used, such as `7d`. Default: what the settings say.
        #[arg(long, value_parser = parse_span)]
        older_than: Option<Duration>,
        /// Only sessions of this trigger, by slug or id.
        #[arg(long, default_value = "", hide_default_value = true)]
        trigger: String,
    },
    /// Show how much is stored
    Storage {
        /// Only sessions of this trigger, by slug or id.
        #[arg(long, default_value = "", hide_default_value = true)]
        trigger: String,
    },
}

/// Which sessions to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only sessions of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only this thread.
    #[arg(long, default_value = "", hide_default_value = true)]
    thread: String,
    /// Only sessions whose thread or title contains this.
    #[arg(long, default_value = "", hide_default_value = true)]
    query: String,
    /// Only this state: idle, queued, running.
    #[arg(long, value_parser = |text: &str| choice::<SessionState>(text, "SESSION_STATE_", SessionState::as_str_name))]
    state: Vec<SessionState>,
    /// Only stale sessions (true), or only the others (false).
    #[arg(long)]
    stale: Option<bool>,
    /// Order: last-use, cost, size.
    #[arg(long, default_value = "last-use", value_parser = |text: &str| choice::<SessionOrder>(text, "SESSION_ORDER_", SessionOrder::as_str_name))]
    order: SessionOrder,
    #[command(flatten)]
    listing: Listing,
}

/// How a session is reset.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Id, or its last characters.
    session: String,
    /// Cancel the runs that are queued or live.
    #[arg(long)]
    cancel_runs: bool,
    /// Delete the stored transcripts and the scratch workspace now.
    #[arg(long)]
    purge: bool,
    /// Why, for the server's log.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Carries out a command about sessions.
pub(crate) async fn run(command: SessionCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        SessionCommand::List(args) => list(args, api, screen).await?,
        SessionCommand::Get { session, trigger, thread } => {
            let session_id = id::if_given(session.as_deref(), |text| id::session(api, text)).await?;
            let request = GetSessionRequest { session_id, trigger_id: trigger, thread_key: thread };
            let answer = api.sessions().get_session(request).await?.into_inner();
            if !screen.document(&answer)? {
                show(&answer.session.unwrap_or_default(), screen)?;
            }
        }
        SessionCommand::Reset(args) => reset(args, api, screen).await?,
        SessionCommand::Fork { session, after, name } => fork(&session, after.as_deref(), name, api, screen).await?,
        SessionCommand::Compact { session, watch } => return compact(&session, watch, api, screen).await,
        SessionCommand::Export(args) => export::export(args, api, screen).await?,
        SessionCommand::CleanUp { older_than, trigger } => clean_up(older_than, trigger, api, screen).await?,
        SessionCommand::Storage { trigger } => storage(trigger, api, screen).await?,
    }
    Ok(Exit::Success)
}

async fn list(args: ListArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let request = ListSessionsRequest {
        trigger_id: args.trigger,
        thread_key: args.thread,
        query: args.query,
        states: args.state.into_iter().map(Into::into).collect(),
        stale: args.stale,
        order: args.order.into(),
        page_size: args.listing.limit,
        page_token: String::new(),
    };
    let answer = api.sessions().list_sessions(request).await?.into_inner();
    let ids = answer.sessions.iter().map(|session| &session.id);
    args.listing.print(&answer, ids, &answer.next_page_token, screen, |screen| table(&answer.sessions, screen))
}

fn table(sessions: &[Session], screen: &mut Screen) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("SESSION", Column::Whole),
        ("STATE", Column::Whole),
        ("TRIGGER", Column::CutEnd),
        ("THREAD", Column::CutStart),
        ("TURNS", Column::Right),
        ("COST", Column::Right),
        ("CACHE", Column::Right),
        ("LAST USE", Column::Whole),
    ]);
    let ids: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    for session in sessions {
        table.row([
            short_id(&session.id, &ids).into(),
            state(session).into(),
            session.trigger_slug.as_str().into(),
            session.thread_key.as_str().into(),
            session.turn_count.to_string().into(),
            cost(session.usage.as_ref()).into(),
            share(session.last_cache_share).into(),
            time(session.last_use_time.as_ref()).map(|at| ago(at, Timestamp::now())).unwrap_or_default().into(),
        ]);
    }
    table.print(screen, "no sessions yet: a trigger with resume_sessions makes one for each thread")
}

fn state(session: &Session) -> String {
    let state = word(session.state().as_str_name(), "SESSION_STATE_");
    if session.stale { format!("{state}, stale") } else { state }
}

fn show(session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    screen.line(format!("{}  {}", screen.paint(Tint::Bold, &session.id), state(session)))?;
    let now = Timestamp::now();
    let conversations: Vec<String> = session
        .conversations
        .iter()
        .map(|one| {
            let began = word(one.origin().as_str_name(), "SESSION_ORIGIN_");
            format!("{} {} · {} · {began}", one.generation, one.agent_session_id, plural(one.turn_count.into(), "turn"))
        })
        .collect();
    screen.facts(&[
        ("trigger", session.trigger_slug.clone()),
        ("thread", plain(&format!("{} {}", session.thread_key, session.title)).trim().to_owned()),
        ("link", plain(&session.url)),
        ("conversation", session.agent_session_id.clone()),
        ("turns", format!("{} ({} since the last compaction)", session.turn_count, session.turns_since_compaction)),
        ("runs", format!("{} · {} waiting", session.run_count, session.queued_run_count)),
        ("live run", session.live_run_id.clone()),
        ("last run", session.last_run_id.clone()),
        ("cost", format!("{} · cache {} in the last turn", cost(session.usage.as_ref()), share(session.last_cache_share))),
        ("agent", plain(&dotted(&[&session.model, &labelled("profile", &session.profile)]))),
        ("context", format!("{} tokens", count(session.context_tokens))),
        ("transcript", size(session.transcript_bytes)),
        ("first seen", time(session.create_time.as_ref()).map(|at| ago(at, now)).unwrap_or_default()),
        ("last use", time(session.last_use_time.as_ref()).map(|at| ago(at, now)).unwrap_or_default()),
        ("becomes stale", time(session.expire_time.as_ref()).map(|at| format!("{at:.0}")).unwrap_or_default()),
        ("conversations", conversations.join("\n")),
    ])
}

async fn reset(args: ResetArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let session_id = id::session(api, &args.session).await?;
    let request = ResetSessionRequest { session_id, cancel_runs: args.cancel_runs, purge: args.purge, reason: args.reason };
    let answer = api.sessions().reset_session(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let session = answer.session.unwrap_or_default();
    screen.line(format!("session {} reset: the next event begins conversation {}", session.id, session.generation))
}

async fn compact(session: &str, follow: bool, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let request = CompactSessionRequest { session_id: id::session(api, session).await?, request_id: String::new() };
    let answer = api.sessions().compact_session(request).await?.into_inner();
    let run_id = answer.run.clone().unwrap_or_default().id;
    if !screen.document(&answer)? {
        screen.line(format!("compaction queued as run {run_id}"))?;
    }
    if follow {
        return watch_to_end(api, &run_id, screen).await;
    }
    Ok(Exit::Success)
}

async fn fork(session: &str, after: Option<&str>, display_name: String, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let session_id = id::session(api, session).await?;
    let after_run_id = id::if_given(after, |text| id::run(api, text)).await?;
    let request = ForkSessionRequest { session_id, after_run_id, display_name, request_id: String::new() };
    let answer = api.sessions().fork_session(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let copy = answer.session.unwrap_or_default();
    screen.line(format!(
        "session {} is a copy of {} with {}",
        copy.id,
        copy.forked_from_session_id,
        plural(copy.turn_count.into(), "turn")
    ))?;
    screen.line(format!("  go on in it: reprise trigger fire {} --session {} --skip-filter --prompt …", copy.trigger_slug, copy.id))
}

async fn clean_up(older_than: Option<Duration>, trigger: String, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let request = CleanUpStaleSessionsRequest { older_than: older_than.map(to_wire), trigger_id: trigger, validate_only: false };
    let mut sum = CleanUpStaleSessionsResponse::default();
    loop {
        let part = api.sessions().clean_up_stale_sessions(request.clone()).await?.into_inner();
        sum.deleted_count += part.deleted_count;
        sum.freed_bytes += part.freed_bytes;
        sum.busy_count = part.busy_count;
        sum.remaining_count = part.remaining_count;
        let room = 20 - sum.session_ids.len().min(20);
        sum.session_ids.extend(part.session_ids.into_iter().take(room));
        screen.status(&format!("{} deleted, {} to go", sum.deleted_count, sum.remaining_count))?;
        if sum.remaining_count == 0 || part.deleted_count == 0 {
            break;
        }
    }
    screen.status("")?;
    if screen.document(&sum)? {
        return Ok(());
    }
    screen.line(format!("{} deleted, {} freed", plural(sum.deleted_count.into(), "session"), size(sum.freed_bytes)))?;
    if sum.busy_count > 0 {
        screen.line(format!("{} left alone, since runs are queued or live", plural(sum.busy_count.into(), "session")))?;
    }
    Ok(())
}

async fn storage(trigger: String, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let answer = api.sessions().get_session_storage(GetSessionStorageRequest { trigger_id: trigger }).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let oldest =
        time(answer.oldest_use_time.as_ref()).map(|at| format!(" · the oldest was used {}", ago(at, Timestamp::now()))).unwrap_or_default();
    screen.facts(&[
        (
            "sessions",
            format!("{} · {} stale · {} live{oldest}", answer.session_count, answer.stale_session_count, answer.live_session_count),
        ),
        ("transcripts", format!("{} stored, {} before compression", size(answer.transcript_bytes), size(answer.transcript_raw_bytes))),
        ("agent's files", size(answer.agent_files_bytes)),
        ("workspaces", size(answer.workspace_bytes)),
        ("journals", size(answer.journal_bytes)),
        ("database", size(answer.database_bytes)),
        ("free on disk", size(answer.disk_free_bytes)),
    ])
}
