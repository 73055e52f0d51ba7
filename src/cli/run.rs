//! `reprise run …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::by_hand::session_mode;
use super::connection::Api;
use super::failure::{Exit, Failure};
use super::listing::{Listing, Period};
use super::log::{ending, lineage, state};
use super::plain::plain;
use super::save::{Saved, save};
use super::screen::{Screen, Tint};
use super::table::{Column, Table, tinted};
use super::watch::{WatchOptions, exit_of, watch, watch_to_end};
use super::words::{ago, between, choice, cost, count, dotted, labelled, money, share, short_id, size, span, time, word};
use super::{id, lists, log};
use crate::proto::v1::watch_run_request::Position;
use crate::proto::v1::{
    Attempt, CancelMode, CancelRunRequest, ExportRunRequest, FailureReason, GetRunRequest, Lineage, ListRunsRequest, RetryRunRequest, Run,
    RunState,
};

/// The commands about runs.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// List runs, newest first
    List(ListArgs),
    /// Print a line for each run as it changes
    Follow(lists::FollowArgs),
    /// Save the agent's own lines of a run as zstd-compressed JSON lines
    Export {
        /// Id, or its last characters.
        run: String,
        /// File to write. Default: the run's id with `.jsonl.zst`.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Show a run
    Get {
        /// Id, or its last characters.
        run: String,
    },
    /// Show a run's journal, live until it has ended
    Watch(WatchArgs),
    /// Cancel a run; its conversation stays
    Cancel {
        /// Id, or its last characters.
        run: String,
        /// Why, for the journal.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Let the tool call that is running answer first; cancelling again without this ends it at once.
        #[arg(long)]
        after_step: bool,
    },
    /// Run the exact prompt of a finished run again
    Retry(RetryArgs),
}

/// Which runs to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only runs of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only runs of this session.
    #[arg(long)]
    session: Option<String>,
    /// Only runs of this delivery.
    #[arg(long)]
    delivery: Option<String>,
    /// Only runs of this thread.
    #[arg(long, default_value = "", hide_default_value = true)]
    thread: String,
    /// Only runs in this state: queued, waiting, running, cancelling, succeeded, failed, cancelled.
    #[arg(long, value_parser = |text: &str| choice::<RunState>(text, "RUN_STATE_", RunState::as_str_name))]
    state: Vec<RunState>,
    /// Only runs that failed for this reason, for example model-overloaded.
    #[arg(long, value_parser = |text: &str| choice::<FailureReason>(text, "FAILURE_REASON_", FailureReason::as_str_name))]
    failure: Vec<FailureReason>,
    /// Only runs that got their memory this way: fresh, continued, restored, recovered, renewed, forked.
    #[arg(long, value_parser = |text: &str| choice::<Lineage>(text, "LINEAGE_", Lineage::as_str_name))]
    memory: Vec<Lineage>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    listing: Listing,
}

/// Which run to watch, and from where.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Id, or its last characters; `--last` stands for the newest.
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    run: Option<String>,
    /// The newest run.
    #[arg(long)]
    last: bool,
    /// With --last: the newest run of this trigger.
    #[arg(long, default_value = "", hide_default_value = true, requires = "last")]
    trigger: String,
    /// Begin after the entry with this sequence.
    #[arg(long, conflicts_with = "tail")]
    after: Option<i32>,
    /// Begin with the last so many entries.
    #[arg(long)]
    tail: Option<i32>,
    /// Print the agent's own lines, unchanged; they may contain terminal escapes.
    #[arg(long)]
    raw: bool,
}

/// How a run is repeated.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Id, or its last characters.
    run: String,
    /// In a new conversation.
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,
    /// In the thread's conversation, after the failed turn.
    #[arg(long = "continue")]
    resume: bool,
    /// In a copy of the conversation as it was before the run.
    #[arg(long, conflicts_with_all = ["fresh", "resume"])]
    fork: bool,
    /// Watch the new run.
    #[arg(long)]
    watch: bool,
}

/// Carries out a command about runs.
pub(crate) async fn run(command: RunCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        RunCommand::List(args) => list(args, api, screen).await,
        RunCommand::Get { run } => get(&id::run(api, &run).await?, api, screen).await,
        RunCommand::Follow(args) => lists::follow(args, api, screen).await,
        RunCommand::Export { run, output } => export(id::run(api, &run).await?, output, api, screen).await,
        RunCommand::Watch(args) => {
            let run_id = match &args.run {
                Some(run) => id::run(api, run).await?,
                None => id::last_run(api, &args.trigger).await?,
            };
            let position = args.after.map(Position::AfterSequence).or(args.tail.map(Position::Tail));
            let run = watch(api, &run_id, WatchOptions { position, raw: args.raw, indent: "" }, screen).await?;
            Ok(exit_of(&run).unwrap_or(Exit::Success))
        }
        RunCommand::Cancel { run, reason, after_step } => {
            let mode = if after_step { CancelMode::AfterStep } else { CancelMode::Now }.into();
            let run_id = id::run(api, &run).await?;
            let answer = api.runs().cancel_run(CancelRunRequest { run_id, reason, mode }).await?.into_inner();
            if !screen.document(&answer)? {
                let run = answer.run.unwrap_or_default();
                screen.line(format!("run {} {}", run.id, log::state(run.state()).0))?;
            }
            Ok(Exit::Success)
        }
        RunCommand::Retry(args) => retry(args, api, screen).await,
    }
}

async fn export(run_id: String, output: Option<PathBuf>, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let path = output.unwrap_or_else(|| PathBuf::from(format!("{run_id}.jsonl.zst")));
    let written = save(&path, async |file: &mut Saved| {
        let mut stream = api.runs().export_run(ExportRunRequest { run_id }).await?.into_inner();
        while let Some(piece) = stream.message().await? {
            file.write(&piece.data).await?;
        }
        Ok(file.size())
    });
    let written = written.await?;
    if !screen.is_json() {
        screen.line(format!("{} · {}", path.display(), size(written)))?;
    }
    Ok(Exit::Success)
}

async fn list(args: ListArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let session_id = id::if_given(args.session.as_deref(), |text| id::session(api, text)).await?;
    let delivery_id = id::if_given(args.delivery.as_deref(), |text| id::delivery(api, text)).await?;
    let request = ListRunsRequest {
        trigger_id: args.trigger,
        session_id,
        delivery_id,
        thread_key: args.thread,
        states: args.state.into_iter().map(Into::into).collect(),
        failure_reasons: args.failure.into_iter().map(Into::into).collect(),
        lineages: args.memory.into_iter().map(Into::into).collect(),
        start_time: args.period.since,
        end_time: args.period.until,
        page_size: args.listing.limit,
        page_token: String::new(),
    };
    let answer = api.runs().list_runs(request).await?.into_inner();
    let ids = answer.runs.iter().map(|run| &run.id);
    args.listing.print(&answer, ids, &answer.next_page_token, screen, |screen| table(&answer.runs, screen))?;
    Ok(Exit::Success)
}

/// Prints runs as a table.
pub(crate) fn table(runs: &[Run], screen: &mut Screen) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("RUN", Column::Whole),
        ("STATE", Column::Whole),
        ("TRIGGER", Column::CutEnd),
        ("THREAD", Column::CutStart),
        ("MEMORY", Column::Whole),
        ("TURN", Column::Whole),
        ("TOOK", Column::Whole),
        ("COST", Column::Whole),
        ("CACHE", Column::Whole),
    ]);
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    let now = prost_types::Timestamp { seconds: Timestamp::now().as_second(), nanos: 0 };
    for run in runs {
        let (state, tint) = state(run.state());
        let took = between(run.start_time.as_ref(), run.end_time.as_ref().or(run.start_time.as_ref().map(|_| &now)));
        table.row([
            short_id(&run.id, &ids).into(),
            tinted(state, tint),
            run.trigger_slug.as_str().into(),
            (if run.thread_key.is_empty() { "–" } else { &run.thread_key }).into(),
            lineage(run.lineage()).into(),
            (if run.turn == 0 { "–".to_owned() } else { run.turn.to_string() }).into(),
            took.map_or_else(|| "–".into(), span).into(),
            cost(run.usage.as_ref()).into(),
            share(run.usage.as_ref().and_then(|usage| usage.cache_share)).into(),
        ]);
    }
    table.print(screen, "no runs yet: `reprise trigger fire SLUG --sample NAME --watch` starts one")
}

async fn get(run_id: &str, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let answer = api.runs().get_run(GetRunRequest { run_id: run_id.to_owned() }).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(Exit::Success);
    }
    let run = answer.run.unwrap_or_default();
    let ended = ending(&run, screen);
    screen.line(format!("{}  {ended}", screen.paint(Tint::Bold, &run.id)))?;
    let time_of = |stamp| time(stamp).map(|at| format!("{at:.0} ({})", ago(at, Timestamp::now()))).unwrap_or_default();
    let requester = run.requested_by.clone().unwrap_or_default();
    let limit = if run.max_cost_usd > 0.0 { format!(" of at most {}", money(run.max_cost_usd)) } else { String::new() };
    let context = if run.context_window_tokens > 0 { format!(" of {}", count(run.context_window_tokens)) } else { String::new() };
    screen.facts(&[
        ("trigger", run.trigger_slug.clone()),
        ("thread", plain(&format!("{} {}", run.thread_key, run.title)).trim().to_owned()),
        ("session", run.session_id.clone()),
        (
            "memory",
            if run.turn == 0 {
                String::new()
            } else {
                format!("{} · turn {} · conversation {}", lineage(run.lineage()), run.turn, run.generation)
            },
        ),
        ("continued from", run.continued_from_run_id.clone()),
        ("retry of", run.retry_of_run_id.clone()),
        ("waits", run.wait.as_ref().map(|wait| plain(&wait.message)).unwrap_or_default()),
        ("asked by", plain(if requester.display_name.is_empty() { &requester.id } else { &requester.display_name })),
        ("deliveries", run.delivery_ids.join("\n")),
        ("agent", plain(&dotted(&[&run.model, &labelled("claude", &run.agent_version), &labelled("profile", &run.profile)]))),
        ("cost", format!("{}{limit} · cache {}", cost(run.usage.as_ref()), share(run.usage.as_ref().and_then(|usage| usage.cache_share)))),
        ("context", if run.context_tokens > 0 { format!("{}{context} tokens", count(run.context_tokens)) } else { String::new() }),
        ("attempts", run.attempts.iter().map(attempt).collect::<Vec<_>>().join("\n")),
        ("made", time_of(run.create_time.as_ref())),
        ("started", time_of(run.start_time.as_ref())),
        ("ended", time_of(run.end_time.as_ref())),
        ("journal", format!("{} to {}", run.first_sequence, run.last_sequence)),
        ("failure", failure(&run)),
        ("answer", plain(run.result_text.trim_end())),
    ])?;
    Ok(Exit::Success)
}

fn attempt(attempt: &Attempt) -> String {
    let took =
        between(attempt.start_time.as_ref(), attempt.end_time.as_ref()).map(|took| format!(" after {}", span(took))).unwrap_or_default();
    let exit = word(attempt.exit().as_str_name(), "ATTEMPT_EXIT_");
    let exit = if attempt.end_time.is_none() { "live".to_owned() } else { format!("{exit}{took}") };
    format!("{} {} · {exit} · {}", attempt.number, lineage(attempt.lineage()), cost(attempt.usage.as_ref()))
}

fn failure(run: &Run) -> String {
    let Some(failure) = &run.failure else { return String::new() };
    let remedy = if failure.remedy.is_empty() { String::new() } else { format!("\n→ {}", failure.remedy) };
    plain(&format!("{} {}{remedy}", log::failure_name(failure.reason()), failure.message))
}

async fn retry(args: RetryArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let session_mode = session_mode(args.fresh, args.resume, args.fork).into();
    let request = RetryRunRequest { run_id: id::run(api, &args.run).await?, session_mode, request_id: String::new() };
    let answer = api.runs().retry_run(request).await?.into_inner();
    let run = answer.run.clone().unwrap_or_default();
    if !screen.document(&answer)? {
        screen.line(format!("run {} queued, a retry of {}", run.id, run.retry_of_run_id))?;
    }
    if args.watch {
        return watch_to_end(api, &run.id, screen).await;
    }
    Ok(Exit::Success)
}
