//! `reprise delivery …`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::by_hand::{Taken, Turn};
use super::connection::Api;
use super::failure::{Exit, Failure};
use super::listing::{Listing, Period};
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Column, Table, tinted};
use super::trigger::bytes_of;
use super::words::{ago, choice, named_id, short_id, size, span, time, wire_span, word};
use super::{id, lists};
use crate::proto::v1::{
    Delivery, DeliveryOrigin, DeliveryOutcome, DeliveryReason, DeliveryView, EventActor, GetDeliveryRequest, GetDeliveryResponse,
    ListDeliveriesRequest, ReplayDeliveryRequest,
};

/// The commands about deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries, newest first
    List(ListArgs),
    /// Show a delivery
    Get(GetArgs),
    /// Take a delivery through the rules of now, as a new one
    Replay(Box<ReplayArgs>),
    /// Print a line for each delivery as it arrives
    Watch(lists::WatchArgs),
}

/// Which deliveries to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only deliveries of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only deliveries of this session.
    #[arg(long)]
    session: Option<String>,
    /// Only deliveries of this run.
    #[arg(long)]
    run: Option<String>,
    /// Only this outcome: queued, coalesced, duplicate, filtered, self-authored, dropped, rejected, handshake.
    #[arg(long, value_parser = |text: &str| choice::<DeliveryOutcome>(text, "DELIVERY_OUTCOME_", DeliveryOutcome::as_str_name))]
    outcome: Vec<DeliveryOutcome>,
    /// Only what came in this way: webhook, gateway, manual, replay.
    #[arg(long, value_parser = |text: &str| choice::<DeliveryOrigin>(text, "DELIVERY_ORIGIN_", DeliveryOrigin::as_str_name))]
    origin: Vec<DeliveryOrigin>,
    /// Only this kind of event, for example issue_comment.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// Only events of the author with this login or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    listing: Listing,
}

/// Which delivery to show, and how much of it.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Id, or its last characters.
    delivery: String,
    /// Show its headers too.
    #[arg(long)]
    headers: bool,
    /// Print its body, byte for byte, and nothing else.
    #[arg(long, conflicts_with = "headers")]
    body: bool,
}

/// Which delivery to replay, and how.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Id, or its last characters.
    delivery: String,
    /// A file with another body; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    body_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    turn: Turn,
}

/// Carries out a command about deliveries.
pub(crate) async fn run(command: DeliveryCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        DeliveryCommand::List(args) => list(args, api, screen).await,
        DeliveryCommand::Get(args) => get(args, api, screen).await,
        DeliveryCommand::Replay(args) => replay(*args, api, screen).await,
        DeliveryCommand::Watch(args) => lists::watch(args, api, screen).await,
    }
}

async fn replay(args: ReplayArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let request = ReplayDeliveryRequest {
        delivery_id: id::delivery(api, &args.delivery).await?,
        edited_body: args.body_file.as_deref().map(bytes_of).transpose()?.map(Into::into),
        session_mode: args.turn.mode().into(),
        session_id: args.turn.session_id(api).await?,
        prompt: args.turn.prompt.clone(),
        validate_only: args.turn.explain,
        request_id: String::new(),
    };
    let answer = api.triggers().replay_delivery(request).await?.into_inner();
    let taken = Taken { explanation: answer.explanation.as_ref(), delivery: answer.delivery.as_ref(), run: answer.run.as_ref() };
    args.turn.tell(&answer, &taken, api, screen).await
}

async fn list(args: ListArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let session_id = id::if_given(args.session.as_deref(), |text| id::session(api, text)).await?;
    let run_id = id::if_given(args.run.as_deref(), |text| id::run(api, text)).await?;
    let request = ListDeliveriesRequest {
        trigger_id: args.trigger,
        session_id,
        run_id,
        outcomes: args.outcome.into_iter().map(Into::into).collect(),
        origins: args.origin.into_iter().map(Into::into).collect(),
        event_kind: args.event,
        actor: args.actor,
        start_time: args.period.since,
        end_time: args.period.until,
        page_size: args.listing.limit,
        page_token: String::new(),
    };
    let answer = api.triggers().list_deliveries(request).await?.into_inner();
    let ids = answer.deliveries.iter().map(|delivery| &delivery.id);
    args.listing.print(&answer, ids, &answer.next_page_token, screen, |screen| table(&answer.deliveries, screen))?;
    Ok(Exit::Success)
}

fn table(deliveries: &[Delivery], screen: &mut Screen) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("ID", Column::Whole),
        ("AGE", Column::Right),
        ("TRIGGER", Column::CutEnd),
        ("EVENT", Column::CutEnd),
        ("ACTOR", Column::CutEnd),
        ("THREAD", Column::CutStart),
        ("OUTCOME", Column::CutEnd),
        ("RUN", Column::Whole),
    ]);
    let ids: Vec<&str> = deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
    for delivery in deliveries {
        let received = time(delivery.receive_time.as_ref())
            .map(|at| ago(at, Timestamp::now()).trim_end_matches(" ago").to_owned())
            .unwrap_or_default();
        let run = if delivery.run_id.is_empty() { "–".to_owned() } else { short_id(&delivery.run_id, &[]) };
        table.row([
            short_id(&delivery.id, &ids).into(),
            received.into(),
            delivery.trigger_slug.as_str().into(),
            event(delivery).into(),
            actor(delivery.actor.as_ref()).into(),
            (if delivery.thread_key.is_empty() { "–" } else { &delivery.thread_key }).into(),
            tinted(outcome(delivery), tint(delivery.outcome())),
            run.into(),
        ]);
    }
    table.print(screen, "no deliveries yet: point a sender at a trigger's webhook address, or use `reprise webhook send`")
}

fn tint(outcome: DeliveryOutcome) -> Option<Tint> {
    match outcome {
        DeliveryOutcome::Queued | DeliveryOutcome::Coalesced => Some(Tint::Green),
        DeliveryOutcome::Rejected => Some(Tint::Red),
        DeliveryOutcome::Dropped => Some(Tint::Yellow),
        _ => None,
    }
}

/// `pull_request.opened`.
pub(crate) fn event(delivery: &Delivery) -> String {
    match (delivery.event_kind.as_str(), delivery.action.as_str()) {
        ("", "") => "–".into(),
        (kind, "") => kind.into(),
        (kind, action) => format!("{kind}.{action}"),
    }
}

fn actor(actor: Option<&EventActor>) -> String {
    actor
        .map(|actor| if actor.login.is_empty() { actor.id.clone() } else { actor.login.clone() })
        .filter(|name| !name.is_empty())
        .unwrap_or("–".into())
}

/// The outcome, with its reason where there is one.
pub(crate) fn outcome(delivery: &Delivery) -> String {
    let outcome = word(delivery.outcome().as_str_name(), "DELIVERY_OUTCOME_");
    match delivery.reason() {
        DeliveryReason::Unspecified => outcome,
        reason => format!("{outcome} {}", reason.as_str_name().trim_start_matches("DELIVERY_REASON_")),
    }
}

async fn get(args: GetArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let view = if args.headers || args.body { DeliveryView::Full } else { DeliveryView::Basic };
    let mut request = GetDeliveryRequest { delivery_id: id::delivery(api, &args.delivery).await?, view: view.into(), body_offset: 0 };
    let answer = api.triggers().get_delivery(request.clone()).await?.into_inner();
    let mut delivery = answer.delivery.clone().unwrap_or_default();
    if args.body {
        if delivery.body.is_empty() && delivery.body_bytes > 0 {
            return Err(Failure::Missing("the body is no longer kept".into()));
        }
        loop {
            screen.bytes(&delivery.body)?;
            request.body_offset += i64::try_from(delivery.body.len()).unwrap_or(i64::MAX);
            if !delivery.body_truncated || delivery.body.is_empty() {
                return Ok(Exit::Success);
            }
            delivery = api.triggers().get_delivery(request.clone()).await?.into_inner().delivery.unwrap_or_default();
        }
    }
    if !screen.document(&GetDeliveryResponse { delivery: Some(delivery.clone()) })? {
        show(&delivery, screen)?;
    }
    Ok(Exit::Success)
}

fn show(delivery: &Delivery, screen: &mut Screen) -> Result<(), Failure> {
    let text = outcome(delivery);
    let outcome = tint(delivery.outcome()).map_or_else(|| text.clone(), |tint| screen.paint(tint, &text));
    screen.line(format!("{}  {outcome}", screen.paint(Tint::Bold, &delivery.id)))?;
    let received = time(delivery.receive_time.as_ref()).map(|at| format!("{at:.0} ({})", ago(at, Timestamp::now())));
    let answered = delivery.ack_duration.as_ref().map(|took| format!(", answered in {}", span(wire_span(took)))).unwrap_or_default();
    let headers: Vec<String> = delivery.headers.iter().map(|header| plain(&format!("{}: {}", header.name, header.value))).collect();
    screen.facts(&[
        ("why", plain(&delivery.message)),
        ("trigger", delivery.trigger_slug.clone()),
        ("came by", word(delivery.origin().as_str_name(), "DELIVERY_ORIGIN_")),
        ("event", plain(&event(delivery))),
        ("author", plain(&actor(delivery.actor.as_ref()))),
        ("thread", plain(&delivery.thread_key)),
        ("subject", plain(&delivery.title)),
        ("link", plain(&delivery.url)),
        ("sender's id", plain(&delivery.provider_delivery_id)),
        ("received", format!("{}{answered}", received.unwrap_or_default())),
        ("body", size(delivery.body_bytes)),
        ("session", delivery.session_id.clone()),
        ("run", delivery.run_id.clone()),
        (
            "repeats",
            if delivery.duplicate_of_delivery_id.is_empty() { String::new() } else { named_id(&delivery.duplicate_of_delivery_id) },
        ),
        ("headers", headers.join("\n")),
    ])
}
