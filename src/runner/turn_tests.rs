//! How an attempt gets its memory.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::{
    LeaseId, Memory, NanoUsd, RunId, RunKind, SessionId, SessionKind, SessionMode, Settings, Source, Trigger, TriggerId, samples,
};
use crate::queue::{ClaimedRun, EarlierAttempt, Lease, Manifest};

const PRINT: &str = "print";
const DAY: Duration = Duration::from_secs(86_400);
const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

fn run(id: RunId) -> ClaimedRun {
    let (trigger_slug, thread_key) = ("reviews".to_owned(), Some("acme/shop#1".to_owned()));
    let (kind, lineage, spent, delivery_ids) = (RunKind::Turn, None, NanoUsd(0), Vec::new());
    ClaimedRun { id, kind, seq: 1, turn: 1, trigger_slug, thread_key, lineage, spent, delivery_ids }
}

fn session(id: SessionId) -> Memory {
    Memory {
        id,
        kind: SessionKind::Thread,
        generation: 1,
        agent_session_id: None,
        fingerprint: None,
        origin: SessionOrigin::First,
        turn_count: 0,
        turns_since_compaction: 0,
        last_run_id: None,
        forked_run_id: None,
        last_use_time: NOW,
    }
}

/// The first attempt at the first run of a new thread.
fn first() -> Assignment {
    let (run_id, session_id, trigger_id) = (RunId::new(), SessionId::new(), TriggerId::new());
    Assignment {
        lease: Lease { id: LeaseId::new(), session_id, run_id, attempt: 1 },
        run: run(run_id),
        session: session(session_id),
        trigger: Arc::new(Trigger { id: trigger_id, ..samples::trigger(Source::Github, "Review.") }),
        settings: Arc::new(Settings::default()),
        deliveries: Vec::new(),
        session_mode: SessionMode::Default,
        prompt_override: None,
        stored_prompt: None,
        earlier: Vec::new(),
        manifest: Manifest::default(),
        agent_total_cost: NanoUsd(0),
        last_agent_version: String::new(),
    }
}

/// The first attempt at a later run, with the id of the conversation.
fn later() -> (Assignment, Uuid) {
    let (mut assignment, id) = (first(), Uuid::now_v7());
    assignment.session.agent_session_id = Some(id);
    assignment.session.fingerprint = Some(PRINT.to_owned());
    (assignment.session.turn_count, assignment.session.turns_since_compaction) = (2, 2);
    (assignment, id)
}

/// The second attempt, after one that was interrupted in this conversation.
fn interrupted() -> (Assignment, Uuid) {
    let (mut assignment, id) = later();
    assignment.lease.attempt = 2;
    assignment.earlier = vec![EarlierAttempt { number: 1, agent_session_id: Some(id), exit: "interrupted".to_owned() }];
    (assignment, id)
}

fn new(assignment: &Assignment) -> New {
    match opening(assignment, PRINT, NOW) {
        Opening::New(new) => new,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_thread_begins_and_a_known_one_goes_on() {
    let begun = new(&first());
    assert_eq!((begun.generation, begun.origin, begun.lineage, begun.because.clone()), (1, SessionOrigin::First, Lineage::Fresh, None));
    let start = begun.start(PRINT);
    assert_eq!((start.generation, start.fingerprint.as_str()), (1, PRINT));
    let (assignment, id) = later();
    assert_eq!(opening(&assignment, PRINT, NOW), Opening::Go(id));
}

#[test]
fn a_reset_counts_its_generation_itself() {
    let mut assignment = first();
    (assignment.session.generation, assignment.session.origin) = (2, SessionOrigin::Reset);
    let begun = new(&assignment);
    assert_eq!((begun.generation, begun.origin, begun.lineage), (2, SessionOrigin::Reset, Lineage::Renewed));
}

#[test]
fn too_old_or_no_longer_fitting_conversations_are_renewed() {
    let (mut assignment, _) = later();
    assignment.session.fingerprint = Some("other".to_owned());
    assert_eq!((new(&assignment).generation, new(&assignment).origin), (2, SessionOrigin::Changed));
    let (mut assignment, id) = later();
    assignment.session.last_use_time = NOW.minus(DAY * 7);
    assert_eq!(opening(&assignment, PRINT, NOW), Opening::Go(id), "seven days are still in time");
    assignment.session.last_use_time = NOW.minus(DAY * 7 + Duration::from_secs(1));
    assert_eq!((new(&assignment).origin, new(&assignment).lineage), (SessionOrigin::Expired, Lineage::Renewed));
}

#[test]
fn modes_are_obeyed_once() {
    let (mut assignment, _) = later();
    assignment.session_mode = SessionMode::Fresh;
    assert_eq!((new(&assignment).generation, new(&assignment).origin), (2, SessionOrigin::Reset));
    let (mut again, id) = interrupted();
    again.session_mode = SessionMode::Fresh;
    assert_eq!(opening(&again, PRINT, NOW), Opening::Go(id), "the first attempt began it already");
    let mut assignment = first();
    assignment.session_mode = SessionMode::Resume;
    assert!(matches!(opening(&assignment, PRINT, NOW), Opening::Refused(_)));
}

#[test]
fn an_interrupted_attempt_goes_on_even_late_unless_the_trigger_says_to_begin_again() {
    let (mut assignment, id) = interrupted();
    assignment.session.last_use_time = NOW.minus(DAY * 30);
    assert_eq!(opening(&assignment, PRINT, NOW), Opening::Go(id));
    Arc::make_mut(&mut assignment.trigger).spec.retry.on_interrupt = OnInterrupt::Restart;
    assert_eq!((new(&assignment).generation, new(&assignment).lineage), (2, Lineage::Renewed));
    assignment.session.turn_count = 0;
    assignment.run.lineage = Some(Lineage::Fresh);
    assert_eq!(new(&assignment).lineage, Lineage::Fresh, "it never had another memory");
    // An attempt that did not get as far as the conversation leaves it as it was.
    assignment.earlier[0].agent_session_id = None;
    assert_eq!(opening(&assignment, PRINT, NOW), Opening::Go(id));
}

#[test]
fn prompts_and_compaction_follow_the_turns() {
    let (mut assignment, _) = later();
    assert_eq!(prompt_kind(&assignment, false), PromptKind::FollowUp);
    assert_eq!(prompt_kind(&assignment, true), PromptKind::Retry);
    assert!(!compaction_is_due(&assignment));
    assignment.session.turns_since_compaction = 50;
    assert!(compaction_is_due(&assignment));
    assert_eq!(prompt_kind(&first(), false), PromptKind::First);
    let lost = instead_of_lost(3);
    assert_eq!((lost.generation, lost.origin, lost.lineage), (4, SessionOrigin::Lost, Lineage::Recovered));
}
