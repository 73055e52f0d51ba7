//! What the demo's two runs show, judged from the server's answers and the logs.

use serde_json::Value;

use crate::cli::words::{conversation, money, named_id};
use crate::proto::v1::{Delivery, DeliveryOutcome, DeliveryReason, Lineage, Run, Session};

/// What happened.
pub(super) struct Facts {
    /// The run of the first webhook.
    pub(super) first: Run,
    /// The run of the second webhook.
    pub(super) second: Run,
    /// What the agent was told in the second run.
    pub(super) second_prompt: String,
    /// The thread's session, afterwards.
    pub(super) session: Session,
    /// The command line of each claude that was started, one a line.
    pub(super) argv_log: String,
    /// The requests that the offline model saw, one a line.
    pub(super) model_log: Option<String>,
    /// What must not have started a run.
    pub(super) refusals: Refusals,
}

/// What came of three webhooks that must not start a run.
pub(super) struct Refusals {
    /// Status, outcome and id of the delivery that was sent again.
    pub(super) again: (u16, String, String),
    /// Whether it is stored as a repeat of the first one.
    pub(super) repeats_first: bool,
    /// Status, outcome and run of the agent's own comment.
    pub(super) own: (u16, String, String),
    /// Status of the one with a wrong signature.
    pub(super) forged: u16,
    /// The newest rejected delivery of the trigger.
    pub(super) listed: Option<Delivery>,
    /// Runs of the trigger afterwards.
    pub(super) run_count: usize,
    /// Those that did not succeed.
    pub(super) unfinished: usize,
}

/// One thing that the demo claims.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The claim.
    pub(super) name: &'static str,
    /// What was seen.
    pub(super) text: String,
    /// Whether it holds.
    pub(super) holds: bool,
}

/// Judges every claim.
pub(super) fn verdicts(facts: &Facts) -> Vec<Verdict> {
    vec![same_conversation(facts), remembered(facts), cheaper(facts), again(&facts.refusals), own(&facts.refusals), forged(&facts.refusals)]
}

fn agent_session(run: &Run) -> &str {
    run.attempts.last().map_or("", |attempt| attempt.agent_session_id.as_str())
}

fn same_conversation(facts: &Facts) -> Verdict {
    let (id, session) = (agent_session(&facts.first), &facts.session);
    let started: Vec<&str> = facts.argv_log.lines().filter(|line| !id.is_empty() && line.contains(id)).collect();
    let argv_agrees = started.first().is_some_and(|line| line.contains(&format!("--session-id {id}")))
        && started.last().is_some_and(|line| line.contains(&format!("--resume {id}")));
    let holds = argv_agrees
        && agent_session(&facts.second) == id
        && session.agent_session_id == id
        && facts.first.session_id == facts.second.session_id
        && facts.second.lineage() == Lineage::Continued
        && facts.second.continued_from_run_id == facts.first.id
        && session.turn_count == 2;
    let text = if holds {
        format!("{} in both runs; one session, {}, {} turns", conversation(id), named_id(&session.id), session.turn_count)
    } else {
        let (first, second) = (conversation(id), conversation(agent_session(&facts.second)));
        let resumed = if argv_agrees { "" } else { ", no --resume in the argv log" };
        format!("{first}, then {second}{resumed}; {} has {} turns", named_id(&session.id), session.turn_count)
    };
    Verdict { name: "same conversation", text, holds }
}

/// The code word and the two ideas of a review.
fn said(review: &str) -> Option<(String, Vec<String>)> {
    let (_, after) = review.rsplit_once("The code word for this review is ")?;
    let word: String = after.trim_start_matches(['*', '`', '"']).chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
    let (_, ideas) = review.split_once("I rejected two ideas: ")?;
    let ideas = ideas.split(['.', '\n']).next()?;
    let ideas: Vec<String> = ideas.split(", and ").map(|idea| idea.trim().to_owned()).filter(|idea| !idea.is_empty()).collect();
    (!word.is_empty() && ideas.len() == 2).then_some((word, ideas))
}

fn remembered(facts: &Facts) -> Verdict {
    let name = "remembered";
    let Some((word, ideas)) = said(&facts.first.result_text) else {
        return Verdict { name, text: "the first answer has no code word and two ideas to remember".into(), holds: false };
    };
    let has = |text: &str, wanted: &str| text.to_lowercase().contains(&wanted.to_lowercase());
    let has_any = |text: &str| has(text, &word) || ideas.iter().any(|idea| has(text, idea));
    let came_back = has(&facts.second.result_text, &word) && ideas.iter().all(|idea| has(&facts.second.result_text, idea));
    let mut told = has_any(&facts.second_prompt);
    let mut seen = true;
    if let Some(log) = &facts.model_log {
        // The model's own record: its last request of this conversation held the first answer, but not in the new message.
        let request = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let request = request.into_iter().find(|line| {
            line["session"] == agent_session(&facts.second) && line["text"].as_str().is_some_and(|text| text.contains("issue_comment"))
        });
        seen = request.as_ref().is_some_and(|line| line["text"].as_str().is_some_and(|text| text.contains(facts.first.result_text.trim())));
        told |= request.is_some_and(|line| line["last_user_text"].as_str().is_none_or(has_any));
    }
    let text = match (came_back, told, seen) {
        (true, false, true) => format!("{word} and both ideas; the second prompt had neither"),
        (false, ..) => format!("{word} or an idea did not come back"),
        (_, true, _) => "the second prompt told the answer".into(),
        (.., false) => "the model did not see the first turn in the second request".into(),
    };
    Verdict { name, text, holds: came_back && !told && seen }
}

fn cheaper(facts: &Facts) -> Verdict {
    let cost = |run: &Run| run.usage.as_ref().map_or(0.0, |usage| usage.cost_usd);
    let (first, second) = (cost(&facts.first), cost(&facts.second));
    let note = if facts.model_log.is_some() { " (offline model: its prices)" } else { "" };
    Verdict { name: "cheaper", text: format!("{} against {}{note}", money(second), money(first)), holds: 0.0 < second && second < first }
}

fn again(refusals: &Refusals) -> Verdict {
    let (status, outcome, delivery) = &refusals.again;
    let holds = *status == 200 && outcome == "duplicate" && refusals.repeats_first && refusals.run_count == 2 && refusals.unfinished == 0;
    let runs = if refusals.run_count == 2 { "no run".to_owned() } else { format!("{} runs instead of 2", refusals.run_count) };
    Verdict { name: "same delivery again", text: format!("{status} {outcome} {} → {runs}", named_id(delivery)), holds }
}

fn own(refusals: &Refusals) -> Verdict {
    let (status, outcome, run) = &refusals.own;
    let holds = *status == 200 && outcome == "self_authored" && run.is_empty() && refusals.run_count == 2;
    let run = if run.is_empty() { "no run, $0".to_owned() } else { named_id(run) };
    Verdict { name: "own comment", text: format!("{status} {outcome} → {run}"), holds }
}

fn forged(refusals: &Refusals) -> Verdict {
    let reason = refusals.listed.as_ref().map(Delivery::reason).unwrap_or_default();
    let outcome = refusals.listed.as_ref().map(Delivery::outcome).unwrap_or_default();
    let holds = refusals.forged == 401 && outcome == DeliveryOutcome::Rejected && reason == DeliveryReason::SignatureMismatch;
    let listed = match refusals.listed {
        Some(_) => format!("listed as rejected, {}", reason.as_str_name().trim_start_matches("DELIVERY_REASON_")),
        None => "not listed".into(),
    };
    Verdict { name: "wrong signature", text: format!("{} → {listed}", refusals.forged), holds }
}

#[cfg(test)]
mod tests;
