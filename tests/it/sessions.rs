//! Sessions and settings: what is shown, reset, cleaned up, exported, and that settings do what they say.

use reprise::proto::v1::{self, export_session_response::Part};
use sha2::{Digest, Sha256};

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

struct World {
    server: Server,
    client: Client,
    url: String,
    secret: String,
    sent: u32,
}

impl World {
    async fn new() -> Self {
        let server = Setup::fake().start();
        let mut client = Client::connect(&server).await;
        let (url, secret) = client.github_trigger("reviews", |_| {}).await;
        Self { server, client, url, secret, sent: 0 }
    }

    async fn comment(&mut self, number: i64, text: &str) -> v1::Run {
        self.sent += 1;
        let answer = hook::github(&self.url, &self.secret, "issue_comment", &format!("d-{}", self.sent), &hook::comment(number, text))
            .await
            .expect("answered");
        self.client.ended(&answer.run_id()).await
    }

    async fn session(&mut self, number: i64) -> v1::Session {
        self.client.session("reviews", &format!("acme/shop#{number}")).await
    }
}

async fn settings(client: &mut Client, change: v1::Settings) -> Result<v1::Settings, tonic::Status> {
    let request = v1::UpdateSettingsRequest { settings: Some(change), ..Default::default() };
    client.settings.update_settings(request).await.map(|response| response.into_inner().settings.expect("settings"))
}

#[tokio::test]
async fn a_reset_begins_a_new_conversation_of_the_same_thread() {
    let mut world = World::new().await;
    world.comment(1, "first").await;
    world.comment(1, "second").await;
    let before = world.session(1).await;
    assert_eq!((before.turn_count, before.generation), (2, 1));
    let reset = v1::ResetSessionRequest { session_id: before.id.clone(), ..Default::default() };
    let after = world.client.sessions.reset_session(reset.clone()).await.expect("reset").into_inner().session.expect("a session");
    assert_eq!((after.id.as_str(), after.generation, after.agent_session_id.as_str()), (before.id.as_str(), 2, ""));
    let twice = world.client.sessions.reset_session(reset).await.expect("reset").into_inner().session.expect("a session");
    assert_eq!(twice.generation, 2, "twice equals once");
    let run = world.comment(1, "third").await;
    assert_eq!(run.lineage(), v1::Lineage::Renewed);
    let now = world.session(1).await;
    assert_ne!(now.agent_session_id, before.agent_session_id);
    assert_eq!(now.conversations.len(), 2, "{:?}", now.conversations);
    assert_eq!(now.run_count, 3);
}

#[tokio::test]
async fn clean_up_deletes_only_what_is_past_the_threshold_and_a_stale_session_is_not_continued() {
    let mut world = World::new().await;
    for number in [1, 2, 3] {
        world.comment(number, "hello").await;
    }
    let old = world.session(1).await;
    // Eight days, in microseconds.
    world
        .server
        .sql("UPDATE sessions SET last_use_time = last_use_time - 691200000000 WHERE thread_key IN ('acme/shop#1', 'acme/shop#2')")
        .await;
    let storage = world.client.sessions.get_session_storage(v1::GetSessionStorageRequest::default()).await.expect("measured").into_inner();
    assert_eq!((storage.session_count, storage.stale_session_count), (3, 2));
    assert!(
        storage.transcript_raw_bytes > 0 && storage.transcript_bytes > 0 && storage.database_bytes > 0 && storage.agent_files_bytes > 0,
        "{storage:?}"
    );
    assert!(world.session(1).await.stale);

    // Stale counts at once, before any clean-up has run.
    let run = world.comment(1, "again").await;
    assert_eq!(run.lineage(), v1::Lineage::Renewed);
    assert_ne!(world.session(1).await.agent_session_id, old.agent_session_id);

    let cleaned =
        world.client.sessions.clean_up_stale_sessions(v1::CleanUpStaleSessionsRequest::default()).await.expect("cleaned").into_inner();
    assert_eq!((cleaned.deleted_count, cleaned.remaining_count), (1, 0), "{cleaned:?}");
    let left = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions;
    let mut keys: Vec<&str> = left.iter().map(|session| session.thread_key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["acme/shop#1", "acme/shop#3"]);
    let older =
        v1::CleanUpStaleSessionsRequest { older_than: Some(prost_types::Duration { seconds: 3600, nanos: 0 }), ..Default::default() };
    assert_eq!(world.client.sessions.clean_up_stale_sessions(older).await.expect("cleaned").into_inner().deleted_count, 0);
}

#[tokio::test]
async fn the_daily_clean_up_that_was_missed_runs_at_the_next_start() {
    let mut world = World::new().await;
    world.comment(1, "hello").await;
    world.comment(2, "hello").await;
    world.server.stop();
    world.server.sql("UPDATE sessions SET last_use_time = last_use_time - 691200000000 WHERE thread_key = 'acme/shop#1'; UPDATE settings SET last_cleanup_date = '2020-01-01';").await;
    world.server.start();
    world.client = Client::connect(&world.server).await;
    let begin = std::time::Instant::now();
    loop {
        let left = world.client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions;
        // Before the local hour of today the missed one of yesterday counts, after it today's.
        if left.len() == 1 && left[0].thread_key == "acme/shop#2" {
            break;
        }
        assert!(begin.elapsed().as_secs() < 20, "{left:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn settings_keep_their_ranges_their_etag_and_their_word() {
    let mut world = World::new().await;
    let now = world.client.settings.get_settings(v1::GetSettingsRequest {}).await.expect("got").into_inner();
    assert!(now.rules.iter().any(|rule| rule.path.ends_with("auto_cleanup_days") && rule.min == Some(1.0) && rule.max == Some(365.0)));
    let hour = |hour| v1::Settings {
        sessions: Some(v1::SessionSettings { cleanup_hour_local: Some(hour), ..Default::default() }),
        ..Default::default()
    };
    let refused = settings(&mut world.client, hour(24)).await.expect_err("out of range");
    assert_eq!(refused.message(), "`settings.sessions.cleanup_hour_local` is 24; allowed is 0 to 23");
    let zero = settings(&mut world.client, hour(0)).await.expect("hour 0 can be set");
    let sessions = zero.sessions.expect("sessions");
    assert_eq!((sessions.cleanup_hour_local(), sessions.auto_cleanup_days()), (0, 7), "only what is present is written");
    let stale_etag = v1::Settings { etag: now.settings.expect("settings").etag, ..hour(5) };
    assert_eq!(settings(&mut world.client, stale_etag).await.expect_err("changed meanwhile").code(), tonic::Code::Aborted);
    let zone = v1::Settings {
        sessions: Some(v1::SessionSettings { time_zone: Some("Mars/Olympus".to_owned()), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(settings(&mut world.client, zone).await.expect_err("no such zone").code(), tonic::Code::InvalidArgument);

    // A new trigger takes the default.
    let on = v1::Settings {
        sessions: Some(v1::SessionSettings { default_resume_for_new_triggers: Some(true), ..Default::default() }),
        ..Default::default()
    };
    settings(&mut world.client, on).await.expect("set");
    world.client.github_trigger("takes-default", |trigger| trigger.resume_sessions = None).await;
    let got = world
        .client
        .triggers
        .get_trigger(v1::GetTriggerRequest { trigger_id: "takes-default".to_owned() })
        .await
        .expect("got")
        .into_inner();
    assert!(got.trigger.expect("a trigger").resume_sessions());
}

#[tokio::test]
async fn an_export_can_be_unpacked_and_its_digest_fits() {
    let mut world = World::new().await;
    world.comment(1, "hello").await;
    let session = world.session(1).await;
    let request = v1::ExportSessionRequest { session_id: session.id, ..Default::default() };
    let mut stream = world.client.sessions.export_session(request).await.expect("exported").into_inner();
    let (mut manifest, mut bytes, mut digest) = (None, Vec::new(), None);
    while let Some(message) = stream.message().await.expect("a message") {
        match message.part {
            Some(Part::Manifest(found)) => manifest = Some(found),
            Some(Part::Chunk(chunk)) => {
                assert_eq!(usize::try_from(chunk.offset).expect("not negative"), bytes.len());
                bytes.extend_from_slice(&chunk.data);
            }
            Some(Part::Digest(found)) => digest = Some(found),
            None => {}
        }
    }
    let (manifest, digest) = (manifest.expect("a manifest"), digest.expect("a digest"));
    assert_eq!(hex::encode(Sha256::digest(&bytes)), digest.sha256);
    assert!(manifest.resume_command.contains(&session.agent_session_id));
    let plain = zstd::decode_all(bytes.as_slice()).expect("zstd");
    let mut archive = tar::Archive::new(plain.as_slice());
    let mut found = 0;
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("read");
        if let Some(file) = manifest.files.iter().find(|file| name.ends_with(&file.name)) {
            assert_eq!(hex::encode(Sha256::digest(&content)), file.sha256, "{name}");
            found += 1;
        }
    }
    assert_eq!(found, manifest.files.len());
    assert!(found > 0);
}

#[tokio::test]
async fn a_changed_profile_or_workspace_ends_conversations_and_says_how_many() {
    let config = "[profiles.reader]\npermission_mode = \"plan\"\ntools = [\"Read\"]\n";
    let server = Setup::fake().with(config).start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "hello")).await.expect("answered");
    client.ended(&answer.run_id()).await;
    let change = |agent: Option<v1::AgentOptions>, display_name: &str| v1::UpdateTriggerRequest {
        trigger: Some(v1::Trigger { id: "reviews".to_owned(), agent, display_name: Some(display_name.to_owned()), ..Default::default() }),
        ..Default::default()
    };
    let harmless = client.triggers.update_trigger(change(None, "Reviews")).await.expect("updated").into_inner();
    assert_eq!(harmless.restarted_session_count, 0);
    let unknown = v1::AgentOptions { profile: Some("nobody".to_owned()), ..Default::default() };
    assert_eq!(
        client.triggers.update_trigger(change(Some(unknown), "x")).await.expect_err("no such profile").code(),
        tonic::Code::InvalidArgument
    );
    let other = v1::AgentOptions { profile: Some("reader".to_owned()), ..Default::default() };
    let ends = client.triggers.update_trigger(change(Some(other), "Reviews")).await.expect("updated").into_inner();
    assert_eq!(ends.restarted_session_count, 1);
    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(1, "again")).await.expect("answered");
    assert_eq!(client.ended(&answer.run_id()).await.lineage(), v1::Lineage::Renewed);
    let session = client.session("reviews", "acme/shop#1").await;
    assert_eq!(session.conversations.first().expect("newest first").origin(), v1::SessionOrigin::Changed);
}

#[tokio::test]
async fn deleting_a_trigger_takes_its_sessions_and_keeps_its_history() {
    let mut world = World::new().await;
    let run = world.comment(1, "hello").await;
    let busy =
        hook::github(&world.url, &world.secret, "issue_comment", "busy", &hook::comment(2, "[[sleep: 30]]")).await.expect("answered");
    let delete = |force| v1::DeleteTriggerRequest { trigger_id: "reviews".to_owned(), force, ..Default::default() };
    let refused = world.client.triggers.delete_trigger(delete(false)).await.expect_err("it has a run");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let deleted = world.client.triggers.delete_trigger(delete(true)).await.expect("deleted").into_inner();
    assert_eq!((deleted.deleted_session_count, deleted.cancelled_run_count), (2, 1));
    assert_eq!(world.client.run(&run.id).await.trigger_slug, "reviews", "history stays");
    assert_eq!(world.client.ended(&busy.run_id()).await.state(), v1::RunState::Cancelled);
    let answer = hook::github(&world.url, &world.secret, "issue_comment", "late", &hook::comment(1, "x")).await.expect("answered");
    assert_eq!(answer.status, 401, "its hook is gone at once");
    // A trigger of the same slug inherits nothing.
    let (url, secret) = world.client.github_trigger("reviews", |_| {}).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "x")).await.expect("answered");
    assert_eq!(world.client.ended(&answer.run_id()).await.lineage(), v1::Lineage::Fresh);
}

#[tokio::test]
async fn the_loop_breaker_makes_a_chatty_thread_wait_and_says_so() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client
        .github_trigger("chatty", |trigger| trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(3), ..Default::default() }))
        .await;
    let mut last = String::new();
    for n in 0..4 {
        let answer = hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &hook::comment(1, "loop")).await.expect("answered");
        assert_eq!(answer.outcome(), "queued");
        last = answer.run_id();
        if n < 3 {
            client.ended(&last).await;
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let run = client.run(&last).await;
    assert_eq!(run.state(), v1::RunState::Waiting);
    let wait = run.wait.expect("a wait");
    assert_eq!(wait.reason(), v1::WaitReason::Breaker);
    assert!(wait.until_time.is_some() && !wait.message.is_empty());
}

#[tokio::test]
async fn a_run_of_its_own_leaves_no_session_and_no_files() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("single", |trigger| trigger.resume_sessions = Some(false)).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "hello")).await.expect("answered");
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    let left = |dir: &str| std::fs::read_dir(server.data().join(dir)).map_or(0, Iterator::count);
    let begin = std::time::Instant::now();
    while left("agent") + left("sessions") > 0 {
        assert!(begin.elapsed().as_secs() < 10, "its files stay");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions.is_empty());
}
