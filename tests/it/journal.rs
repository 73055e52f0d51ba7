//! A journal by pages, searched on the server, and as a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use reprise::proto::v1::{self, journal_entry::Kind, list_journal_entries_request::Position, watch_run_response::Event};
use serde_json::Value;
use tonic_types::StatusExt;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup, fake_claude};

const ROW: &str = "[[lines: 2500]] [[toolcall]] [[stderr: Oops, a NEEDLE]] [[longline: 90000]]";

/// A finished run, and every entry of it as a watcher got them.
async fn world() -> (Server, Client, String, Vec<v1::JournalEntry>) {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let no_limit = |trigger: &mut v1::Trigger| trigger.run_limits = Some(v1::RunLimits { max_cost_usd: Some(0.0), ..Default::default() });
    let (url, secret) = client.github_trigger("reviews", no_limit).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, ROW)).await.expect("answered");
    let request = v1::WatchRunRequest { run_id: answer.run_id(), include_raw: true, ..Default::default() };
    let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
    let mut entries = Vec::new();
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(Event::Entry(entry)) = message.event {
            entries.push(entry);
        }
    }
    (server, client, answer.run_id(), entries)
}

/// Every page of a list, each of them small enough, and the count that the first one told.
async fn pages(client: &mut Client, request: v1::ListJournalEntriesRequest) -> (Vec<v1::JournalEntry>, i32) {
    let (mut all, mut counts, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request = v1::ListJournalEntriesRequest { page_token, ..request.clone() };
        let page = client.runs.list_journal_entries(request).await.expect("listed").into_inner();
        assert!(page.encoded_len() <= 1024 * 1024, "{}", page.encoded_len());
        counts.push(page.match_count);
        all.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            assert!(counts.iter().all(|count| *count == counts[0]), "each page knows the count: {counts:?}");
            return (all, counts[0]);
        }
    }
}

fn is_tool(entry: &v1::JournalEntry) -> bool {
    matches!(entry.kind, Some(Kind::ToolCall(_) | Kind::ToolResult(_)))
}

#[tokio::test]
async fn pages_hold_what_a_watcher_gets_in_both_directions() {
    let (_server, mut client, run_id, watched) = world().await;
    assert!(watched.len() > 2500);
    let request = v1::ListJournalEntriesRequest { run_id, page_size: 400, include_raw: true, ..Default::default() };
    assert_eq!(pages(&mut client, request.clone()).await, (watched.clone(), 0));
    let newest = v1::ListJournalEntriesRequest { newest_first: true, ..request.clone() };
    assert_eq!(pages(&mut client, newest.clone()).await.0, watched.iter().rev().cloned().collect::<Vec<_>>());
    let middle = v1::ListJournalEntriesRequest { position: Some(Position::BeforeSequence(700)), page_size: 10, ..newest };
    let page = client.runs.list_journal_entries(middle).await.expect("listed").into_inner();
    assert_eq!(page.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), (690..700).rev().collect::<Vec<_>>());
    let after = v1::ListJournalEntriesRequest { position: Some(Position::AfterSequence(2490)), ..request };
    assert_eq!(pages(&mut client, after).await.0, watched[2490..]);
}

#[tokio::test]
async fn entries_are_searched_and_filtered_on_the_server() {
    let (_server, mut client, run_id, watched) = world().await;
    let request = v1::ListJournalEntriesRequest { run_id: run_id.clone(), page_size: 500, ..Default::default() };

    let needle = v1::ListJournalEntriesRequest { query: "a needle".to_owned(), kinds: vec!["stderr".to_owned()], ..request.clone() };
    let (found, count) = pages(&mut client, needle).await;
    assert!(matches!(&found[..], [one] if matches!(&one.kind, Some(Kind::Stderr(stderr)) if stderr.text.contains("NEEDLE"))), "{found:?}");
    assert_eq!((count, found[0].raw.as_str()), (1, ""));

    let texts: Vec<_> = watched.iter().filter(|entry| matches!(entry.kind, Some(Kind::Text(_)))).map(|entry| entry.sequence).collect();
    let (found, _) = pages(&mut client, v1::ListJournalEntriesRequest { kinds: vec!["text".to_owned()], ..request.clone() }).await;
    assert_eq!(found.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), texts);

    let tool = watched.iter().find_map(|entry| match &entry.kind {
        Some(Kind::ToolCall(call)) => Some(call.name.clone()),
        _ => None,
    });
    for newest_first in [false, true] {
        let request =
            v1::ListJournalEntriesRequest { tool_name: tool.clone().expect("a call"), newest_first, page_size: 1, ..request.clone() };
        let (found, _) = pages(&mut client, request).await;
        assert_eq!(found.len(), watched.iter().filter(|entry| is_tool(entry)).count());
        assert!(found.len() >= 2 && found.iter().all(is_tool), "{found:?}");
    }

    let first = v1::ListJournalEntriesRequest { page_size: 5, ..request.clone() };
    let token = client.runs.list_journal_entries(first).await.expect("listed").into_inner().next_page_token;
    let other = v1::ListJournalEntriesRequest { page_token: token, newest_first: true, ..request.clone() };
    let refused = client.runs.list_journal_entries(other).await.expect_err("another list's token");
    assert_eq!(refused.get_error_details().error_info().expect("info").reason, "PAGE_TOKEN_INVALID");
    let wrong = v1::ListJournalEntriesRequest {
        kinds: vec!["text".to_owned(), "speech".to_owned()],
        position: Some(Position::AfterSequence(-1)),
        ..request.clone()
    };
    let refused = client.runs.list_journal_entries(wrong).await.expect_err("refused");
    let fields = refused.get_error_details().bad_request().expect("fields").field_violations.clone();
    assert_eq!(fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["kinds[1]", "after_sequence"]);
    let nobody = v1::ListJournalEntriesRequest { run_id: "run_01h455vb4pex5vsknk084sn02q".to_owned(), ..request };
    assert_eq!(client.runs.list_journal_entries(nobody).await.expect_err("no such run").code(), tonic::Code::NotFound);
}

/// A script before the test double that keeps what is printed, adds lines of its own, and breaks off no line.
fn recorder(dir: &Path) -> PathBuf {
    let (script, out, err) = (dir.join("recorder"), dir.join("out"), dir.join("err"));
    let text = format!(
        r#"#!/bin/bash
case "$*" in *stream-json*) ;; *) exec {fake} "$@" ;; esac
set -o pipefail
{{
    printf 'no \377 text\n%020000d\n' 7 >&2
    {fake} "$@"
    code=$?
    printf '\n{{"type":"system","subtype":"status"}}\r\n'
    head -c 150000 /dev/zero | tr '\0' '\377'
    printf '\nno text \360\237\n'
    exit $code
}} 2> >(tee -a {err} >&2) | tee -a {out}
"#,
        fake = fake_claude().display(),
        out = out.display(),
        err = err.display(),
    );
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    script
}

async fn export(client: &mut Client, run_id: String) -> Vec<Value> {
    let mut stream = client.runs.export_run(v1::ExportRunRequest { run_id }).await.expect("exported").into_inner();
    let mut file = Vec::new();
    while let Some(piece) = stream.message().await.expect("a piece") {
        assert_eq!(usize::try_from(piece.offset).expect("a place"), file.len());
        assert!(!piece.data.is_empty() && piece.data.len() <= 64 * 1024);
        file.extend_from_slice(&piece.data);
    }
    let text = String::from_utf8(zstd::decode_all(&file[..]).expect("zstd")).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The bytes of each line of one stream, and whether they came as base64.
fn bytes_of(lines: &[Value], stream: &str) -> Vec<(Vec<u8>, bool)> {
    let bytes = |line: &Value| match line["line_base64"].as_str() {
        Some(encoded) => (STANDARD.decode(encoded).expect("base64"), true),
        None => (line["line"].as_str().expect("text").as_bytes().to_vec(), false),
    };
    lines.iter().filter(|line| line["stream"] == stream).map(bytes).collect()
}

#[tokio::test]
async fn the_file_of_a_run_is_what_its_agent_printed_line_for_line() {
    let dir = tempfile::tempdir().expect("temp dir");
    let server = Setup { claude: recorder(dir.path()), ..Setup::fake() }.start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let row = "[[lines: 600]] [[toolcall]] [[stderr: Oops, a NEEDLE]] [[longline: 300000]] [[badutf8]]";
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, row)).await.expect("answered");
    let (entries, _) = client.watch(&answer.run_id()).await;
    let lines = export(&mut client, answer.run_id()).await;
    for (stream, name) in [("stdout", "out"), ("stderr", "err")] {
        let printed = std::fs::read(dir.path().join(name)).expect("recorded");
        let printed: Vec<&[u8]> = printed.strip_suffix(b"\n").expect("whole lines").split(|byte| *byte == b'\n').collect();
        // The pieces of messages are the one exception.
        let is_piece = |line: &[u8]| serde_json::from_slice::<Value>(line).is_ok_and(|line| line["type"] == "stream_event");
        let kept: Vec<_> =
            printed.iter().filter(|line| !is_piece(line)).map(|line| (line.to_vec(), str::from_utf8(line).is_err())).collect();
        let exported = bytes_of(&lines, stream);
        let first = kept.iter().zip(&exported).position(|(kept, exported)| kept != exported);
        assert_eq!((exported.len(), first), (kept.len(), None), "{stream}");
        assert!(if name == "out" { kept.len() > 600 && kept.len() < printed.len() } else { kept.len() == 3 }, "{}", kept.len());
    }
    let all = bytes_of(&lines, "stdout");
    assert!(all.iter().any(|(line, _)| line.starts_with(b"{") && line.windows(15).any(|some| some == b"\"type\":\"result\"")));
    assert!(
        all.iter().any(|(line, binary)| line.len() > 290_000 && !binary)
            && all.iter().any(|(line, binary)| line.len() == 150_000 && *binary)
    );
    assert!(lines.iter().all(|line| line.get("cut").is_none() && line["attempt"] == 1));
    assert!(lines[0]["time"].as_str().expect("a time").ends_with('Z'));
    // The lines beside the entries are none of them: sequences have no hole, and a long line's entry has its beginning.
    assert!((1..).zip(&entries).all(|(sequence, entry)| entry.sequence == sequence));
    let request = v1::ListJournalEntriesRequest { run_id: answer.run_id(), include_raw: true, page_size: 500, ..Default::default() };
    let listed = pages(&mut client, request).await.0;
    assert_eq!(listed.len(), entries.len());
    assert!(listed.iter().all(|entry| entry.raw.len() <= 64 * 1024));
    let places: Vec<i64> = lines.iter().map(|line| line["sequence"].as_i64().expect("a sequence")).collect();
    assert!(places.is_sorted(), "lines stand in the order of their entries");
}
