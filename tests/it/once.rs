//! A call with a request id acts once, also when its server died after the deed and before its answer was kept.

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

/// The answers are lost, as when the server dies between a commit and the keeping of its answer.
async fn forget_answers(server: &Server) {
    server.sql("UPDATE remembered_requests SET response = x'ff'").await;
}

#[tokio::test]
async fn what_a_cut_off_call_made_is_found_and_not_made_again() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let sent = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(7, "hello")).await.expect("answered");
    let ended = client.ended(&sent.run_id()).await;
    let once = || "once".to_owned();

    let fire = v1::FireTriggerRequest { trigger_id: "reviews".to_owned(), request_id: once(), ..Default::default() };
    let fired = client.triggers.fire_trigger(fire.clone()).await.expect("fired").into_inner();
    let replay = v1::ReplayDeliveryRequest { delivery_id: ended.delivery_ids[0].clone(), request_id: once(), ..Default::default() };
    let replayed = client.triggers.replay_delivery(replay.clone()).await.expect("replayed").into_inner();
    let all = v1::ReplayDeliveriesRequest { trigger_id: "reviews".to_owned(), request_id: once(), ..Default::default() };
    let counted = client.triggers.replay_deliveries(all.clone()).await.expect("replayed").into_inner();
    assert_eq!((counted.matched_count, counted.queued_count), (3, 3));
    let retry = v1::RetryRunRequest { run_id: ended.id.clone(), request_id: once(), ..Default::default() };
    let retried = client.runs.retry_run(retry.clone()).await.expect("retried").into_inner().run.expect("a run");
    let compact = v1::CompactSessionRequest { session_id: ended.session_id.clone(), request_id: once() };
    let compacted = client.sessions.compact_session(compact.clone()).await.expect("queued").into_inner().run.expect("a run");
    let fork =
        v1::ForkSessionRequest { session_id: ended.session_id.clone(), after_run_id: ended.id, request_id: once(), ..Default::default() };
    let forked = client.sessions.fork_session(fork.clone()).await.expect("forked").into_inner().session.expect("a session");
    let trigger = v1::Trigger {
        slug: "another".to_owned(),
        source: v1::Source::Github.into(),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "x".to_owned(), follow_up_template: None })),
        ..Default::default()
    };
    let create = v1::CreateTriggerRequest { trigger: Some(trigger), request_id: once(), ..Default::default() };
    let created = client.triggers.create_trigger(create.clone()).await.expect("created").into_inner();
    let rotate = v1::RotateTriggerSecretRequest { trigger_id: "another".to_owned(), request_id: once(), ..Default::default() };
    let rotated = client.triggers.rotate_trigger_secret(rotate.clone()).await.expect("rotated").into_inner().trigger.expect("a trigger");
    let deliveries = async |client: &mut Client| {
        let request = v1::ListDeliveriesRequest::default();
        client.triggers.list_deliveries(request).await.expect("listed").into_inner().deliveries.len()
    };
    let runs =
        async |client: &mut Client| client.runs.list_runs(v1::ListRunsRequest::default()).await.expect("listed").into_inner().runs.len();
    let before = (deliveries(&mut client).await, runs(&mut client).await);

    // Twice: what was kept is lost again.
    for _ in 0..2 {
        forget_answers(&server).await;
        let again = client.triggers.fire_trigger(fire.clone()).await.expect("answered").into_inner();
        assert_eq!((again.delivery.expect("one").id, again.run.expect("one").id), {
            let fired = fired.clone();
            (fired.delivery.expect("one").id, fired.run.expect("one").id)
        });
        let again = client.triggers.replay_delivery(replay.clone()).await.expect("answered").into_inner();
        assert_eq!(again.delivery.expect("one").id, replayed.delivery.clone().expect("one").id);
        assert_eq!(client.triggers.replay_deliveries(all.clone()).await.expect("answered").into_inner(), counted);
        assert_eq!(client.runs.retry_run(retry.clone()).await.expect("answered").into_inner().run.expect("one").id, retried.id);
        let again = client.sessions.compact_session(compact.clone()).await.expect("answered").into_inner();
        assert_eq!(again.run.expect("one").id, compacted.id);
        assert_eq!(client.sessions.fork_session(fork.clone()).await.expect("answered").into_inner().session.expect("one").id, forked.id);
        let again = client.triggers.create_trigger(create.clone()).await.expect("answered").into_inner();
        assert_eq!((again.trigger.expect("one").id, again.secret), (created.trigger.clone().expect("one").id, String::new()));
        let again = client.triggers.rotate_trigger_secret(rotate.clone()).await.expect("answered").into_inner().trigger.expect("one");
        assert_eq!(again.secrets, rotated.secrets);
    }
    assert_eq!((deliveries(&mut client).await, runs(&mut client).await), before, "nothing was made again");
    let sessions = client.sessions.list_sessions(v1::ListSessionsRequest::default()).await.expect("listed").into_inner().sessions;
    assert_eq!(sessions.len(), 2, "one thread and its copy");
    // Another request under the same id is refused still, and one that came to nothing does not use its id up.
    let other = v1::FireTriggerRequest { prompt: Some("other".to_owned()), ..fire };
    assert_eq!(client.triggers.fire_trigger(other).await.expect_err("another").code(), tonic::Code::InvalidArgument);
    let wrong = v1::FireTriggerRequest { trigger_id: "nobody".to_owned(), request_id: "second".to_owned(), ..Default::default() };
    assert_eq!(client.triggers.fire_trigger(wrong.clone()).await.expect_err("unknown").code(), tonic::Code::NotFound);
    let right = v1::FireTriggerRequest { trigger_id: "reviews".to_owned(), ..wrong };
    client.triggers.fire_trigger(right).await.expect("the id is free");
}

#[tokio::test]
async fn a_call_that_was_cut_off_before_the_deed_is_done_by_its_repeat() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let sent = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(7, "the word is teapot")).await.expect("answered");
    let ended = client.ended(&sent.run_id()).await;
    let fork = v1::ForkSessionRequest { session_id: ended.session_id.clone(), request_id: "once".to_owned(), ..Default::default() };
    let forked = client.sessions.fork_session(fork.clone()).await.expect("forked").into_inner().session.expect("a session");
    // As it is when the server dies in the middle of the copy: parts, but no session.
    forget_answers(&server).await;
    server.sql("DELETE FROM sessions WHERE forked_from IS NOT NULL; DELETE FROM conversations WHERE from_session_id IS NOT NULL").await;
    let again = client.sessions.fork_session(fork).await.expect("forked").into_inner().session.expect("a session");
    assert_eq!(again.id, forked.id, "the same id in every try");
    let ask = v1::FireTriggerRequest {
        trigger_id: "reviews".to_owned(),
        session_id: again.id,
        prompt: Some("[[recall: teapot]]".to_owned()),
        ..Default::default()
    };
    let run = client.triggers.fire_trigger(ask).await.expect("fired").into_inner().run.expect("a run");
    assert_eq!(client.ended(&run.id).await.result_text, "recall yes: teapot");
}
