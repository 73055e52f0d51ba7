//! Tests of retention.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{EntityTrait as _, PaginatorTrait as _};

use super::*;
use crate::domain::{ApiKeyId, RunId, SessionId, TriggerId};
use crate::store::entity::{attempt, delivery, delivery_payload, journal_chunk, remembered_request, run, run_delivery, session};
use crate::store::{Remembered, samples, scratch, scratches};

const DAY: Duration = Duration::from_secs(24 * 3600);
const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(1));

fn days_ago(days: u32) -> UnixMicros {
    UnixMicros::now().minus(DAY * days)
}

/// A run of its own with all that belongs to it, queued so many days ago; finished a day later, if it is.
async fn put_run(store: &Store, days: u32, finished: bool) -> RunId {
    let made = days_ago(days);
    let id = |salt: u128| Uuid::from_u128(first_id_at(made).as_u128() | salt);
    let once = session::Model { kind: "once".to_owned(), thread_key: None, ..samples::session(TRIGGER, "") };
    let once = samples::put(store, once).await;
    let (status, end) = if finished { ("succeeded", Some(made.plus(DAY).0)) } else { ("queued", None) };
    let salt = u128::from(days) << 1 | u128::from(finished);
    let row = run::Model {
        id: id(salt),
        status: status.to_owned(),
        end_time: end,
        create_time: made.0,
        next_sequence: 301,
        ..samples::run(SessionId(once.id))
    };
    let run = samples::put(store, row).await.id;
    for n in 0..150 {
        let chunk = journal_chunk::Model {
            run_id: run,
            first_sequence: n * 2 + 1,
            entry_count: 2,
            attempt: 1,
            raw_bytes: 1,
            create_time: made.0,
            body: vec![1],
        };
        samples::put(store, chunk).await;
    }
    let sent = delivery::Model { id: id(salt | 1 << 20), ..samples::delivery(TRIGGER, Some(RunId(run))) };
    let sent = samples::put(store, sent).await.id;
    samples::put(store, delivery_payload::Model { delivery_id: sent, headers: vec![], body: Some(vec![1]), walk: None }).await;
    samples::link(store, run, 0, sent).await;
    RunId(run)
}

async fn delete_all(store: &Store, old: Old, before: UnixMicros) -> u64 {
    let mut gone = 0;
    loop {
        let batch = store.delete_old(old, before).await.expect("deleted");
        assert!(batch <= BATCH as u64);
        if batch == 0 {
            return gone;
        }
        gone += batch;
    }
}

async fn desk() -> (Arc<Store>, tempfile::TempDir, [RunId; 3]) {
    let (store, dir) = scratch().await;
    let runs = [put_run(&store, 40, true).await, put_run(&store, 40, false).await, put_run(&store, 3, true).await];
    (store, dir, runs)
}

#[tokio::test]
async fn journals_go_by_the_batch_and_leave_their_run() {
    let (store, _dir, [old, queued, new]) = desk().await;
    assert_eq!(delete_all(&store, Old::Journals, days_ago(30)).await, 150);
    let chunks = |run: RunId| {
        let store = store.clone();
        async move { store.journal_page(run, 1).await }
    };
    assert!(chunks(old).await.expect("read").is_empty());
    let counted = journal_chunk::Entity::find().count(store.read()).await.expect("counted");
    assert_eq!(counted, 300, "the queued and the new one keep theirs");
    let first = |run: RunId| {
        let store = store.clone();
        async move { store.run(run).await.expect("read").expect("there").first_sequence }
    };
    assert_eq!((first(old).await, first(queued).await, first(new).await), (301, 1, 1));
}

#[tokio::test]
async fn the_lines_beside_a_journal_go_after_it_and_stay_where_it_stays() {
    let (store, _dir, [old, queued, new]) = desk().await;
    for (run, number) in [old, queued, new].into_iter().flat_map(|run| (1..=120).map(move |number| (run, number))) {
        let text = "INSERT INTO journal_lines (run_id, attempt, first_number, create_time, body) VALUES (?, ?, ?, 0, x'00')";
        let values = vec![run.0.into(), (number / 70 + 1).into(), i64::from(number).into()];
        super::super::writer(&store).execute_raw(statement(store.backend(), text, values)).await.expect("stored");
    }
    assert_eq!(delete_all(&store, Old::Journals, days_ago(30)).await, 150 + 120);
    for (run, left) in [(old, 0), (queued, 120), (new, 120)] {
        let text = "SELECT COUNT(*) FROM journal_lines WHERE run_id = ?";
        let row = store.read().query_one_raw(statement(store.backend(), text, vec![run.0.into()])).await.expect("read").expect("a row");
        assert_eq!(row.try_get_by_index::<i64>(0).expect("a count"), left);
    }
}

#[tokio::test]
async fn bodies_and_deliveries_go_but_not_those_a_run_still_needs() {
    let (store, _dir, [_, queued, _]) = desk().await;
    assert_eq!(delete_all(&store, Old::Payloads, days_ago(30)).await, 1);
    assert_eq!(delivery_payload::Entity::find().count(store.read()).await.expect("counted"), 2);
    assert_eq!(delete_all(&store, Old::Deliveries, days_ago(1)).await, 2, "old and new, finished");
    let left = delivery::Entity::find().all(store.read()).await.expect("read");
    assert_eq!(left.iter().map(|row| row.run_id).collect::<Vec<_>>(), [Some(queued.0)]);
    assert_eq!(delivery_payload::Entity::find().count(store.read()).await.expect("counted"), 1, "bodies go with their delivery");
    assert_eq!(run_delivery::Entity::find().count(store.read()).await.expect("counted"), 1);
}

#[tokio::test]
async fn runs_go_with_what_belongs_to_them() {
    let (store, _dir, [old, queued, new]) = desk().await;
    assert!(delete_all(&store, Old::Runs, days_ago(30)).await >= 1);
    assert!(store.run(old).await.expect("read").is_none());
    assert!(store.run(queued).await.expect("read").is_some());
    assert!(store.run(new).await.expect("read").is_some());
    assert_eq!(journal_chunk::Entity::find().count(store.read()).await.expect("counted"), 300);
    assert_eq!(run_delivery::Entity::find().count(store.read()).await.expect("counted"), 2);
    assert_eq!(attempt::Entity::find().count(store.read()).await.expect("counted"), 0);
    assert_eq!(session::Entity::find().count(store.read()).await.expect("counted"), 2, "a session of its own goes with its run");
}

#[tokio::test]
async fn answers_are_remembered_for_a_day() {
    let (store, _dir) = scratch().await;
    let key = ApiKeyId::new();
    store.begin_request(key, "FireTrigger", "r1", [1; 32]).await.expect("begun");
    store.remember_request(key, "FireTrigger", "r1", vec![7]).await.expect("kept");
    assert_eq!(store.remembered_request(key, "FireTrigger", "r1").await.expect("read"), Some(([1; 32], Remembered::Answered(vec![7]))));
    assert_eq!(store.remembered_request(key, "RetryRun", "r1").await.expect("read"), None, "another rpc");
    assert_eq!(store.remembered_request(ApiKeyId::new(), "FireTrigger", "r1").await.expect("read"), None, "another key");
    let old = remembered_request::Model {
        api_key_id: key.0,
        rpc: "FireTrigger".to_owned(),
        request_id: "r0".to_owned(),
        content_hash: vec![0; 32],
        response: vec![],
        create_time: days_ago(2).0,
    };
    samples::put(&store, old).await;
    assert_eq!(store.remembered_request(key, "FireTrigger", "r0").await.expect("read"), None, "too long ago");
    store.begin_request(key, "FireTrigger", "r0", [2; 32]).await.expect("replaced");
    store.remember_request(key, "FireTrigger", "r0", vec![8]).await.expect("kept");
    assert_eq!(store.remembered_request(key, "FireTrigger", "r0").await.expect("read"), Some(([2; 32], Remembered::Answered(vec![8]))));
    let began = store.begin_request(key, "FireTrigger", "r2", [3; 32]).await.expect("begun");
    let known = store.remembered_request(key, "FireTrigger", "r2").await.expect("read");
    assert_eq!(known, Some(([3; 32], Remembered::Begun(began))), "at work");
    store.forget_request(key, "FireTrigger", "r2").await.expect("forgotten");
    assert_eq!(store.remembered_request(key, "FireTrigger", "r2").await.expect("read"), None);
    assert_eq!(delete_all(&store, Old::Requests, UnixMicros::now()).await, 2);
}

#[tokio::test]
async fn the_gauges_tell_how_many_wait_and_since_when() {
    let (store, _dir) = scratch().await;
    assert_eq!(store.queue_figures(UnixMicros::now()).await.expect("read"), (0, None));
    let quiet = run::Model { not_before: UnixMicros::now().plus(DAY).0, ..samples::run(SessionId::new()) };
    samples::put(&store, quiet).await;
    let due = samples::put(&store, samples::run(SessionId::new())).await;
    samples::put(&store, samples::run(SessionId::new())).await;
    assert_eq!(store.queue_figures(UnixMicros::now()).await.expect("read"), (3, Some(UnixMicros(due.create_time))));
}

#[tokio::test]
async fn it_comes_to_its_end_on_every_database() {
    for (store, _dir) in scratches().await {
        for finished in [false, true] {
            put_run(&store, 30, finished).await;
        }
        for old in Old::ALL {
            while store.delete_old(old, days_ago(10)).await.expect("deleted") > 0 {}
        }
        assert_eq!(run::Entity::find().count(store.read()).await.expect("counted"), 1, "the one that is not finished");
    }
}
