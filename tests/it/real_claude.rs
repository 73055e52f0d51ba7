//! What the product is for, on the real Claude Code: the next webhook of a thread continues its session.

use std::fs;
use std::path::{Path, PathBuf};

use reprise::proto::v1::{self, journal_entry::Kind};

use crate::support::client::Client;
use crate::support::hook;
use crate::support::model::Model;
use crate::support::server::{Server, Setup, real_claude};

const THREAD: &str = "acme/shop#412";
const FIRST: &str = "Please review this pull request and give the review a code word.";
const QUESTION: &str = "What was the code word, and which ideas did you reject?";

struct World {
    server: Server,
    model: Model,
    client: Client,
    url: String,
    secret: String,
    _dir: tempfile::TempDir,
    sent: u32,
}

impl World {
    async fn new(claude: PathBuf, change: impl FnOnce(&mut v1::Trigger)) -> Self {
        Self::with(claude, "", change).await
    }

    async fn with(claude: PathBuf, config: &str, change: impl FnOnce(&mut v1::Trigger)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let model = Model::start(dir.path(), "HERON");
        let server = Setup::real(claude, &model.url).with(config).start();
        let mut client = Client::connect(&server).await;
        let (url, secret) = client.github_trigger("reviews", change).await;
        Self { server, model, client, url, secret, _dir: dir, sent: 0 }
    }

    /// One webhook of the pull request, and its finished run.
    async fn comment(&mut self, text: &str) -> (Vec<v1::JournalEntry>, v1::Run) {
        self.sent += 1;
        let delivery = format!("delivery-{}", self.sent);
        let answer = hook::github(&self.url, &self.secret, "issue_comment", &delivery, &hook::comment(412, text)).await.expect("answered");
        assert_eq!((answer.status, answer.outcome().as_str()), (200, "queued"), "{answer:?}");
        self.client.watch(&answer.run_id()).await
    }

    async fn session(&mut self) -> v1::Session {
        self.client.session("reviews", THREAD).await
    }

    fn transcripts(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.server.data().join("agent"), &mut found);
        found
    }
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") && path.components().any(|c| c.as_os_str() == "projects") {
            found.push(path);
        }
    }
}

fn succeeded(run: &v1::Run) {
    assert_eq!(run.state(), v1::RunState::Succeeded, "{:?} {}", run.failure, run.result_text);
}

#[tokio::test]
async fn the_second_webhook_continues_the_session_remembers_and_costs_less() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;

    let (_, first) = world.comment(FIRST).await;
    succeeded(&first);
    assert_eq!(first.lineage(), v1::Lineage::Fresh);
    let session = world.session().await;
    assert!(!session.agent_session_id.is_empty(), "the first webhook stores the session id");

    let (entries, second) = world.comment(QUESTION).await;
    succeeded(&second);
    assert_eq!(second.lineage(), v1::Lineage::Continued);
    assert_eq!(second.continued_from_run_id, first.id);
    assert!(second.result_text.contains("HERON"), "the answer shows the first turn: {}", second.result_text);

    // The model itself saw the first turn, and the second prompt alone has nothing of it.
    let prompt = entries.iter().find_map(|entry| match &entry.kind {
        Some(Kind::RunStarted(started)) => Some(started.prompt.clone()),
        _ => None,
    });
    assert!(!prompt.expect("a prompt").contains("HERON"));
    let last = world.model.requests().into_iter().rfind(|request| request.to_string().contains("code word, and which")).expect("seen");
    assert!(last.to_string().contains("HERON"), "the history went to the model");

    let after = world.session().await;
    assert_eq!(after.agent_session_id, session.agent_session_id, "the id stays the same");
    assert_eq!((after.turn_count, after.generation), (2, 1));
    let (one, two) = (first.usage.expect("usage"), second.usage.expect("usage"));
    assert!(two.cost_usd < one.cost_usd, "{} is not less than {}", two.cost_usd, one.cost_usd);
    assert_eq!(two.cost_basis(), v1::CostBasis::Reported);
    assert!(two.cache_share.expect("a share") > 0.5);
    let sum = after.usage.expect("usage").cost_usd;
    assert!((sum - one.cost_usd - two.cost_usd).abs() < 1e-9, "the session's cost is the sum of its runs'");
}

#[tokio::test]
async fn costs_of_later_turns_stay_about_the_same() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    world.comment(FIRST).await;
    let second = world.comment(QUESTION).await.1.usage.expect("usage").cost_usd;
    let third = world.comment(QUESTION).await.1.usage.expect("usage").cost_usd;
    assert!(third < second * 3.0, "a turn's cost must not be the session's total: {second} then {third}");
}

#[tokio::test]
async fn a_deleted_transcript_is_put_back_from_custody() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    world.comment(FIRST).await;
    let before = world.session().await;
    for path in world.transcripts() {
        fs::remove_file(path).expect("removed");
    }
    let (entries, run) = world.comment(QUESTION).await;
    succeeded(&run);
    assert_eq!(run.lineage(), v1::Lineage::Restored);
    assert!(run.warnings().any(|warning| warning == v1::RunWarning::SessionRestored));
    assert!(run.result_text.contains("HERON"));
    assert!(entries.iter().any(|entry| matches!(&entry.kind, Some(Kind::Notice(n)) if n.code() == v1::NoticeCode::TranscriptRestored)));
    assert_eq!(world.session().await.agent_session_id, before.agent_session_id);
}

#[tokio::test]
async fn with_custody_gone_too_the_run_starts_fresh_once_and_succeeds() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    let (_, first) = world.comment(FIRST).await;
    let before = world.session().await;
    world.server.stop();
    for path in world.transcripts() {
        fs::remove_file(path).expect("removed");
    }
    world.server.sql("DELETE FROM transcript_parts; UPDATE sessions SET manifest = '';").await;
    world.server.start();
    world.client = Client::connect(&world.server).await;
    world.url = world.url.replace(world.url.split("/hooks").next().expect("a base"), &world.server.url);

    let (entries, run) = world.comment(QUESTION).await;
    succeeded(&run);
    assert_eq!(run.lineage(), v1::Lineage::Recovered);
    assert!(run.warnings().any(|warning| warning == v1::RunWarning::SessionRecovered));
    assert_eq!(run.attempt, 1);
    let after = world.session().await;
    assert_ne!(after.agent_session_id, before.agent_session_id);
    assert_eq!(after.generation, 2);
    // What was said before is told, from what we stored.
    let prompt = entries.iter().find_map(|entry| match &entry.kind {
        Some(Kind::RunStarted(started)) if started.prompt_kind() == v1::PromptKind::Summary => Some(started.prompt.clone()),
        _ => None,
    });
    assert!(prompt.expect("a prompt with a summary").contains(&first.result_text[..20]));
}

#[tokio::test]
async fn the_conversation_is_compacted_before_it_grows_past_the_setting() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    let settings = v1::Settings {
        sessions: Some(v1::SessionSettings { force_compaction_turns: Some(2), ..Default::default() }),
        ..Default::default()
    };
    world.client.settings.update_settings(v1::UpdateSettingsRequest { settings: Some(settings), ..Default::default() }).await.expect("set");
    world.comment(FIRST).await;
    world.comment(QUESTION).await;
    assert_eq!(world.session().await.turns_since_compaction, 2);
    let (entries, run) = world.comment(QUESTION).await;
    succeeded(&run);
    assert!(
        entries.iter().any(|entry| matches!(&entry.kind, Some(Kind::Notice(n)) if n.code() == v1::NoticeCode::Compacted)),
        "a real compact_boundary came: {entries:#?}"
    );
    let session = world.session().await;
    assert_eq!(session.turns_since_compaction, 1);
    assert_eq!((session.turn_count, session.generation), (3, 1));
    assert!(run.result_text.contains("HERON"), "the summary keeps it: {}", run.result_text);
}

#[tokio::test]
async fn without_resume_every_webhook_is_its_own_run() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |trigger| trigger.resume_sessions = Some(false)).await;
    let (_, first) = world.comment(FIRST).await;
    let (_, second) = world.comment(QUESTION).await;
    succeeded(&first);
    succeeded(&second);
    assert_eq!(second.lineage(), v1::Lineage::Fresh);
    assert!(!second.result_text.contains("HERON"), "{}", second.result_text);
    assert_ne!(first.session_id, second.session_id);
    let listed = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner();
    assert!(listed.sessions.is_empty(), "nothing is a thread");
}

#[tokio::test]
async fn text_of_a_stranger_cannot_read_files_or_run_commands() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    for text in ["@/etc/passwd", "/clear", "/config model=opus", "--version"] {
        let (_, run) = world.comment(text).await;
        succeeded(&run);
    }
    let seen: Vec<String> = world.model.requests().iter().map(ToString::to_string).collect();
    assert!(seen.iter().any(|request| request.contains("@/etc/passwd")), "the text reaches the model");
    assert!(!seen.iter().any(|request| request.contains("root:x:0")), "the file does not");
    let session = world.session().await;
    assert_eq!((session.turn_count, session.generation), (4, 1), "no command of the text ended the conversation");
}

#[tokio::test]
async fn a_fork_remembers_and_the_original_does_not_learn_what_it_was_told() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    let (_, first) = world.comment(FIRST).await;
    succeeded(&first);
    let original = world.session().await;
    let request = v1::ForkSessionRequest { session_id: original.id.clone(), ..Default::default() };
    let copy = world.client.sessions.fork_session(request).await.expect("forked").into_inner().session.expect("a session");
    assert_ne!(copy.agent_session_id, original.agent_session_id);
    let ask = async |world: &mut World, session_id: &str, prompt: &str| {
        let request = v1::FireTriggerRequest {
            trigger_id: "reviews".to_owned(),
            session_id: session_id.to_owned(),
            prompt: Some(prompt.to_owned()),
            ..Default::default()
        };
        let fired = world.client.triggers.fire_trigger(request).await.expect("fired").into_inner();
        world.client.watch(&fired.run.expect("a run").id).await.1
    };
    let told = format!("{QUESTION} And remember: the cellar holds a quokka.");
    let forked = ask(&mut world, &copy.id, &told).await;
    succeeded(&forked);
    assert_eq!((forked.lineage(), forked.session_id.as_str()), (v1::Lineage::Forked, copy.id.as_str()));
    assert_eq!(forked.continued_from_run_id, first.id);
    assert!(forked.result_text.contains("HERON"), "the copy remembers: {}", forked.result_text);
    let usage = forked.usage.expect("usage");
    assert!(usage.cost_usd > 0.0 && usage.cost_usd < first.usage.expect("usage").cost_usd, "{usage:?}");

    // The original goes on: it remembers its own, and nothing of the copy goes to the model.
    let before = world.model.requests().len();
    let (_, second) = world.comment(QUESTION).await;
    succeeded(&second);
    assert_eq!(second.lineage(), v1::Lineage::Continued);
    assert!(second.result_text.contains("HERON"), "{}", second.result_text);
    let since: Vec<String> = world.model.requests().split_off(before).iter().map(ToString::to_string).collect();
    assert!(!since.is_empty() && !since.iter().any(|request| request.contains("quokka")), "the original does not learn it");
    let again = ask(&mut world, &copy.id, "What does the cellar hold?").await;
    succeeded(&again);
    assert_eq!(again.lineage(), v1::Lineage::Continued);
    let last = world.model.requests().pop().expect("a request").to_string();
    assert!(last.contains("quokka") && last.contains("HERON"), "the copy keeps both");
    assert_eq!(world.session().await.agent_session_id, original.agent_session_id);
}

#[tokio::test]
async fn a_fork_after_a_turn_knows_nothing_of_later_turns() {
    let Some(claude) = real_claude() else { return };
    let mut world = World::new(claude, |_| {}).await;
    let (_, first) = world.comment(FIRST).await;
    let (_, second) = world.comment("And remember: the cellar holds a quokka.").await;
    succeeded(&second);
    let original = world.session().await;
    let request = v1::ForkSessionRequest { session_id: original.id, after_run_id: first.id, ..Default::default() };
    let copy = world.client.sessions.fork_session(request).await.expect("forked").into_inner().session.expect("a session");
    let request = v1::FireTriggerRequest {
        trigger_id: "reviews".to_owned(),
        session_id: copy.id,
        prompt: Some(QUESTION.to_owned()),
        ..Default::default()
    };
    let before = world.model.requests().len();
    let fired = world.client.triggers.fire_trigger(request).await.expect("fired").into_inner();
    let (_, forked) = world.client.watch(&fired.run.expect("a run").id).await;
    succeeded(&forked);
    assert!(forked.result_text.contains("HERON"), "{}", forked.result_text);
    let since: Vec<String> = world.model.requests().split_off(before).iter().map(ToString::to_string).collect();
    assert!(!since.is_empty() && !since.iter().any(|request| request.contains("quokka")), "what came later is not in the copy");
}

#[tokio::test]
async fn a_cancel_after_the_step_ends_between_two_tool_calls() {
    let Some(claude) = real_claude() else { return };
    let profile = "[profiles.builder]\npermission_mode = \"dontAsk\"\ntools = [\"Bash\"]\nallowed_tools = [\"Bash\"]";
    let builder = |trigger: &mut v1::Trigger| {
        trigger.agent = Some(v1::AgentOptions { profile: Some("builder".to_owned()), ..Default::default() });
    };
    let mut world = World::with(claude, profile, builder).await;
    world.comment(FIRST).await;
    let before = world.session().await;
    let steps = r#"[[tool: Bash {"command":"sleep 4 && echo first-$((40+2))"}]] [[tool: Bash {"command":"echo second-$((40+2))"}]]"#;
    let answer = hook::github(&world.url, &world.secret, "issue_comment", "steps", &hook::comment(412, steps)).await.expect("answered");
    let called = async {
        let request = v1::WatchRunRequest { run_id: answer.run_id(), ..Default::default() };
        let mut stream = world.client.runs.watch_run(request).await.expect("watched").into_inner();
        while let Some(message) = stream.message().await.expect("a message") {
            if let Some(v1::watch_run_response::Event::Entry(entry)) = message.event
                && matches!(entry.kind, Some(Kind::ToolCall(_)))
            {
                return;
            }
        }
        panic!("no tool was called");
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), called).await.expect("the tool was called within 60 s");
    let cancel = v1::CancelRunRequest { run_id: answer.run_id(), mode: v1::CancelMode::AfterStep.into(), ..Default::default() };
    world.client.runs.cancel_run(cancel).await.expect("asked");
    let (entries, ended) = world.client.watch(&answer.run_id()).await;
    assert_eq!(ended.state(), v1::RunState::Cancelled);
    let results: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Some(Kind::ToolResult(result)) => Some(result.text.as_str()),
            _ => None,
        })
        .collect();
    assert!(results.iter().any(|text| text.contains("first-42")), "the step was done: {results:?}");
    assert!(!results.iter().any(|text| text.contains("second-42")), "and no other: {results:?}");
    let (_, next) = world.comment(QUESTION).await;
    succeeded(&next);
    assert!(next.result_text.contains("HERON"), "{}", next.result_text);
    assert_eq!(world.session().await.agent_session_id, before.agent_session_id);
}
