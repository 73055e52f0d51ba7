//! Every change can be tried first: the same checks and the same answer, and nothing is stored.

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::Setup;

const PROFILES: &str = "[profiles.reader]\npermission_mode = \"dontAsk\"\nrestricted = true\ntools = [\"Read\"]";

fn trigger(slug: &str) -> v1::Trigger {
    v1::Trigger {
        slug: slug.to_owned(),
        source: v1::Source::Github.into(),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "Review.".to_owned(), follow_up_template: None })),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_trigger_is_checked_without_being_made_changed_or_deleted() {
    let server = Setup::fake().with(PROFILES).start();
    let mut client = Client::connect(&server).await;
    let create = |slug: &str| v1::CreateTriggerRequest {
        trigger: Some(trigger(slug)),
        validate_only: true,
        request_id: "r".to_owned(),
        ..Default::default()
    };
    let would = client.triggers.create_trigger(create("reviews")).await.expect("valid").into_inner();
    let shown = would.trigger.expect("a trigger");
    assert_eq!((shown.slug.as_str(), shown.id.as_str(), shown.webhook_url.as_str(), would.secret.as_str()), ("reviews", "", "", ""));
    let wrong = v1::Trigger { filter_expression: Some("nope".to_owned()), ..trigger("reviews") };
    let request = v1::CreateTriggerRequest { trigger: Some(wrong), validate_only: true, ..Default::default() };
    assert_eq!(client.triggers.create_trigger(request).await.expect_err("invalid").code(), tonic::Code::InvalidArgument);
    let real = v1::CreateTriggerRequest { validate_only: false, ..create("reviews") };
    let made = client.triggers.create_trigger(real).await.expect("the request id is not used up").into_inner();
    assert!(!made.secret.is_empty());
    assert_eq!(client.triggers.create_trigger(create("reviews")).await.expect_err("taken").code(), tonic::Code::AlreadyExists);

    // One conversation that another profile would end, and one run that is live.
    let resume = v1::Trigger { id: "reviews".to_owned(), resume_sessions: Some(true), ..Default::default() };
    client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(resume), ..Default::default() }).await.expect("updated");
    let url = made.trigger.expect("a trigger").webhook_url;
    let sent = hook::github(&url, &made.secret, "issue_comment", "d-1", &hook::comment(1, "hello")).await.expect("answered");
    let sent = sent.run_id();
    client.ended(&sent).await;
    let get = v1::GetTriggerRequest { trigger_id: "reviews".to_owned() };
    let before = client.triggers.get_trigger(get.clone()).await.expect("found").into_inner().trigger.expect("a trigger");
    let other = v1::AgentOptions { profile: Some("reader".to_owned()), ..Default::default() };
    let change = v1::Trigger { id: "reviews".to_owned(), agent: Some(other), display_name: Some("New".to_owned()), ..Default::default() };
    let update = v1::UpdateTriggerRequest { trigger: Some(change), validate_only: true, ..Default::default() };
    let would = client.triggers.update_trigger(update.clone()).await.expect("valid").into_inner();
    assert_eq!((would.restarted_session_count, would.trigger.expect("a trigger").display_name()), (1, "New"));
    let stale = v1::UpdateTriggerRequest {
        trigger: Some(v1::Trigger { etag: "77".to_owned(), ..update.trigger.clone().expect("a trigger") }),
        ..update
    };
    assert_eq!(client.triggers.update_trigger(stale).await.expect_err("another version").code(), tonic::Code::Aborted);

    let delete = |force| v1::DeleteTriggerRequest { trigger_id: "reviews".to_owned(), force, validate_only: true, ..Default::default() };
    let would = client.triggers.delete_trigger(delete(false)).await.expect("idle").into_inner();
    assert_eq!((would.deleted_session_count, would.cancelled_run_count), (1, 0));
    assert!(would.freed_bytes > 0);
    let busy = hook::github(&url, &made.secret, "issue_comment", "d-2", &hook::comment(2, "[[sleep: 30]]")).await.expect("answered");
    assert_eq!(client.triggers.delete_trigger(delete(false)).await.expect_err("busy").code(), tonic::Code::FailedPrecondition);
    let would = client.triggers.delete_trigger(delete(true)).await.expect("counted").into_inner();
    assert_eq!((would.deleted_session_count, would.cancelled_run_count), (2, 1));
    assert!(!client.run(&busy.run_id()).await.state().as_str_name().ends_with("CANCELLED"));
    let after = client.triggers.get_trigger(get).await.expect("still there").into_inner().trigger.expect("a trigger");
    assert_eq!(after, v1::Trigger { secrets: after.secrets.clone(), ..before }, "nothing has changed");
}

#[tokio::test]
async fn settings_and_a_clean_up_are_tried_without_a_trace() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    for n in 1..=3 {
        let sent = hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &hook::comment(n, "hello")).await.expect("answered");
        client.ended(&sent.run_id()).await;
    }
    server.sql("UPDATE sessions SET last_use_time = last_use_time - 864000000000 WHERE thread_key <> 'acme/shop#3'").await;
    let trial = v1::CleanUpStaleSessionsRequest { validate_only: true, ..Default::default() };
    let would = client.sessions.clean_up_stale_sessions(trial.clone()).await.expect("counted").into_inner();
    assert_eq!((would.deleted_count, would.busy_count, would.remaining_count, would.session_ids.len()), (2, 0, 0, 2));
    assert_eq!(client.sessions.clean_up_stale_sessions(trial).await.expect("counted").into_inner(), would, "twice the same");
    let real = client.sessions.clean_up_stale_sessions(v1::CleanUpStaleSessionsRequest::default()).await.expect("cleaned").into_inner();
    assert_eq!((real.deleted_count, &real.session_ids, real.freed_bytes), (2, &would.session_ids, would.freed_bytes), "as it was foretold");

    let change = |hour| v1::UpdateSettingsRequest {
        settings: Some(v1::Settings {
            sessions: Some(v1::SessionSettings { cleanup_hour_local: Some(hour), ..Default::default() }),
            ..Default::default()
        }),
        validate_only: true,
        ..Default::default()
    };
    let before = client.settings.get_settings(v1::GetSettingsRequest {}).await.expect("read").into_inner().settings;
    let would = client.settings.update_settings(change(0)).await.expect("valid").into_inner().settings.expect("settings");
    assert_eq!(would.sessions.expect("sessions").cleanup_hour_local(), 0);
    assert_eq!(client.settings.update_settings(change(24)).await.expect_err("no hour").code(), tonic::Code::InvalidArgument);
    assert_eq!(client.settings.get_settings(v1::GetSettingsRequest {}).await.expect("read").into_inner().settings, before);
}
