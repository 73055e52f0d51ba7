//! `reprise trigger fire`.

use std::path::PathBuf;

use clap::Args;

use super::super::connection::Api;
use super::super::delivery::outcome;
use super::super::failure::{Exit, Failure};
use super::super::id;
use super::super::json::parse_struct;
use super::super::plain::plain;
use super::super::run::session_mode;
use super::super::screen::Screen;
use super::super::watch::{WatchOptions, exit_of, watch};
use super::explain::explain;
use super::fields::bytes_of;
use crate::proto::v1::fire_trigger_request::Content;
use crate::proto::v1::{FireTriggerRequest, Header};

/// The event, and the run it starts.
#[derive(Debug, Args)]
pub struct FireArgs {
    /// Slug or id of the trigger.
    trigger: String,
    /// One of the source's sample events; `reprise trigger sources` lists them.
    #[arg(long, value_name = "NAME", group = "content")]
    sample: Option<String>,
    /// A file with the event's body; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "content")]
    payload_file: Option<PathBuf>,
    /// The event's body as a JSON object.
    #[arg(long, value_name = "JSON", group = "content")]
    data: Option<String>,
    /// A header of the event, such as `x-github-event:issue_comment`; may be repeated.
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    header: Vec<Header>,
    /// Thread the event belongs to, in place of the one its body gives; empty is none.
    #[arg(long, value_name = "KEY")]
    thread_key: Option<String>,
    /// Begin a new conversation for the thread.
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,
    /// Continue the thread's conversation, or fail.
    #[arg(long = "continue")]
    resume: bool,
    /// Continue a copy of the thread's conversation, in a session of its own.
    #[arg(long, conflicts_with_all = ["fresh", "resume"])]
    fork: bool,
    /// What the agent is told, in place of the trigger's prompt.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Leave out the trigger's filter and start rule.
    #[arg(long)]
    skip_filter: bool,
    /// Session the run uses, for example a fork, in place of the thread's.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Say what each rule finds and what would happen; nothing is run.
    #[arg(long, conflicts_with = "watch")]
    explain: bool,
    /// Makes a repeat of this command safe, for 24 hours.
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
    /// Watch the run until it has ended.
    #[arg(long)]
    watch: bool,
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME:VALUE")?;
    Ok(Header { name: name.trim().to_lowercase(), value: value.trim().to_owned() })
}

/// Fires a trigger, and watches the run if asked to.
pub(super) async fn fire(args: FireArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let content = match (args.sample, args.payload_file, args.data) {
        (Some(name), ..) => Some(Content::Sample(name)),
        (_, Some(path), _) => Some(Content::Body(bytes_of(&path)?.into())),
        (.., Some(text)) => Some(Content::Payload(parse_struct(&text)?)),
        _ => None,
    };
    let session_id = match &args.session {
        Some(session) => id::session(api, session).await?,
        None => String::new(),
    };
    let request = FireTriggerRequest {
        trigger_id: args.trigger,
        headers: args.header,
        skip_filter: args.skip_filter,
        thread_key: args.thread_key,
        session_mode: session_mode(args.fresh, args.resume, args.fork).into(),
        prompt: args.prompt,
        request_id: args.request_id,
        content,
        session_id,
        validate_only: args.explain,
    };
    let answer = api.triggers().fire_trigger(request).await?.into_inner();
    if let Some(explanation) = answer.explanation.as_ref().filter(|_| !screen.is_json()) {
        explain(explanation, screen)?;
        return Ok(Exit::Success);
    }
    let run_id = answer.run.as_ref().map(|run| run.id.clone());
    if args.watch && screen.is_json() {
        screen.stream_line(&answer)?;
    } else if !screen.document(&answer)? {
        let delivery = answer.delivery.unwrap_or_default();
        let arrow = run_id.as_ref().map_or_else(|| format!("no run: {}", plain(&delivery.message)), |run| format!("run {run}"));
        screen.line(format!("delivery {} {} → {arrow}", delivery.id, outcome(&delivery)))?;
    }
    match run_id {
        Some(run_id) if args.watch => Ok(exit_of(&watch(api, &run_id, WatchOptions::default(), screen).await?).unwrap_or(Exit::Success)),
        _ => Ok(Exit::Success),
    }
}
