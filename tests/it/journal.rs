//! A journal by pages, searched on the server, and as a file.

use prost::Message as _;
use reprise::proto::v1::{self, journal_entry::Kind, list_journal_entries_request::Position, watch_run_response::Event};
use serde_json::Value;
use tonic_types::StatusExt;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

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

#[tokio::test]
async fn the_file_of_a_run_has_every_line_that_is_kept() {
    let (_server, mut client, run_id, watched) = world().await;
    let mut stream = client.runs.export_run(v1::ExportRunRequest { run_id }).await.expect("exported").into_inner();
    let mut file = Vec::new();
    while let Some(piece) = stream.message().await.expect("a piece") {
        assert_eq!(usize::try_from(piece.offset).expect("a place"), file.len());
        assert!(!piece.data.is_empty() && piece.data.len() <= 64 * 1024);
        file.extend_from_slice(&piece.data);
    }
    let text = String::from_utf8(zstd::decode_all(&file[..]).expect("zstd")).expect("UTF-8");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |stream: &str| lines.iter().filter(|line| line["stream"] == stream).collect::<Vec<_>>();
    let raws: Vec<&str> = watched.iter().map(|entry| entry.raw.as_str()).filter(|raw| !raw.is_empty()).collect();
    assert_eq!(of("stdout").iter().map(|line| line["line"].as_str().expect("text")).collect::<Vec<_>>(), raws);
    assert!(raws.len() > 2500);
    assert_eq!(of("stderr").len(), 1);
    assert!(of("stderr")[0]["line"].as_str().expect("text").contains("Oops, a NEEDLE"));
    let cut: Vec<_> = lines.iter().filter(|line| line["cut"] == true).collect();
    assert_eq!(cut.len(), 1, "the long line says that it was cut");
    assert!(lines[0]["time"].as_str().expect("a time").ends_with('Z'));
}
