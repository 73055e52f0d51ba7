//! `reprise run follow` and `reprise delivery watch`: lists, a line for each change.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::connection::Api;
use super::delivery::outcome;
use super::failure::{Exit, Failure};
use super::id;
use super::log::state;
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::words::{choice, cost, dotted, named_id, time};
use crate::proto::v1::watch_deliveries_response as deliveries;
use crate::proto::v1::watch_runs_response as runs;
use crate::proto::v1::{Delivery, DeliveryOutcome, Run, RunState, WatchDeliveriesRequest, WatchRunsRequest};

/// Which runs to follow.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Only runs of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only runs of this session.
    #[arg(long)]
    session: Option<String>,
    /// Only runs in this state; one that leaves it is shown once more.
    #[arg(long, value_parser = |text: &str| choice::<RunState>(text, "RUN_STATE_", RunState::as_str_name))]
    state: Vec<RunState>,
    /// How many of the newest runs to begin with.
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
}

/// Which deliveries to watch.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Only deliveries of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only deliveries with this outcome.
    #[arg(long, value_parser = |text: &str| choice::<DeliveryOutcome>(text, "DELIVERY_OUTCOME_", DeliveryOutcome::as_str_name))]
    outcome: Vec<DeliveryOutcome>,
    /// Only this kind of event, for example issue_comment.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// How many of the newest deliveries to begin with.
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
}

/// Prints a line for each run as it changes, until the server ends or the reader does.
pub(crate) async fn follow(args: FollowArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let session_id = id::if_given(args.session.as_deref(), |text| id::session(api, text)).await?;
    let states = args.state.into_iter().map(Into::into).collect();
    let request = WatchRunsRequest { trigger_id: args.trigger, session_id, states, page_size: args.limit };
    let mut stream = api.runs().watch_runs(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if screen.is_json() {
            screen.stream_line(&message)?;
        } else if let Some(runs::Event::Run(run)) = &message.event {
            show_run(run, screen)?;
        }
    }
    Ok(Exit::Success)
}

/// Prints a line for each delivery, until the server ends or the reader does.
pub(crate) async fn watch(args: WatchArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let request = WatchDeliveriesRequest {
        trigger_id: args.trigger,
        outcomes: args.outcome.into_iter().map(Into::into).collect(),
        event_kind: args.event,
        page_size: args.limit,
        ..WatchDeliveriesRequest::default()
    };
    let mut stream = api.triggers().watch_deliveries(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if screen.is_json() {
            screen.stream_line(&message)?;
        } else if let Some(deliveries::Event::Delivery(delivery)) = &message.event {
            show_delivery(delivery, screen)?;
        }
    }
    Ok(Exit::Success)
}

fn show_run(run: &Run, screen: &mut Screen) -> Result<(), Failure> {
    let (word, tint) = state(run.state());
    let at = [&run.end_time, &run.start_time, &run.create_time].into_iter().find_map(|at| time(at.as_ref()));
    let word = tint.map_or_else(|| word.to_string(), |tint| screen.paint(tint, &word));
    let cost = cost(run.usage.as_ref());
    let told = dotted(&[&named_id(&run.id), &plain(&run.trigger_slug), &plain(&run.thread_key), &cost]);
    screen.line(format!("{}  {word}  {told}", screen.paint(Tint::Dim, &clock(at))))
}

fn show_delivery(delivery: &Delivery, screen: &mut Screen) -> Result<(), Failure> {
    let event = dotted(&[&plain(&delivery.event_kind), &plain(&delivery.action)]);
    let told = dotted(&[&named_id(&delivery.id), &plain(&delivery.trigger_slug), &event, &plain(&delivery.thread_key)]);
    let at = clock(time(delivery.receive_time.as_ref()));
    screen.line(format!("{}  {}  {told}", screen.paint(Tint::Dim, &at), outcome(delivery)))
}

fn clock(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()).unwrap_or_default()
}
