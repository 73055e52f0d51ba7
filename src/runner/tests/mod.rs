//! The runner over a real database, with processes that really run.

mod bed;

use std::time::Duration;

use bed::Bed;

use crate::domain::{
    EntryKind, FailureReason, Lineage, NoticeCode, PromptKind, Run, RunLimits, RunStatus, RunWarning, SessionMode, SpawnPurpose,
};

fn failed(run: &Run) -> FailureReason {
    assert_eq!(run.status, RunStatus::Failed, "{run:?}");
    run.failure.as_ref().expect("a failure").reason
}

fn worked(run: &Run) {
    assert_eq!(run.status, RunStatus::Succeeded, "{:?}", run.failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_run_of_a_thread_continues_the_first() {
    let bed = Bed::new().await;
    let first = bed.done("a", "remember the teapot [[say: noted]]").await;
    worked(&first);
    assert_eq!((first.lineage, first.result_text.as_str()), (Some(Lineage::Fresh), "noted"));
    let second = bed.done("a", "[[recall: teapot]]").await;
    worked(&second);
    assert_eq!((second.lineage, second.continued_from), (Some(Lineage::Continued), Some(first.id)));
    assert!(second.result_text.contains("teapot") || second.result_text.contains("yes"), "{}", second.result_text);
    let spawns = bed.spawns("start");
    let id = |n: usize| spawns[n]["session"].as_str().expect("an id").to_owned();
    assert_eq!(id(0), id(1));
    assert!(spawns[1]["argv"].as_array().expect("argv").iter().any(|argument| argument == "--resume"));
    let entries = bed.entries(second.id).await;
    assert!(
        matches!(&entries[0], EntryKind::RunStarted { lineage: Lineage::Continued, prompt_kind: PromptKind::FollowUp, .. }),
        "{entries:?}"
    );
    assert!(matches!(entries.last(), Some(EntryKind::Outcome { .. })));
    let session = bed.store.session(second.session_id).await.expect("read").expect("there");
    assert_eq!((session.turn_count, session.generation), (2, 1));
    assert!(session.transcript_bytes > 0 && session.usage.cost == crate::domain::NanoUsd(first.usage.cost.0 + second.usage.cost.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_transcript_comes_back_from_custody_and_a_damaged_one_too() {
    let bed = Bed::new().await;
    worked(&bed.done("a", "first").await);
    bed.transcripts().iter().for_each(|path| std::fs::remove_file(path).expect("deleted"));
    let second = bed.done("a", "second").await;
    worked(&second);
    assert_eq!((second.lineage, second.warnings.clone()), (Some(Lineage::Restored), vec![RunWarning::SessionRestored]));
    assert!(bed.notices(second.id).await.contains(&NoticeCode::TranscriptRestored));
    // There, but nothing the agent knows: stale, and custody has the real one.
    bed.transcripts().iter().for_each(|path| std::fs::write(path, "garbage\n").expect("damaged"));
    let third = bed.done("a", "third").await;
    worked(&third);
    assert_eq!(third.lineage, Some(Lineage::Restored));
    assert_eq!(bed.store.session(third.session_id).await.expect("read").expect("there").generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_nowhere_begins_anew_once_with_a_summary() {
    let bed = Bed::new().await;
    let first = bed.done("a", "first [[say: the answer was 42]]").await;
    let lose = async || {
        bed.transcripts().iter().for_each(|path| std::fs::remove_file(path).expect("deleted"));
        let session = bed.store.session(first.session_id).await.expect("read").expect("there");
        let sql = format!("UPDATE sessions SET manifest = '' WHERE id = x'{}'; DELETE FROM transcript_parts", session.id.0.simple());
        sea_orm::ConnectionTrait::execute_unprepared(crate::store::writer(&bed.store), &sql).await.expect("emptied");
    };
    lose().await;
    let second = bed.done("a", "second").await;
    worked(&second);
    assert_eq!((second.lineage, second.generation), (Some(Lineage::Recovered), 2));
    assert!(second.warnings.contains(&RunWarning::SessionRecovered));
    assert!(bed.notices(second.id).await.contains(&NoticeCode::SessionLost));
    let prompt = bed.spawns("start").last().expect("a spawn")["prompt"].as_str().expect("text").to_owned();
    assert!(prompt.contains("the answer was 42") && prompt.contains("second"), "{prompt}");
    lose().await;
    let third = bed.ended(bed.ask_as("a", "third", SessionMode::Resume).await).await;
    assert_eq!(failed(&third), FailureReason::SessionLost);
    worked(&bed.done("a", "fourth").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_agent_and_leaves_the_conversation() {
    let bed = Bed::new().await;
    worked(&bed.done("a", "first").await);
    let id = bed.ask("a", "second [[sleep: 60]]").await;
    bed.when(id, |run| run.status == RunStatus::Running).await;
    bed.queue.request_cancel(id, "enough").await.expect("accepted");
    assert_eq!(bed.ended(id).await.status, RunStatus::Cancelled);
    assert_eq!(bed.done("a", "third").await.lineage, Some(Lineage::Continued));
    // One that does not hear is killed.
    let id = bed.ask("b", "[[hang]]").await;
    bed.when(id, |run| run.status == RunStatus::Running).await;
    bed.queue.request_cancel(id, "enough").await.expect("accepted");
    assert_eq!(bed.ended(id).await.status, RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_and_silent_agents_are_ended_by_name() {
    let seconds = |n| Some(Duration::from_secs(n));
    let bed = Bed::with(RunLimits { timeout: seconds(3), silence_timeout: seconds(1), ..RunLimits::default() }, |_| {}).await;
    assert_eq!(failed(&bed.done("a", "[[hang]]").await), FailureReason::Silent);
    let bed = Bed::with(RunLimits { timeout: seconds(1), silence_timeout: seconds(60), ..RunLimits::default() }, |_| {}).await;
    assert_eq!(failed(&bed.done("a", "[[sleep: 60]]").await), FailureReason::TimedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_leaves_behind_is_ended_even_if_it_holds_the_output_open() {
    let bed = Bed::new().await;
    for prompt in ["[[orphan]]", "[[orphan: stdout]]"] {
        let run = bed.done("a", prompt).await;
        worked(&run);
        assert!(run.warnings.contains(&RunWarning::BackgroundWorkStopped), "{prompt}: {:?}", run.warnings);
        let mark = super::kill::Mark::Worker(run.attempts[0].worker.to_string());
        assert_eq!(super::kill::sweep(&[mark], None), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_interrupts_its_runs_and_the_next_continues_them() {
    let mut bed = Bed::new().await;
    let id = bed.ask("a", "work [[sleep: 3]]").await;
    bed.when(id, |run| run.status == RunStatus::Running).await;
    while bed.transcripts().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bed.restart(Duration::from_millis(10)).await;
    let run = bed.ended(id).await;
    worked(&run);
    assert_eq!((run.attempt, run.lineage), (2, Some(Lineage::Fresh)));
    let spawns = bed.spawns("start");
    assert_eq!(spawns.len(), 2);
    assert_eq!(spawns[0]["session"], spawns[1]["session"]);
    let entries = bed.entries(id).await;
    assert!(
        entries.iter().any(|kind| matches!(kind, EntryKind::RunStarted { attempt: 2, prompt_kind: PromptKind::Retry, .. })),
        "{entries:?}"
    );
    assert!(bed.notices(id).await.contains(&NoticeCode::Interrupted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_is_compacted_first() {
    let bed = Bed::new().await;
    worked(&bed.done("a", "first").await);
    let sql = "UPDATE sessions SET turns_since_compaction = 50";
    sea_orm::ConnectionTrait::execute_unprepared(crate::store::writer(&bed.store), sql).await.expect("changed");
    let run = bed.done("a", "second").await;
    worked(&run);
    let entries = bed.entries(run.id).await;
    let purposes: Vec<SpawnPurpose> =
        entries.iter().filter_map(|kind| if let EntryKind::AgentStarted { purpose, .. } = kind { Some(*purpose) } else { None }).collect();
    assert_eq!(purposes, [SpawnPurpose::Compact, SpawnPurpose::Resume]);
    assert_eq!(bed.spawns("start")[1]["prompt"], "/compact");
    let session = bed.store.session(run.session_id).await.expect("read").expect("there");
    assert_eq!((session.turn_count, session.turns_since_compaction), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_costs_is_counted_and_said_when_it_is_near_its_limit() {
    let bed = Bed::with(RunLimits { max_cost: Some(crate::domain::NanoUsd::from_usd(1.0)), ..RunLimits::default() }, |_| {}).await;
    let run = bed.done("a", "[[cost: 0.9]]").await;
    worked(&run);
    assert_eq!(run.usage.cost, crate::domain::NanoUsd::from_usd(0.9));
    assert!(run.warnings.contains(&RunWarning::NearMaxCost));
    assert_eq!((run.profile.as_str(), run.max_cost.usd()), ("untrusted", 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_past_the_limit_is_left_out_and_the_result_still_counts() {
    let bed = Bed::with(RunLimits::default(), |setup| setup.config.output_limit_bytes = 100_000).await;
    let run = bed.done("a", "[[bytes: 3000000]]").await;
    worked(&run);
    assert!(run.warnings.contains(&RunWarning::OutputTruncated));
    let notices = bed.notices(run.id).await;
    assert_eq!(notices.iter().filter(|code| **code == NoticeCode::OutputTruncated).count(), 1);
    let long = bed.done("b", "[[longline: 20000000]]").await;
    worked(&long);
}
