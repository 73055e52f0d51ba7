//! Forks: a copy of a conversation goes on by itself, and the original learns nothing of it.

use std::process::Command;

use reprise::proto::v1::{self, journal_entry::Kind};

use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{KEY, Server, Setup};

struct World {
    server: Server,
    client: Client,
    url: String,
    secret: String,
    sent: u32,
}

impl World {
    async fn new(setup: Setup) -> Self {
        let server = setup.start();
        let mut client = Client::connect(&server).await;
        let (url, secret) = client.github_trigger("reviews", |_| {}).await;
        Self { server, client, url, secret, sent: 0 }
    }

    async fn comment(&mut self, text: &str) -> v1::Run {
        self.sent += 1;
        let delivery = format!("d-{}", self.sent);
        let answer = hook::github(&self.url, &self.secret, "issue_comment", &delivery, &hook::comment(412, text)).await.expect("answered");
        self.client.ended(&answer.run_id()).await
    }

    async fn session(&mut self) -> v1::Session {
        self.client.session("reviews", "acme/shop#412").await
    }

    async fn fork(&mut self, session: &v1::Session, after: &str) -> Result<v1::Session, tonic::Status> {
        let request = v1::ForkSessionRequest { session_id: session.id.clone(), after_run_id: after.to_owned(), ..Default::default() };
        self.client.sessions.fork_session(request).await.map(|answer| answer.into_inner().session.expect("a session"))
    }

    async fn fire(&mut self, change: impl FnOnce(&mut v1::FireTriggerRequest)) -> Result<v1::Run, tonic::Status> {
        let mut request = v1::FireTriggerRequest { trigger_id: "reviews".to_owned(), ..Default::default() };
        change(&mut request);
        let fired = self.client.triggers.fire_trigger(request).await?.into_inner();
        Ok(self.client.ended(&fired.run.expect("a run").id).await)
    }

    async fn ask(&mut self, session: &v1::Session, prompt: &str) -> v1::Run {
        let (session_id, prompt) = (session.id.clone(), Some(prompt.to_owned()));
        self.fire(|request| (request.session_id, request.prompt) = (session_id, prompt)).await.expect("fired")
    }

    async fn get(&mut self, id: &str) -> v1::Session {
        let request = v1::GetSessionRequest { session_id: id.to_owned(), ..Default::default() };
        self.client.sessions.get_session(request).await.expect("found").into_inner().session.expect("a session")
    }
}

fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_error_details().error_info().expect("always told").reason.clone()
}

#[tokio::test]
async fn a_fork_remembers_and_the_original_learns_nothing() {
    let mut world = World::new(Setup::fake()).await;
    world.comment("the word is teapot").await;
    let last = world.comment("and the place is kitchen").await;
    let original = world.session().await;
    let copy = world.fork(&original, "").await.expect("forked");
    assert_eq!((copy.forked_from_session_id.as_str(), copy.thread_key.as_str()), (original.id.as_str(), ""));
    assert_eq!((copy.turn_count, copy.run_count, copy.generation), (2, 0, 1));
    assert_ne!(copy.agent_session_id, original.agent_session_id);
    assert_eq!(copy.usage.as_ref().expect("usage").cost_usd, 0.0);
    assert_eq!(
        (copy.conversations[0].origin(), copy.conversations[0].from_session_id.as_str()),
        (v1::SessionOrigin::Fork, original.id.as_str())
    );
    assert_eq!(world.session().await, original, "the original is as it was");
    let listed = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions;
    assert_eq!(listed.len(), 2);

    let run = world.ask(&copy, "[[recall: teapot]] and the colour is violet").await;
    assert_eq!((run.state(), run.lineage(), run.turn), (v1::RunState::Succeeded, v1::Lineage::Forked, 3));
    assert_eq!((run.result_text.as_str(), run.continued_from_run_id.as_str()), ("recall yes: teapot", last.id.as_str()));
    assert!(run.warnings.is_empty(), "{:?}", run.warnings);
    let again = world.ask(&copy, "[[recall: violet]]").await;
    assert_eq!((again.lineage(), again.result_text.as_str()), (v1::Lineage::Continued, "recall yes: violet"));
    assert_eq!(world.comment("[[recall: violet]]").await.result_text, "recall no: violet");
    assert_eq!(world.comment("[[recall: kitchen]]").await.result_text, "recall yes: kitchen");
    let sessions: std::collections::BTreeSet<String> =
        spawns(&world.server.journal_path()).into_iter().map(|spawn| spawn.session).collect();
    assert_eq!(sessions, [original.agent_session_id, copy.agent_session_id].into());
    // The copy of a copy.
    let third = world.get(&copy.id).await;
    let third = world.fork(&third, "").await.expect("forked");
    assert_eq!((third.forked_from_session_id.as_str(), third.turn_count), (copy.id.as_str(), 4));
    assert_eq!(world.ask(&third, "[[recall: violet]]").await.result_text, "recall yes: violet");
}

#[tokio::test]
async fn a_fork_may_end_after_an_earlier_turn() {
    let mut world = World::new(Setup::fake()).await;
    let first = world.comment("the word is teapot").await;
    // Larger than a part of a transcript in custody, so that the cut is within one.
    world.comment(&format!("the place is kitchen {}", "and so on ".repeat(40_000))).await;
    world.comment("the colour is violet").await;
    let original = world.session().await;
    let early = world.fork(&original, &first.id).await.expect("forked");
    assert_eq!(early.turn_count, 1);
    assert!(early.transcript_bytes < original.transcript_bytes);
    assert_eq!(world.ask(&early, "[[recall: teapot]]").await.result_text, "recall yes: teapot");
    assert_eq!(world.ask(&early, "[[recall: kitchen]]").await.result_text, "recall no: kitchen");

    // A conversation that is not the present one any more is still kept.
    let reset = v1::ResetSessionRequest { session_id: original.id.clone(), ..Default::default() };
    world.client.sessions.reset_session(reset).await.expect("reset");
    assert_eq!(reason(&world.fork(&original, "").await.expect_err("it has none now")), "SESSION_EMPTY");
    world.comment("something else").await;
    let late = world.fork(&original, &first.id).await.expect("forked from the earlier conversation");
    assert_eq!(world.ask(&late, "[[recall: teapot]]").await.result_text, "recall yes: teapot");
    assert_eq!(reason(&world.fork(&early, &first.id).await.expect_err("not a run of that session")), "RESOURCE_NOT_FOUND");
    let gone = v1::ResetSessionRequest { session_id: original.id.clone(), purge: true, ..Default::default() };
    world.client.sessions.reset_session(gone).await.expect("reset");
    assert_eq!(reason(&world.fork(&original, &first.id).await.expect_err("purged")), "TRANSCRIPT_GONE");
}

#[tokio::test]
async fn a_fork_of_a_session_at_work_ends_before_the_live_turn() {
    let mut world = World::new(Setup::fake()).await;
    world.comment("the word is teapot").await;
    let live = hook::github(&world.url, &world.secret, "issue_comment", "live", &hook::comment(412, "violet [[sleep: 30]]"))
        .await
        .expect("answered");
    while world.client.run(&live.run_id()).await.state() != v1::RunState::Running {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let original = world.session().await;
    let copy = world.fork(&original, "").await.expect("forked");
    assert_eq!(reason(&world.fork(&original, &live.run_id()).await.expect_err("live")), "RUN_NOT_FINISHED");
    assert_eq!(world.ask(&copy, "[[recall: teapot]]").await.result_text, "recall yes: teapot");
    assert_eq!(world.ask(&copy, "[[recall: violet]]").await.result_text, "recall no: violet");
}

#[tokio::test]
async fn a_run_by_hand_may_use_a_copy() {
    let mut world = World::new(Setup::fake()).await;
    world.comment("the word is teapot").await;
    let original = world.session().await;
    let fork = |request: &mut v1::FireTriggerRequest| {
        request.thread_key = Some("acme/shop#412".to_owned());
        (request.session_mode, request.prompt) = (v1::SessionMode::Fork.into(), Some("[[recall: teapot]] violet".to_owned()));
    };
    let run = world.fire(fork).await.expect("fired");
    assert_eq!((run.lineage(), run.result_text.as_str()), (v1::Lineage::Forked, "recall yes: teapot"));
    assert_ne!(run.session_id, original.id);
    assert_eq!(world.get(&run.session_id).await.forked_from_session_id, original.id);
    assert_eq!(world.comment("[[recall: violet]]").await.result_text, "recall no: violet");
    let explained = v1::FireTriggerRequest { trigger_id: "reviews".to_owned(), validate_only: true, ..Default::default() };
    let mut explained = explained;
    fork(&mut explained);
    let before = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions.len();
    let told = world.client.triggers.fire_trigger(explained).await.expect("explained").into_inner().explanation.expect("an explanation");
    assert_eq!((told.lineage(), told.session_id.as_str()), (v1::Lineage::Forked, ""));
    let after = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions.len();
    assert_eq!(before, after, "no copy is made to explain one");
    let nothing = world.fire(|request| request.session_mode = v1::SessionMode::Fork.into()).await.expect_err("no thread, no conversation");
    assert_eq!(reason(&nothing), "SESSION_MODE_IMPOSSIBLE");
    let unknown = world.fire(|request| request.session_id = "ses_01h455vb4pex5vsknk084s7k2m".to_owned()).await.expect_err("unknown");
    assert_eq!(reason(&unknown), "RESOURCE_NOT_FOUND");

    // A delivery of then, and a run that went wrong, in copies of their own.
    let replay = v1::ListDeliveriesRequest { page_size: 1, ..Default::default() };
    let newest = world.client.triggers.list_deliveries(replay).await.expect("listed").into_inner().deliveries.remove(0);
    let replay = v1::ReplayDeliveryRequest { delivery_id: newest.id, session_mode: v1::SessionMode::Fork.into(), ..Default::default() };
    let replayed = world.client.triggers.replay_delivery(replay).await.expect("replayed").into_inner().run.expect("a run");
    assert_eq!(world.client.ended(&replayed.id).await.lineage(), v1::Lineage::Forked);
    let failed = world.comment("saucer [[exit: 7]]").await;
    assert_eq!(failed.state(), v1::RunState::Failed);
    let retry =
        |run_id: &str| v1::RetryRunRequest { run_id: run_id.to_owned(), session_mode: v1::SessionMode::Fork.into(), ..Default::default() };
    let retried = world.client.runs.retry_run(retry(&failed.id)).await.expect("retried").into_inner().run.expect("a run");
    let ended = world.client.ended(&retried.id).await;
    assert_eq!((ended.lineage(), ended.retry_of_run_id.as_str()), (v1::Lineage::Forked, failed.id.as_str()));
    let copy = world.get(&ended.session_id).await;
    assert_eq!(world.ask(&copy, "[[recall: teapot]]").await.result_text, "recall yes: teapot", "what was before it");
    let first = world.client.runs.list_runs(v1::ListRunsRequest { session_id: original.id, ..Default::default() }).await.expect("listed");
    let first = first.into_inner().runs.pop().expect("the oldest");
    assert_eq!(reason(&world.client.runs.retry_run(retry(&first.id)).await.expect_err("nothing before it")), "SESSION_MODE_IMPOSSIBLE");
}

#[tokio::test]
async fn a_copy_that_was_begun_and_not_ended_leaves_nothing() {
    let mut world = World::new(Setup::fake()).await;
    world.comment("hello").await;
    // As a server leaves it that dies while it copies.
    world
        .server
        .sql(
            "INSERT INTO transcript_parts SELECT x'01890000000070008000000000000001', generation, rewrite, path, part, byte_from, byte_to, sha256, body \
             FROM transcript_parts",
        )
        .await;
    world.server.stop();
    world.server.start();
    world.client = Client::connect(&world.server).await;
    use sqlx::Connection as _;
    let url = format!("sqlite://{}?mode=ro", world.server.data().join("reprise.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the database opens");
    let holders = "SELECT count(DISTINCT session_id) FROM transcript_parts";
    let holders: i64 = sqlx::query_scalar(holders).fetch_one(&mut connection).await.expect("counted");
    assert_eq!(holders, 1, "only the session that is there");
}

#[tokio::test]
async fn a_cancel_after_the_step_lets_the_tool_answer() {
    let mut world = World::new(Setup::fake().with("[runner]\nkill_grace_seconds = 1")).await;
    let start = async |world: &mut World, delivery: &str, text: &str, entries: i32| {
        let sent = hook::github(&world.url, &world.secret, "issue_comment", delivery, &hook::comment(412, text)).await.expect("answered");
        let run = sent.run_id();
        while world.client.run(&run).await.last_sequence < entries {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        run
    };
    let cancel =
        |run_id: &str, mode: v1::CancelMode| v1::CancelRunRequest { run_id: run_id.to_owned(), mode: mode.into(), ..Default::default() };
    let run = start(&mut world, "step-1", "[[toolcall]] [[sleep: 3]] [[lines: 100000]]", 3).await;
    let asked =
        world.client.runs.cancel_run(cancel(&run, v1::CancelMode::AfterStep)).await.expect("asked").into_inner().run.expect("a run");
    assert_eq!(asked.state(), v1::RunState::Cancelling);
    let (entries, ended) = world.client.watch(&run).await;
    assert_eq!(ended.state(), v1::RunState::Cancelled);
    let place = |is: fn(&Kind) -> bool| entries.iter().position(|entry| entry.kind.as_ref().is_some_and(is));
    let notice = place(|kind| matches!(kind, Kind::Notice(notice) if notice.code() == v1::NoticeCode::CancelRequested)).expect("a notice");
    let call = place(|kind| matches!(kind, Kind::ToolCall(_))).expect("a call");
    let result = place(|kind| matches!(kind, Kind::ToolResult(_))).expect("its result");
    assert!(call < notice && notice < result, "{call} {notice} {result}");
    assert!(entries.len() < 50_000, "it was stopped and did not go on to its end: {}", entries.len());

    // At once while no tool runs, and a second cancel does not wait.
    let idle = start(&mut world, "step-2", "[[sleep: 60]]", 2).await;
    world.client.runs.cancel_run(cancel(&idle, v1::CancelMode::AfterStep)).await.expect("asked");
    assert_eq!(world.client.ended(&idle).await.state(), v1::RunState::Cancelled);
    let held = start(&mut world, "step-3", "[[toolcall]] [[sleep: 60]]", 3).await;
    let begin = std::time::Instant::now();
    world.client.runs.cancel_run(cancel(&held, v1::CancelMode::AfterStep)).await.expect("asked");
    while !has_notice(&mut world.client, &held).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(world.client.run(&held).await.state(), v1::RunState::Cancelling, "it waits for its tool");
    world.client.runs.cancel_run(cancel(&held, v1::CancelMode::Now)).await.expect("asked");
    let (entries, ended) = world.client.watch(&held).await;
    assert_eq!(ended.state(), v1::RunState::Cancelled);
    assert!(
        begin.elapsed().as_secs() < 30
            && !entries.iter().any(|entry| matches!(&entry.kind, Some(Kind::ToolResult(result)) if !result.is_error))
    );
    let next = world.comment("and on").await;
    assert_eq!((next.state(), next.lineage()), (v1::RunState::Succeeded, v1::Lineage::Continued));
}

/// Whether the journal of a live run says that its end was asked for.
async fn has_notice(client: &mut Client, run_id: &str) -> bool {
    let position = Some(v1::watch_run_request::Position::AfterSequence(0));
    let request = v1::WatchRunRequest { run_id: run_id.to_owned(), position, ..Default::default() };
    let last = client.run(run_id).await.last_sequence;
    let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(v1::watch_run_response::Event::Entry(entry)) = message.event {
            if matches!(&entry.kind, Some(Kind::Notice(notice)) if notice.code() == v1::NoticeCode::CancelRequested) {
                return true;
            }
            if entry.sequence >= last {
                return false;
            }
        }
    }
    false
}

#[tokio::test]
async fn an_earlier_conversation_is_exported_as_it_was() {
    let mut world = World::new(Setup::fake()).await;
    world.comment("the word is teapot").await;
    let before = world.session().await;
    let reset = v1::ResetSessionRequest { session_id: before.id.clone(), ..Default::default() };
    world.client.sessions.reset_session(reset).await.expect("reset");
    world.comment("something else").await;
    let request = v1::ExportSessionRequest { session_id: before.id.clone(), generation: Some(1) };
    let mut stream = world.client.sessions.export_session(request).await.expect("kept").into_inner();
    let (mut archive, mut manifest) = (Vec::new(), None);
    while let Some(message) = stream.message().await.expect("whole") {
        match message.part {
            Some(v1::export_session_response::Part::Manifest(first)) => manifest = Some(first),
            Some(v1::export_session_response::Part::Chunk(chunk)) => archive.extend_from_slice(&chunk.data),
            _ => {}
        }
    }
    assert_eq!(manifest.expect("a manifest").agent_session_id, before.agent_session_id);
    let tar = zstd::decode_all(archive.as_slice()).expect("zstd");
    assert!(String::from_utf8_lossy(&tar).contains("the word is teapot"));
    let unknown = v1::ExportSessionRequest { session_id: before.id, generation: Some(9) };
    assert_eq!(reason(&world.client.sessions.export_session(unknown).await.expect_err("no such one")), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn the_commands_fork_and_cancel_after_the_step() {
    let mut world = World::new(Setup::fake()).await;
    let run = world.comment("the word is teapot").await;
    let session = world.session().await;
    let url = world.server.url.clone();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        let output = command.args(arguments).env("REPRISE_ADDR", &url).env("REPRISE_KEY", KEY).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let forked = ask(&["session", "fork", &session.id, "--after", &run.id, "--name", "a trial"]);
    assert!(forked.contains(&format!("is a copy of {} with 1 turn", session.id)), "{forked}");
    let copy = forked.split_whitespace().nth(1).expect("an id").to_owned();
    let fired = ask(&["trigger", "fire", "reviews", "--session", &copy, "--prompt", "[[recall: teapot]]", "--watch"]);
    assert!(fired.contains("recall yes: teapot"), "{fired}");
    assert_eq!(world.get(&copy).await.display_name, "a trial");
    let done = ask(&["run", "cancel", &run.id, "--after-step"]);
    assert!(done.contains("succeeded"), "a finished run stays as it is: {done}");
}
