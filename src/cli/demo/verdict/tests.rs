//! Each claim of the demo holds when all is well, and fails when its ground is taken away.

use super::*;
use crate::proto::v1::{Attempt, Usage};

const ID: &str = "7c0e7c0e-0000-4000-8000-000000000000";

fn run(id: &str, cost_usd: f64, result_text: &str) -> Run {
    Run {
        id: id.into(),
        session_id: "ses_01h455vb4pex5vsknk084s0001".into(),
        result_text: result_text.into(),
        usage: Some(Usage { cost_usd, ..Usage::default() }),
        attempts: vec![Attempt { agent_session_id: ID.into(), ..Attempt::default() }],
        ..Run::default()
    }
}

fn model_line(text: &str, last: &str) -> String {
    serde_json::json!({ "session": ID, "text": text, "last_user_text": last }).to_string()
}

fn facts() -> Facts {
    let review = "I rejected two ideas: a fixed delay, and retrying on 4xx. The code word for this review is OSPREY.";
    let second = Run {
        continued_from_run_id: "run_1".into(),
        lineage: Lineage::Continued.into(),
        ..run("run_2", 0.0076, "OSPREY. I rejected a fixed delay, and retrying on 4xx.")
    };
    let question = "issue_comment: what was the code word?";
    Facts {
        first: run("run_1", 0.0904, review),
        second,
        second_prompt: question.into(),
        session: Session { agent_session_id: ID.into(), turn_count: 2, ..Session::default() },
        argv_log: format!("--print --session-id {ID} --model x\n--version\n--print --resume {ID} --model x\n"),
        model_log: Some(format!(
            "{}\n{}\n",
            model_line("pull_request", "pull_request"),
            model_line(&format!("{review}\n{question}"), question)
        )),
        refusals: Refusals {
            again: (200, "duplicate".into(), "dlv_1".into()),
            repeats_first: true,
            own: (200, "self_authored".into(), String::new()),
            forged: 401,
            listed: Some(Delivery {
                outcome: DeliveryOutcome::Rejected.into(),
                reason: DeliveryReason::SignatureMismatch.into(),
                ..Delivery::default()
            }),
            run_count: 2,
            unfinished: 0,
        },
    }
}

#[track_caller]
fn fails(name: &str, change: impl FnOnce(&mut Facts)) {
    let mut facts = facts();
    change(&mut facts);
    let failed: Vec<&str> = verdicts(&facts).iter().filter(|verdict| !verdict.holds).map(|verdict| verdict.name).collect();
    assert!(failed.contains(&name), "{failed:?}");
}

#[test]
fn all_hold_when_all_is_well() {
    let verdicts = verdicts(&facts());
    assert!(verdicts.iter().all(|verdict| verdict.holds), "{verdicts:?}");
    assert_eq!(verdicts[1].text, "OSPREY and both ideas; the second prompt had neither");
    assert_eq!(verdicts[2].text, "$0.0076 against $0.0904 (offline model: its prices)");
}

#[test]
fn each_claim_can_fail() {
    fails("same conversation", |facts| facts.second.attempts[0].agent_session_id = "other".into());
    fails("same conversation", |facts| facts.argv_log = facts.argv_log.replace("--resume", "--session-id"));
    fails("same conversation", |facts| facts.argv_log.clear());
    fails("same conversation", |facts| facts.session.turn_count = 1);
    fails("same conversation", |facts| facts.second.lineage = Lineage::Fresh.into());
    fails("remembered", |facts| facts.second.result_text = "HERON. I rejected a fixed delay, and retrying on 4xx.".into());
    fails("remembered", |facts| facts.second.result_text = "OSPREY.".into());
    fails("remembered", |facts| facts.second_prompt.push_str(" It was osprey."));
    fails("remembered", |facts| facts.first.result_text = "Looks good.".into());
    fails("remembered", |facts| facts.model_log = Some(model_line("issue_comment alone", "issue_comment alone")));
    fails("remembered", |facts| facts.model_log = Some(String::new()));
    fails("cheaper", |facts| facts.second.usage = facts.first.usage.clone());
    fails("cheaper", |facts| facts.second.usage = None);
    fails("same delivery again", |facts| facts.refusals.run_count = 3);
    fails("same delivery again", |facts| facts.refusals.repeats_first = false);
    fails("own comment", |facts| facts.refusals.own.2 = "run_3".into());
    fails("own comment", |facts| facts.refusals.own.1 = "queued".into());
    fails("wrong signature", |facts| facts.refusals.forged = 200);
    fails("wrong signature", |facts| facts.refusals.listed = None);
}

#[test]
fn a_review_says_its_word_and_ideas() {
    let (word, ideas) =
        said("Fine.\nI rejected two ideas: caching all, and no retry. The code word for this review is **HERON**.").expect("both");
    assert_eq!((word.as_str(), ideas), ("HERON", vec!["caching all".to_owned(), "no retry".to_owned()]));
    assert!(said("The code word for this review is HERON.").is_none());
    assert!(said("I rejected two ideas: one, and two.").is_none());
}
