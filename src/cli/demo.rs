//! The part of the demo that talks to the server: two signed webhooks of one pull request, and what they show.

mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use self::verdict::{Facts, Refusals, Verdict, verdicts};
use super::connection::Api;
use super::failure::{Exit, Failure};
use super::plain::one_line;
use super::screen::{Screen, Tint};
use super::watch::{WatchOptions, exit_of, watch};
use super::webhook::{Signer, headers, send};
use super::words::{named_id, span};
use crate::proto::v1::journal_entry::Kind;
use crate::proto::v1::trigger::Action;
use crate::proto::v1::watch_run_response::Event;
use crate::proto::v1::workspace::Kind as WorkspaceKind;
use crate::proto::v1::{
    AuthorRule, CreateTriggerRequest, DeleteTriggerRequest, DeliveryOutcome, GetRunRequest, GetSessionRequest, ListDeliveriesRequest,
    ListRunsRequest, NamedWorkspace, PromptAction, Run, RunLimits, RunState, Source, Trigger, WatchRunRequest, Workspace,
};

/// What the agent is told first. The word and the ideas are its own, so that only a memory can bring them back.
const PROMPT: &str = "\
Review this pull request. Begin with file: src/checkout/retry.rs and read it.
Then answer in one line of exactly this form, with a word of your own choice in capital letters and two ideas of your own, each of
two to five words: I rejected two ideas: <one>, and <other>. The code word for this review is <WORD>.
Later messages may ask for the word and the ideas; then give both in the same words.";

/// Name under which the demo's agent would write comments.
const OWN_NAME: &str = "reprise-demo";
/// Most that one of the two runs may cost.
const MAX_COST_USD: f64 = 0.25;

const OPENED: &str = include_str!("../intake/samples/github_pull_request.json");
const COMMENTED: &str = include_str!("../intake/samples/github_issue_comment.json");

/// Where the demo's parts are.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Slug of the trigger to make.
    #[arg(long, default_value = "github-demo")]
    trigger: String,
    /// Name of the configured directory that the agent reads.
    #[arg(long)]
    workspace: String,
    /// Where the demo writes down the command line of each claude that is started.
    #[arg(long)]
    argv_log: PathBuf,
    /// Requests that the offline model saw; absent: the model is real.
    #[arg(long)]
    model_log: Option<PathBuf>,
}

/// What a webhook was answered.
struct Answer {
    status: u16,
    outcome: String,
    delivery_id: String,
    run_id: String,
    took: Duration,
}

struct Demo<'a> {
    api: &'a Api,
    url: String,
    secret: String,
    slug: String,
}

/// Runs the demo. Exit code 1 when anything is not as it should be.
pub(crate) async fn run(args: DemoArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let demo = trigger(&args, api, screen).await?;
    heading(screen, "[5/6] two webhooks of one pull request, signed like GitHub's")?;

    let first_id = Uuid::now_v7().to_string();
    let (first, delivery_id) = demo.turn("pull_request", &first_id, OPENED, screen).await?;
    let (second, _) = demo.turn("issue_comment", &Uuid::now_v7().to_string(), COMMENTED, screen).await?;

    screen.line("")?;
    heading(screen, "[6/6] what that shows")?;
    let refusals = demo.refusals(&first_id, &delivery_id).await?;
    let request = GetSessionRequest { session_id: second.session_id.clone(), ..Default::default() };
    let session = api.sessions().get_session(request).await?.into_inner().session.unwrap_or_default();
    let model_log = match &args.model_log {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?),
        None => None,
    };
    let facts = Facts {
        argv_log: std::fs::read_to_string(&args.argv_log).map_err(|error| Failure::file(&args.argv_log, &error))?,
        second_prompt: prompt_of(api, &second).await?,
        first,
        second,
        session,
        model_log,
        refusals,
    };
    let mut exit = Exit::Success;
    for Verdict { name, text, holds } in verdicts(&facts) {
        let mark = if holds { screen.paint(Tint::Green, "yes") } else { screen.paint(Tint::Red, "no") };
        screen.split_line(&format!("  {name:<19}  {text}"), &mark)?;
        exit = if holds { exit } else { Exit::Unwell };
    }
    Ok(exit)
}

fn heading(screen: &mut Screen, text: &str) -> Result<(), Failure> {
    screen.line(screen.paint(Tint::Bold, text))
}

/// Makes the trigger anew, so that the thread's first webhook has nothing to continue.
async fn trigger<'a>(args: &DemoArgs, api: &'a Api, screen: &mut Screen) -> Result<Demo<'a>, Failure> {
    let old = DeleteTriggerRequest { trigger_id: args.trigger.clone(), force: true, ..DeleteTriggerRequest::default() };
    match api.triggers().delete_trigger(old).await {
        Err(status) if status.code() != tonic::Code::NotFound => return Err(status.into()),
        _ => {}
    }
    let named = NamedWorkspace { name: args.workspace.clone() };
    let trigger = Trigger {
        slug: args.trigger.clone(),
        source: Source::Github.into(),
        resume_sessions: Some(true),
        author_rule: Some(AuthorRule { own_identities: vec![OWN_NAME.into()], ..AuthorRule::default() }),
        action: Some(Action::Prompt(PromptAction { template: PROMPT.into(), follow_up_template: None })),
        workspace: Some(Workspace { kind: Some(WorkspaceKind::Named(named)) }),
        run_limits: Some(RunLimits { max_cost_usd: Some(MAX_COST_USD), ..RunLimits::default() }),
        ..Trigger::default()
    };
    let request = CreateTriggerRequest { trigger: Some(trigger), ..Default::default() };
    let answer = api.triggers().create_trigger(request).await?.into_inner();
    let trigger = answer.trigger.unwrap_or_default();
    let resumes = trigger.resume_sessions();
    heading(screen, &format!("[4/6] trigger          {} · source GitHub · resume_sessions {resumes}", trigger.slug))?;
    let (public, _token) = trigger.webhook_url.rsplit_once('/').unwrap_or_default();
    screen.line(format!("                       webhook_url {public}/…"))?;
    Ok(Demo { api, url: trigger.webhook_url, secret: answer.secret, slug: trigger.slug })
}

impl Demo<'_> {
    /// Sends a webhook and shows the run that it starts.
    async fn turn(&self, event: &str, id: &str, body: &str, screen: &mut Screen) -> Result<(Run, String), Failure> {
        let answer = self.deliver(event, id, body, &self.secret).await?;
        screen.line("")?;
        let left = format!("  ▶ {}", screen.paint(Tint::Bold, &described(event, body)));
        let right = format!("{} {} in {}  {}", answer.status, answer.outcome, span(answer.took), named_id(&answer.delivery_id));
        screen.split_line(&left, &right)?;
        if answer.run_id.is_empty() {
            return Err(Failure::Other(format!("the webhook started no run: {} {}", answer.status, answer.outcome)));
        }
        let watched = watch(self.api, &answer.run_id, WatchOptions { indent: "    ", ..WatchOptions::default() }, screen).await?;
        if exit_of(&watched) != Some(Exit::Success) {
            return Err(Failure::Other(format!("run {} did not succeed", watched.id)));
        }
        let run = self.api.runs().get_run(GetRunRequest { run_id: watched.id }).await?.into_inner().run.unwrap_or_default();
        Ok((run, answer.delivery_id))
    }

    async fn deliver(&self, event: &str, id: &str, body: &str, secret: &str) -> Result<Answer, Failure> {
        let headers = headers(Signer::Github, secret, id, Some(event), jiff::Timestamp::now().as_second(), body.as_bytes())?;
        let reply = send(self.url.clone(), headers, body.as_bytes().to_vec()).await?;
        let json: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let text = |name: &str| one_line(json[name].as_str().unwrap_or_default());
        Ok(Answer {
            status: reply.status,
            outcome: text("outcome"),
            delivery_id: text("delivery_id"),
            run_id: text("run_id"),
            took: reply.took,
        })
    }

    /// What must not start a run: the same delivery, a comment of the agent's own, a wrong signature.
    async fn refusals(&self, first_id: &str, first_delivery: &str) -> Result<Refusals, Failure> {
        let again = self.deliver("pull_request", first_id, OPENED, &self.secret).await?;
        let mut own: Value = serde_json::from_str(COMMENTED).map_err(|error| Failure::Other(error.to_string()))?;
        for login in ["/sender/login", "/comment/user/login"] {
            if let Some(place) = own.pointer_mut(login) {
                *place = OWN_NAME.into();
            }
        }
        let own = self.deliver("issue_comment", &Uuid::now_v7().to_string(), &own.to_string(), &self.secret).await?;
        let forged = self.deliver("issue_comment", &Uuid::now_v7().to_string(), COMMENTED, "not the secret").await?;
        let request = ListDeliveriesRequest {
            trigger_id: self.slug.clone(),
            outcomes: vec![DeliveryOutcome::Rejected.into()],
            page_size: 1,
            ..Default::default()
        };
        let listed = self.api.triggers().list_deliveries(request).await?.into_inner().deliveries.into_iter().next();
        let request = ListRunsRequest { trigger_id: self.slug.clone(), ..Default::default() };
        let runs = self.api.runs().list_runs(request).await?.into_inner().runs;
        let delivery = |id: &str| crate::proto::v1::GetDeliveryRequest { delivery_id: id.to_owned(), ..Default::default() };
        let again_stored = self.api.triggers().get_delivery(delivery(&again.delivery_id)).await?.into_inner().delivery.unwrap_or_default();
        Ok(Refusals {
            repeats_first: again_stored.duplicate_of_delivery_id == first_delivery,
            again: (again.status, again.outcome, again.delivery_id),
            own: (own.status, own.outcome, own.run_id),
            forged: forged.status,
            listed,
            run_count: runs.len(),
            unfinished: runs.iter().filter(|run| run.state() != RunState::Succeeded).count(),
        })
    }
}

/// What a run's agent was told.
async fn prompt_of(api: &Api, run: &Run) -> Result<String, Failure> {
    let mut stream = api.runs().watch_run(WatchRunRequest { run_id: run.id.clone(), ..Default::default() }).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if let Some(Event::Entry(entry)) = message.event
            && let Some(Kind::RunStarted(started)) = entry.kind
        {
            return Ok(started.prompt);
        }
    }
    Err(Failure::Other(format!("the journal of {} has no prompt", run.id)))
}

/// `pull_request.opened by maria, acme/shop#412 "Add retry to checkout"`.
fn described(event: &str, body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |path: &str| json.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (action, who) = (text("/action"), text("/sender/login"));
    match json.pointer("/comment/body").and_then(Value::as_str) {
        Some(comment) => format!("{event}.{action} by {who}: \"{comment}\""),
        None => {
            let number = json.pointer("/number").and_then(Value::as_i64).unwrap_or_default();
            format!("{event}.{action} by {who}, {}#{number} \"{}\"", text("/repository/full_name"), text("/pull_request/title"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_described_from_their_bodies() {
        assert_eq!(described("pull_request", OPENED), r#"pull_request.opened by maria, acme/shop#412 "Add retry to checkout""#);
        assert_eq!(
            described("issue_comment", COMMENTED),
            r#"issue_comment.created by maria: "What was the code word, and which ideas did you reject?""#
        );
    }
}
