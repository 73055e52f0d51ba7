//! Tests of the stored shape of entries.

use super::*;

fn at(sequence: i32, kind: EntryKind) -> JournalEntry {
    JournalEntry {
        sequence,
        attempt: 2,
        time: UnixMicros(7),
        parent_tool_use_id: String::new(),
        truncated: false,
        raw: String::new(),
        kind,
    }
}

fn every_kind() -> Vec<EntryKind> {
    let usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
        cache_read_tokens: 3,
        cache_write_tokens: 4,
        thinking_tokens: 5,
        cost: NanoUsd(6),
        cost_basis: CostBasis::Metered,
    };
    let s = str::to_owned;
    vec![
        EntryKind::RunStarted {
            attempt: 2,
            lineage: Lineage::Restored,
            prompt: s("say \"hi\"\n"),
            prompt_kind: PromptKind::Summary,
            delivery_ids: vec![DeliveryId::new()],
        },
        EntryKind::AgentStarted {
            purpose: SpawnPurpose::Resume,
            agent_session_id: s("a"),
            agent_version: s("2"),
            model: s("m"),
            permission_mode: s("dontAsk"),
            tools: vec![s("Read")],
            mcp_servers: vec![s("x")],
            credential_kind: s("key"),
        },
        EntryKind::Text { block_id: s("b"), text: s("grüße \u{1F980}") },
        EntryKind::Thinking { block_id: s("c"), text: s("…") },
        EntryKind::ToolCall { tool_use_id: s("t"), name: s("Bash"), summary: s("ls"), input_json: s("{\"a\":[1,\"\\n\"]}") },
        EntryKind::ToolResult { tool_use_id: s("t"), is_error: true, text: s("no"), size_bytes: 9, duration_ms: 8, image_count: 7 },
        EntryKind::Usage { usage, context_tokens: 10, context_window_tokens: 200_000 },
        EntryKind::Retry { number: 1, max_count: 6, delay_ms: 500, api_status: Some(529), error: s("overloaded") },
        EntryKind::Notice { code: NoticeCode::AttemptEnded, message: s("m"), values: vec![(s("k"), s("v"))] },
        EntryKind::Stderr { text: s("warn") },
        EntryKind::Outcome {
            state: RunState::Failed,
            result_text: s("r"),
            failure: Some(Failure { reason: FailureReason::ModelError, message: s("500"), api_status: Some(500) }),
            usage,
            warnings: vec![RunWarning::CacheCold],
            turn_duration_ms: 3,
            api_duration_ms: 2,
        },
        EntryKind::Other { line_type: s("rate_limit_event"), subtype: s("s"), raw_json: s("{\"type\":\"rate_limit_event\"}") },
    ]
}

#[test]
fn every_kind_reads_back_as_it_was() {
    let mut entries: Vec<_> = (1..).zip(every_kind()).map(|(n, kind)| at(n, kind)).collect();
    entries[3].raw = "{\"type\":\"assistant\"}".to_owned();
    entries[3].truncated = true;
    entries[3].parent_tool_use_id = "toolu_1".to_owned();
    assert_eq!(decode(&encode(&entries)).unwrap(), entries);
}

#[test]
fn lines_that_are_alike_compress_well() {
    let entries: Vec<_> =
        (1..=100).map(|n| at(n, EntryKind::Text { block_id: format!("b{n}"), text: "the same words ".repeat(12) })).collect();
    assert!(encode(&entries).len() * 10 < entries.iter().map(weight).sum());
}

#[test]
fn a_kind_of_a_later_version_becomes_other_and_keeps_its_place() {
    let lines = concat!(
        r#"{"n":4,"a":1,"t":5,"k":{"hologram":{"depth":3}},"r":"{}"}"#,
        "\n",
        r#"{"n":5,"a":1,"t":5,"k":{"notice":{"code":"from_the_future","message":"m","values":[]}}}"#,
        "\n",
        r#"{"n":6,"a":1,"t":5,"new_field":1,"k":{"stderr":{"text":"x","colour":"red"}}}"#,
        "\n",
    );
    let entries = decode(&zstd::bulk::compress(lines.as_bytes(), 1).unwrap()).unwrap();
    assert_eq!(entries.iter().map(|e| e.sequence).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(entries[0].raw, "{}");
    assert!(
        matches!(&entries[0].kind, EntryKind::Other { line_type, raw_json, .. } if line_type == "hologram" && raw_json.contains("\"depth\":3"))
    );
    assert!(matches!(&entries[1].kind, EntryKind::Other { line_type, .. } if line_type == "notice"));
    assert!(matches!(&entries[2].kind, EntryKind::Stderr { text } if text == "x"));
}

#[test]
fn an_end_stays_an_end_when_its_reason_is_not_known() {
    let line = r#"{"n":9,"a":1,"t":5,"k":{"outcome":{"state":"failed","text":"","failure":{"reason":"solar_flare","message":"m","status":null},"usage":{"input":0,"output":0,"read":0,"write":0,"thinking":0,"nano":0,"basis":"guessed"},"warnings":["dusty"],"turn_ms":0,"api_ms":0}}}"#;
    let entries = decode(&zstd::bulk::compress(line.as_bytes(), 1).unwrap()).unwrap();
    let EntryKind::Outcome { failure: Some(failure), usage, warnings, .. } = &entries[0].kind else { panic!("{entries:?}") };
    assert_eq!((failure.reason, usage.cost_basis, warnings.len()), (FailureReason::Internal, CostBasis::Unknown, 0));
}

#[test]
fn a_broken_body_is_an_error_and_not_a_panic() {
    assert!(decode(b"not zstd").is_err());
    assert!(decode(&zstd::bulk::compress(b"{\"n\":1", 1).unwrap()).is_err());
}
