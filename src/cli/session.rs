//! `reprise session …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::id;
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Column, Table};
use super::watch::{WatchOptions, exit_of, watch};
use super::words::{ago, choice, cost, count, dotted, labelled, parse_span, plural, share, short_id, size, time, to_wire, word};
use crate::proto::v1::export_session_response::Part;
use crate::proto::v1::{
    CleanUpStaleSessionsRequest, CleanUpStaleSessionsResponse, CompactSessionRequest, ExportSessionRequest, ForkSessionRequest,
    GetSessionRequest, GetSessionStorageRequest, ListSessionsRequest, ResetSessionRequest, Session, SessionManifest, SessionOrder,
    SessionState,
};

/// The commands about sessions.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List sessions
    List(ListArgs),
    /// Show a session, by its id or by its trigger and thread
    Get {
        /// Id, or its last characters.
        #[arg(required_unless_present = "thread", conflicts_with_all = ["thread", "trigger"])]
        session: Option<String>,
        /// Trigger, by slug or id.
        #[arg(long, requires = "thread", default_value = "")]
        trigger: String,
        /// Thread within the trigger.
        #[arg(long, requires = "trigger", default_value = "")]
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
        #[arg(long, default_value = "")]
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
    Export(ExportArgs),
    /// Delete sessions that were not used for a time
    CleanUp {
        /// How long not used, such as `7d`. Default: what the settings say.
        #[arg(long, value_parser = parse_span)]
        older_than: Option<Duration>,
        /// Only sessions of this trigger, by slug or id.
        #[arg(long, default_value = "")]
        trigger: String,
    },
    /// Show how much is stored
    Storage {
        /// Only sessions of this trigger, by slug or id.
        #[arg(long, default_value = "")]
        trigger: String,
    },
}

/// Which sessions to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only sessions of this trigger, by slug or id.
    #[arg(long, default_value = "")]
    trigger: String,
    /// Only this thread.
    #[arg(long, default_value = "")]
    thread: String,
    /// Only sessions whose thread or title contains this.
    #[arg(long, default_value = "")]
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
    /// Most sessions to list.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Print whole ids only, one a line.
    #[arg(long, short)]
    quiet: bool,
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
    #[arg(long, default_value = "")]
    reason: String,
}

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Id, or its last characters.
    session: String,
    /// Number of the conversation. Default: the present one.
    #[arg(long)]
    generation: Option<i32>,
    /// File to write. Default: the session's id with `.tar.zst`.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Carries out a command about sessions.
pub(crate) async fn run(command: SessionCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        SessionCommand::List(args) => list(args, api, screen).await?,
        SessionCommand::Get { session, trigger, thread } => {
            let session_id = match session {
                Some(session) => id::session(api, &session).await?,
                None => String::new(),
            };
            let request = GetSessionRequest { session_id, trigger_id: trigger, thread_key: thread };
            let answer = api.sessions().get_session(request).await?.into_inner();
            if !screen.document(&answer)? {
                show(&answer.session.unwrap_or_default(), screen)?;
            }
        }
        SessionCommand::Reset(args) => reset(args, api, screen).await?,
        SessionCommand::Fork { session, after, name } => fork(&session, after.as_deref(), name, api, screen).await?,
        SessionCommand::Compact { session, watch } => return compact(&session, watch, api, screen).await,
        SessionCommand::Export(args) => export(args, api, screen).await?,
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
        page_size: args.limit,
        page_token: String::new(),
    };
    let answer = api.sessions().list_sessions(request).await?.into_inner();
    if args.quiet {
        return answer.sessions.iter().try_for_each(|session| screen.line(&session.id));
    }
    if screen.document(&answer)? {
        return Ok(());
    }
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
    let ids: Vec<&str> = answer.sessions.iter().map(|session| session.id.as_str()).collect();
    for session in &answer.sessions {
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
    table.print(screen, "no sessions yet: a trigger with resume_sessions makes one for each thread")?;
    if !answer.next_page_token.is_empty() {
        screen.line(screen.paint(Tint::Dim, "there are more: --limit, --query and the other filters choose"))?;
    }
    Ok(())
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
        return Ok(exit_of(&watch(api, &run_id, WatchOptions::default(), screen).await?).unwrap_or(Exit::Success));
    }
    Ok(Exit::Success)
}

async fn export(args: ExportArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let session_id = id::session(api, &args.session).await?;
    let path = args.output.unwrap_or_else(|| PathBuf::from(format!("{session_id}.tar.zst")));
    // Written beside its place, so that an export that breaks off leaves nothing that looks whole.
    let partial = path.with_extension("partial");
    let written = download(&session_id, args.generation, &partial, api, screen).await;
    let manifest = match written {
        Ok(manifest) => manifest,
        Err(failure) => {
            // The failure matters more than a rest of a file.
            let _ = tokio::fs::remove_file(&partial).await;
            return Err(failure);
        }
    };
    tokio::fs::rename(&partial, &path).await.map_err(|error| Failure::file(&path, &error))?;
    if screen.document(&manifest)? {
        return Ok(());
    }
    let files: Vec<String> = manifest.files.iter().map(|file| format!("{}  {}", size(file.size_bytes), plain(&file.name))).collect();
    screen.line(format!("{} written, sha256 checked", path.display()))?;
    screen.facts(&[("files", files.join("\n")), ("continue with", plain(&manifest.resume_command))])
}

async fn download(
    session_id: &str,
    generation: Option<i32>,
    path: &PathBuf,
    api: &Api,
    screen: &mut Screen,
) -> Result<SessionManifest, Failure> {
    let request = ExportSessionRequest { session_id: session_id.to_owned(), generation };
    let mut stream = api.sessions().export_session(request).await?.into_inner();
    let mut file = tokio::fs::File::create(path).await.map_err(|error| Failure::file(path, &error))?;
    let (mut manifest, mut hash, mut length) = (SessionManifest::default(), Sha256::new(), 0_i64);
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Part::Manifest(found)) => manifest = found,
            Some(Part::Chunk(chunk)) => {
                if chunk.offset != length {
                    return Err(Failure::Other(format!("the export has a gap at byte {length}")));
                }
                hash.update(&chunk.data);
                length += i64::try_from(chunk.data.len()).unwrap_or(i64::MAX);
                file.write_all(&chunk.data).await.map_err(|error| Failure::file(path, &error))?;
                screen.status(&format!("{} …", size(length)))?;
            }
            Some(Part::Digest(digest)) => {
                file.sync_all().await.map_err(|error| Failure::file(path, &error))?;
                screen.status("")?;
                if digest.size_bytes != length || digest.sha256 != hex::encode(hash.finalize()) {
                    return Err(Failure::Other("the export is damaged: its sha256 is not the one that the server names".into()));
                }
                return Ok(manifest);
            }
            None => {}
        }
    }
    Err(Failure::Other(format!("the export broke off after {}", size(length))))
}

async fn fork(session: &str, after: Option<&str>, display_name: String, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let session_id = id::session(api, session).await?;
    let after_run_id = match after {
        Some(run) => id::run(api, run).await?,
        None => String::new(),
    };
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
