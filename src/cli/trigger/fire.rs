//! `reprise trigger fire`.

use std::path::PathBuf;

use clap::Args;

use super::super::by_hand::{Taken, Turn};
use super::super::connection::Api;
use super::super::failure::{Exit, Failure};
use super::super::json::parse_struct;
use super::super::screen::Screen;
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
    /// Leave out the trigger's filter and start rule.
    #[arg(long)]
    skip_filter: bool,
    /// Makes a repeat of this command safe, for 24 hours.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
    #[command(flatten)]
    turn: Turn,
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
    let request = FireTriggerRequest {
        trigger_id: args.trigger,
        headers: args.header,
        skip_filter: args.skip_filter,
        thread_key: args.thread_key,
        session_mode: args.turn.mode().into(),
        prompt: args.turn.prompt.clone(),
        request_id: args.request_id,
        content,
        session_id: args.turn.session_id(api).await?,
        validate_only: args.turn.explain,
    };
    let answer = api.triggers().fire_trigger(request).await?.into_inner();
    let taken = Taken { explanation: answer.explanation.as_ref(), delivery: answer.delivery.as_ref(), run: answer.run.as_ref() };
    args.turn.tell(&answer, &taken, api, screen).await
}
