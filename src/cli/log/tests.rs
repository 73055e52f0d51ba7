//! What a reader sees of a run.

use prost_types::Timestamp;

use super::*;
use crate::proto::v1::{CostBasis, Failure as RunFailure, NoticeEntry, OutcomeEntry, StderrEntry, TextEntry, Wait};

fn at(millis: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + millis / 1000, nanos: i32::try_from(millis % 1000).expect("small") * 1_000_000 })
}

fn entry(millis: i64, kind: Kind) -> JournalEntry {
    JournalEntry { time: at(millis), attempt: 1, kind: Some(kind), ..JournalEntry::default() }
}

fn text(text: &str) -> Kind {
    Kind::Text(TextEntry { block_id: "b".into(), text: text.into() })
}

fn call(id: &str, name: &str, summary: &str) -> Kind {
    Kind::ToolCall(ToolCallEntry { tool_use_id: id.into(), name: name.into(), summary: summary.into(), input_json: "{}".into() })
}

fn answer(id: &str, is_error: bool, millis: i32) -> Kind {
    let duration = Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 });
    Kind::ToolResult(ToolResultEntry { tool_use_id: id.into(), is_error, text: "no such file".into(), duration, ..Default::default() })
}

fn run() -> Run {
    Run {
        id: "run_01h455vb4pex5vsknk084sa91c".into(),
        state: RunState::Succeeded.into(),
        lineage: Lineage::Fresh.into(),
        turn: 1,
        attempt: 1,
        create_time: at(-3_000),
        start_time: at(0),
        end_time: at(3_400),
        usage: Some(Usage {
            input_tokens: 3,
            output_tokens: 412,
            cache_write_tokens: 19_293,
            cost_usd: 0.0904,
            cost_basis: CostBasis::Reported.into(),
            ..Usage::default()
        }),
        ..Run::default()
    }
}

fn started(purpose: SpawnPurpose) -> Kind {
    let agent_session_id = "7c0e7c0e-0000-4000-8000-000000000000".into();
    Kind::AgentStarted(AgentStartedEntry {
        agent_session_id,
        agent_version: "2.1.330".into(),
        purpose: purpose.into(),
        ..Default::default()
    })
}

fn printed(log: &mut Log, run: &Run, entries: &[JournalEntry]) -> Vec<String> {
    let (mut screen, recording) = Screen::recorded(100);
    for entry in entries {
        log.entry(entry, run, &mut screen).expect("a buffer");
    }
    log.ended(run, &mut screen).expect("a buffer");
    recording.lines()
}

#[test]
fn a_run_reads_from_its_memory_to_its_cost() {
    let mut log = Log::default();
    log.run(&Run { wait: Some(Wait { reason: WaitReason::QuietPeriod.into(), ..Wait::default() }), ..Run::default() });
    let lines = printed(
        &mut log,
        &run(),
        &[
            entry(100, started(SpawnPurpose::Fresh)),
            entry(1_000, text("Reading the change.\nThen more.")),
            entry(2_000, call("t1", "Read", "Read src/checkout/retry.rs")),
            entry(2_100, answer("t1", false, 100)),
            entry(3_000, text("The code word is HERON.")),
            entry(
                3_400,
                Kind::Outcome(OutcomeEntry {
                    state: RunState::Succeeded.into(),
                    result_text: "The code word is HERON.".into(),
                    ..Default::default()
                }),
            ),
        ],
    );
    let squeezed: Vec<String> = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        squeezed,
        [
            "run_…a91c fresh · turn 1 · claude --session-id 7c0e… (waited 3.0 s for more events)",
            "00:00 ● agent 2.1.330 · new conversation 7c0e…",
            "00:01 Reading the change.",
            "Then more.",
            "00:02 ▸ Read src/checkout/retry.rs ✓ 0.1 s",
            "00:03 The code word is HERON.",
            "✔ succeeded in 3.4 s · in 3 · cache written 19,293 · out 412 · $0.0904",
        ]
    );
    assert_eq!(lines[3], "      Then more.", "later lines stand below the first");
}

#[test]
fn a_continued_run_says_where_its_memory_is_from() {
    let run = Run { lineage: Lineage::Continued.into(), continued_from_run_id: "run_01h455vb4pex5vsknk084s7k2m".into(), turn: 2, ..run() };
    let lines = printed(&mut Log::default(), &run, &[entry(0, started(SpawnPurpose::Resume))]);
    assert!(lines[0].starts_with("run_…a91c  continued from run_…7k2m · turn 2 · claude --resume 7c0e…"), "{}", lines[0]);
    assert!(lines[1].ends_with("continued conversation 7c0e…"));
}

#[test]
fn calls_that_overlap_keep_their_answers_and_their_times() {
    let lines = printed(
        &mut Log::default(),
        &run(),
        &[
            entry(1_000, call("t1", "Bash", "cargo test")),
            entry(2_000, call("t2", "Grep", "retry")),
            entry(2_500, answer("t2", true, 500)),
            entry(9_000, Kind::Outcome(OutcomeEntry { state: RunState::Failed.into(), ..Default::default() })),
        ],
    );
    assert!(lines[0].starts_with("00:02 ▸ Grep") && lines[0].contains("✗ 0.5 s"), "{lines:?}");
    assert!(lines[1].contains("│ no such file"));
    assert!(lines.iter().any(|line| line.starts_with("00:01 ▸ Bash") && line.contains("✗ no answer")), "{lines:?}");
}

#[test]
fn a_failure_says_what_happened_and_what_to_do() {
    let failure = RunFailure {
        reason: FailureReason::ModelOverloaded.into(),
        message: "the model was overloaded".into(),
        remedy: "retry later".into(),
        ..Default::default()
    };
    let run = Run { state: RunState::Failed.into(), failure: Some(failure), attempt: 2, usage: None, ..run() };
    let lines = printed(&mut Log::default(), &run, &[]);
    assert_eq!(lines[1..], ["✗ failed after 3.4 s · MODEL_OVERLOADED · 2 attempts", "  the model was overloaded", "  → retry later"]);
}

#[test]
fn what_the_agent_writes_cannot_touch_the_terminal() {
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}fine\rover";
    let notice = NoticeEntry { code: NoticeCode::Compacted.into(), message: evil.into(), ..Default::default() };
    let mut lines = printed(
        &mut Log::default(),
        &run(),
        &[
            entry(0, text(evil)),
            entry(1, Kind::Stderr(StderrEntry { text: evil.into() })),
            entry(2, call("t", evil, evil)),
            entry(3, answer("t", true, 1)),
            entry(4, Kind::Notice(notice)),
        ],
    );
    assert!(lines.iter().any(|line| line.contains("fine")));
    lines.retain(|line| line.chars().any(char::is_control));
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn progress_says_why_a_run_waits() {
    let wait = Wait { reason: WaitReason::QuietPeriod.into(), until_time: at(5_000), message: "waits for further events".into() };
    let run = Run { state: RunState::Waiting.into(), wait: Some(wait), create_time: at(0), ..Run::default() };
    let now = jiff::Timestamp::from_millisecond(1_700_000_002_000).expect("valid");
    assert_eq!(progress(&run, None, now), "waiting 2 s · waits for further events · at most 3 s more");
    let run = Run { state: RunState::Running.into(), start_time: at(-70_000), ..Run::default() };
    assert_eq!(progress(&run, Some("Bash cargo test"), now), "running 1m 12s · Bash cargo test");
}
