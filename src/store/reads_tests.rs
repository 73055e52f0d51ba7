//! Tests of what lists, triggers and settings promise.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryTrait as _};
use uuid::Uuid;

use super::entity::{delivery, delivery_payload, limit, run, session};
use super::triggers::NewSecret;
use super::{Store, samples, scratch};
use crate::domain::{
    Caps, DeliveryFilter, DeliveryId, DeliveryOutcome, Error, FailureReason, Lineage, Page, PageRequest, RunFilter, RunId, RunState,
    SecretId, SessionFilter, SessionId, SessionOrder, SessionState, Settings, Source, Trigger, TriggerFilter, TriggerId, TriggerSpec,
    UnixMicros,
};

const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(1));

fn page(size: u32) -> PageRequest {
    PageRequest { size, after: None }
}

fn trigger(slug: &str) -> Trigger {
    let mut trigger = Trigger { slug: slug.to_owned(), ..crate::domain::samples::trigger(Source::Github, "{{ event.text }}") };
    trigger.spec.caps.concurrent_runs = Some(3);
    trigger
}

fn secret(text: &str) -> NewSecret {
    NewSecret { id: SecretId::new(), sealed: text.as_bytes().to_vec(), hint: "abcd".to_owned(), create_time: UnixMicros::now() }
}

async fn limits(store: &Store, id: Uuid) -> (i32, bool) {
    let row = limit::Entity::find_by_id(id).one(store.read()).await.expect("read").expect("there");
    (row.cap, row.open)
}

#[tokio::test]
async fn a_trigger_is_stored_with_its_limits_and_changes_with_its_version() {
    let (store, _dir) = scratch().await;
    let made = store.create_trigger(&trigger("reviews"), &[secret("s1")]).await.expect("created");
    assert_eq!(made.secrets.len(), 1);
    assert_eq!(limits(&store, made.id.0).await, (3, true));
    assert_eq!(store.trigger_by_slug("reviews").await.expect("read"), Some(made.clone()));
    let taken = store.create_trigger(&trigger("reviews"), &[]).await.expect_err("refused");
    assert!(matches!(taken, Error::SlugTaken { trigger_id, .. } if trigger_id == made.id.to_string()));

    let off = TriggerSpec { enabled: false, caps: Caps::default(), ..made.spec.clone() };
    let changed = store.update_trigger(made.id, 1, &off).await.expect("updated");
    assert_eq!((changed.version, &changed.spec), (2, &off));
    assert_eq!(limits(&store, made.id.0).await, (i32::MAX, false));
    let late = store.update_trigger(made.id, 1, &made.spec).await.expect_err("refused");
    assert!(matches!(late, Error::EtagMismatch { etag } if etag == "2"));
    assert!(matches!(store.update_trigger(TriggerId::new(), 1, &off).await, Err(Error::NotFound { .. })));

    let others = [store.create_trigger(&trigger("b"), &[]).await, store.create_trigger(&trigger("c"), &[]).await];
    let [b, c] = others.map(|made| made.expect("created").slug);
    let all = store.list_triggers(&TriggerFilter::default(), page(2)).await.expect("listed");
    assert_eq!(all.items.iter().map(|t| &t.slug).collect::<Vec<_>>(), [&c, &b]);
    let rest = store.list_triggers(&TriggerFilter::default(), PageRequest { size: 2, after: all.next }).await.expect("listed");
    assert_eq!((rest.items[0].slug.as_str(), rest.next), ("reviews", None));
    let disabled =
        store.list_triggers(&TriggerFilter { enabled: Some(false), source: Some(Source::Github) }, page(9)).await.expect("listed");
    assert_eq!(disabled.items.len(), 1);
}

#[tokio::test]
async fn of_secrets_two_are_active_at_most_and_the_old_one_ends() {
    let (store, _dir) = scratch().await;
    let first = secret("s1");
    let made = store.create_trigger(&trigger("reviews"), std::slice::from_ref(&first)).await.expect("created");
    let active = async || {
        let all = store.active_secrets(made.id, UnixMicros::now()).await.expect("read");
        all.into_iter().map(|one| String::from_utf8(one.sealed).expect("text")).collect::<Vec<_>>()
    };
    let tomorrow = UnixMicros::now().plus(Duration::from_secs(86_400));
    let rotated = store.rotate_secret(made.id, &secret("s2"), tomorrow, Some("u".to_owned())).await.expect("rotated");
    assert_eq!((rotated.hook_token.as_str(), rotated.version, rotated.secrets[0].expire_time), ("u", 2, Some(tomorrow)));
    assert_eq!(active().await, ["s2", "s1"]);
    assert!(matches!(store.rotate_secret(made.id, &secret("s3"), tomorrow, None).await, Err(Error::TooManySecrets)));
    let now = secret("s3");
    store.rotate_secret(made.id, &now, now.create_time, None).await.expect("rotated");
    assert_eq!(active().await, ["s3"]);
    store.touch_secret(now.id, tomorrow).await.expect("kept");
    assert_eq!(store.trigger(made.id).await.expect("read").expect("there").secrets[0].last_match_time, Some(tomorrow));
}

#[tokio::test]
async fn settings_are_checked_versioned_and_told() {
    let (store, _dir) = scratch().await;
    let cache = crate::settings::SettingsCache::load(store.clone()).await.expect("loaded");
    assert_eq!(cache.get().limits, Settings::default().limits);
    assert_eq!(limits(&store, Uuid::nil()).await, (4, true));
    let mut told = cache.subscribe();
    let set = |runs: i32| {
        move |mut s: Settings| {
            s.limits.max_concurrent_runs = runs;
            Ok(s)
        }
    };
    let changed = cache.update(Some(1), "key_1", set(9)).await.expect("changed");
    assert_eq!((changed.version, changed.updated_by.as_str()), (2, "key_1"));
    assert!(told.has_changed().expect("open"));
    assert_eq!(told.borrow_and_update().limits.max_concurrent_runs, 9);
    assert_eq!(limits(&store, Uuid::nil()).await, (9, true));
    assert!(matches!(cache.update(Some(1), "x", set(5)).await, Err(Error::EtagMismatch { etag }) if etag == "2"));
    let refused = cache.update(None, "x", set(0)).await.expect_err("out of range");
    assert!(refused.to_string().contains("settings.limits.max_concurrent_runs"), "{refused}");
    // Another server on the same database changes them; ours sees it at the next change, and last write wins.
    let other = crate::settings::SettingsCache::load(store.clone()).await.expect("loaded");
    other.update(None, "y", set(7)).await.expect("changed");
    assert_eq!(cache.update(None, "x", Ok).await.expect("changed").limits.max_concurrent_runs, 7);
    assert_eq!(crate::settings::SettingsCache::load(store.clone()).await.expect("loaded").get().version, 4);

    assert_eq!(store.last_cleanup_date().await.expect("read"), None);
    assert!(store.take_cleanup_date("2026-05-10", "2026-05-12").await.expect("taken"));
    for date in ["2026-05-10", "2026-05-09"] {
        assert!(!store.take_cleanup_date(date, "2026-05-12").await.expect("asked"), "{date}");
    }
    assert!(store.take_cleanup_date("2026-05-11", "2026-05-13").await.expect("taken"));
}

/// Runs of two sessions in every state; gives them oldest first.
async fn put_runs(store: &Store) -> Vec<run::Model> {
    let sessions = [samples::session(TRIGGER, "42"), samples::session(TRIGGER, "43")];
    let mut runs = Vec::new();
    for (n, status) in ["succeeded", "failed", "cancelled", "running", "queued", "queued"].into_iter().enumerate() {
        let home = &sessions[usize::from(n == 5)];
        let mut row = run::Model { seq: n as i64, status: status.to_owned(), ..samples::run(SessionId(home.id)) };
        row.thread_key = home.thread_key.clone();
        if status == "failed" {
            row.failure_reason = Some(FailureReason::MaxCost.to_string());
            row.lineage = Some(Lineage::Continued.to_string());
        }
        if n == 5 {
            row.not_before = i64::MAX;
        }
        runs.push(samples::put(store, row).await);
    }
    for home in sessions {
        samples::put(store, session::Model { head: 3, tail: 9, state: "ready".to_owned(), ..home }).await;
    }
    runs
}

async fn listed(store: &Store, filter: RunFilter) -> Vec<usize> {
    let seqs = |page: &Page<crate::domain::Run>| page.items.iter().map(|run| run.seq as usize).collect::<Vec<_>>();
    let whole = seqs(&store.list_runs(&filter, page(50)).await.expect("listed"));
    // The same in pages of one.
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let one = store.list_runs(&filter, PageRequest { size: 1, after }).await.expect("listed");
        paged.extend(seqs(&one));
        after = one.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, whole, "{filter:?}");
    whole
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_each_filter() {
    let (store, _dir) = scratch().await;
    let runs = put_runs(&store).await;
    let all = RunFilter::default;
    let of = |states: &[RunState]| RunFilter { states: states.to_vec(), ..RunFilter::default() };
    assert_eq!(listed(&store, all()).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(listed(&store, of(&[RunState::Queued])).await, [4]);
    assert_eq!(listed(&store, of(&[RunState::Waiting])).await, [5]);
    assert_eq!(listed(&store, of(&[RunState::Waiting, RunState::Queued, RunState::Succeeded])).await, [5, 4, 0]);
    assert_eq!(listed(&store, of(&[RunState::Running, RunState::Cancelled, RunState::Waiting])).await, [5, 3, 2]);
    assert_eq!(listed(&store, RunFilter { trigger_id: Some(TRIGGER), ..of(&[RunState::Failed, RunState::Queued]) }).await, [4, 1]);
    assert_eq!(listed(&store, RunFilter { trigger_id: Some(TriggerId::new()), ..all() }).await, [0; 0]);
    assert_eq!(listed(&store, RunFilter { session_id: Some(SessionId(runs[5].session_id)), ..all() }).await, [5]);
    assert_eq!(listed(&store, RunFilter { thread_key: Some("42".to_owned()), ..all() }).await, [4, 3, 2, 1, 0]);
    assert_eq!(listed(&store, RunFilter { failure_reasons: vec![FailureReason::MaxCost], ..all() }).await, [1]);
    assert_eq!(listed(&store, RunFilter { lineages: vec![Lineage::Continued, Lineage::Fresh], ..all() }).await, [1]);
    let middle = Some(UnixMicros(runs[3].create_time));
    assert_eq!(listed(&store, RunFilter { start_time: middle, ..all() }).await, [5, 4, 3]);
    assert_eq!(listed(&store, RunFilter { end_time: middle, ..all() }).await, [2, 1, 0]);
    samples::link(&store, runs[2].id, 0, Uuid::from_u128(9)).await;
    assert_eq!(listed(&store, RunFilter { delivery_id: Some(DeliveryId(Uuid::from_u128(9))), ..all() }).await, [2]);
    assert_eq!(store.run(RunId(runs[2].id)).await.expect("read").expect("there").delivery_ids, [DeliveryId(Uuid::from_u128(9))]);
    assert_eq!(store.run(RunId::new()).await.expect("read"), None);
}

/// What SQLite does for a query, as one text.
async fn plan<E: sea_orm::EntityTrait>(store: &Store, query: sea_orm::Select<E>) -> String {
    let mut statement = query.build(store.backend());
    statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
    let rows = store.read().query_all_raw(statement).await.expect("a plan");
    rows.iter().map(|row| row.try_get::<String>("", "detail").expect("text")).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn lists_stay_on_an_index_and_sort_nothing() {
    let (store, _dir) = scratch().await;
    let after = Some(crate::domain::Cursor { key: 5, id: Uuid::now_v7() });
    let page = PageRequest { size: 50, after };
    let status = sea_orm::ColumnTrait::eq(&run::Column::Status, "failed");
    let by_trigger = RunFilter { trigger_id: Some(TRIGGER), ..RunFilter::default() };
    for (query, index) in [
        (super::runs::filtered(&RunFilter::default(), page), "sqlite_autoindex_runs"),
        (super::runs::filtered(&by_trigger, page), "runs_trigger"),
        (super::runs::filtered(&RunFilter::default(), page).filter(status), "runs_status"),
    ] {
        let plan = plan(&store, query).await;
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{index}: {plan}");
    }
    let by_session = RunFilter { session_id: Some(SessionId::new()), ..RunFilter::default() };
    let of_session = plan(&store, super::runs::filtered(&by_session, page)).await;
    assert!(of_session.contains("runs_session") && !of_session.contains("SCAN"), "{of_session}");
    let threads = plan(&store, super::sessions::select(&SessionFilter::default(), SessionOrder::LastUse, page, false)).await;
    assert!(threads.contains("sessions_use") && !threads.contains("TEMP B-TREE"), "{threads}");
    let of_trigger = DeliveryFilter { trigger_id: Some(TRIGGER), ..DeliveryFilter::default() };
    for (filter, index) in [(DeliveryFilter::default(), "sqlite_autoindex_deliveries"), (of_trigger, "deliveries_trigger")] {
        let plan = plan(&store, super::deliveries::select(&filter, page)).await;
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{index}: {plan}");
    }
}

#[tokio::test]
async fn sessions_are_listed_in_three_orders_and_by_each_filter() {
    let (store, _dir) = scratch().await;
    let hour = |n: i64| UnixMicros(n * 3_600_000_000);
    for (n, key) in ["Alpha_1", "beta", "gamma"].into_iter().enumerate() {
        let n = n as i64;
        let mut row = session::Model { last_use_time: hour(n + 1).0, cost_nano: 10 - n, ..samples::session(TRIGGER, key) };
        row.transcript_bytes = [5, 9, 5][n as usize];
        if key == "gamma" {
            (row.state, row.tail) = ("running".to_owned(), 1);
            row.lease_id = Some(Uuid::now_v7());
            row.title = "Fix 100% of ALPHA".to_owned();
        }
        samples::put(&store, row).await;
    }
    let once = session::Model { kind: "once".to_owned(), thread_key: None, ..samples::session(TRIGGER, "") };
    samples::put(&store, once).await;
    let keys = async |filter: SessionFilter, order| {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_sessions(&filter, order, PageRequest { size: 1, after }).await.expect("listed");
            keys.extend(page.items.into_iter().filter_map(|one| one.thread_key));
            after = page.next;
            if after.is_none() {
                break keys.join(" ");
            }
        }
    };
    let all = SessionFilter::default;
    assert_eq!(keys(all(), SessionOrder::LastUse).await, "gamma beta Alpha_1");
    assert_eq!(keys(all(), SessionOrder::Cost).await, "Alpha_1 beta gamma");
    assert_eq!(keys(all(), SessionOrder::Size).await, "beta gamma Alpha_1", "equal sizes: the newer one first");
    let with = |query: &str| SessionFilter { query: Some(query.to_owned()), ..SessionFilter::default() };
    for (query, wanted) in
        [("alpha", "gamma Alpha_1"), ("a_1", "Alpha_1"), ("0%", "gamma"), ("_", "Alpha_1"), ("", "gamma beta Alpha_1"), ("delta", "")]
    {
        assert_eq!(keys(with(query), SessionOrder::LastUse).await, wanted, "{query}");
    }
    assert_eq!(keys(SessionFilter { states: vec![SessionState::Running], ..all() }, SessionOrder::LastUse).await, "gamma");
    assert_eq!(
        keys(SessionFilter { stale: Some((true, hour(9))), ..all() }, SessionOrder::LastUse).await,
        "beta Alpha_1",
        "a live one never"
    );
    assert_eq!(keys(SessionFilter { stale: Some((false, hour(2))), ..all() }, SessionOrder::LastUse).await, "gamma beta");
    assert_eq!(keys(SessionFilter { thread_key: Some("beta".to_owned()), ..all() }, SessionOrder::Cost).await, "beta");
    let found = store.session_by_key(TRIGGER, "beta").await.expect("read").expect("there");
    assert_eq!(store.session(found.id).await.expect("read"), Some(found));
    assert_eq!(store.session_by_key(TRIGGER, "Beta").await.expect("read"), None);

    let storage = store.session_storage(Some(TRIGGER), hour(2)).await.expect("measured");
    assert_eq!((storage.session_count, storage.stale_session_count, storage.live_session_count), (3, 1, 1));
    assert_eq!((storage.transcript_raw_bytes, storage.transcript_bytes, storage.oldest_use_time), (19, 0, Some(hour(1))));
    assert!(storage.database_bytes > 0);
    assert_eq!(store.session_storage(None, hour(2)).await.expect("measured"), storage);
    assert_eq!(store.session_storage(Some(TriggerId::new()), hour(2)).await.expect("measured").oldest_use_time, None);
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_by_each_filter() {
    let (store, _dir) = scratch().await;
    let home = samples::put(&store, samples::session(TRIGGER, "42")).await;
    let run = samples::put(&store, samples::run(SessionId(home.id))).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let mut row = delivery::Model {
            actor_login: format!("user{n}"),
            session_id: Some(home.id),
            ..samples::delivery(TRIGGER, Some(RunId(run.id)))
        };
        if n == 2 {
            row.outcome = "duplicate".to_owned();
            row.trigger_id = None;
        }
        ids.push(samples::put(&store, row).await.id);
    }
    samples::link(&store, run.id, 0, ids[0]).await;
    samples::link(&store, run.id, 1, ids[1]).await;
    let listed = async |filter: DeliveryFilter| {
        let found = store.list_deliveries(&filter, page(50)).await.expect("listed");
        found.items.iter().map(|one| ids.iter().position(|id| *id == one.id.0).expect("ours")).collect::<Vec<_>>()
    };
    let all = DeliveryFilter::default;
    assert_eq!(listed(all()).await, [2, 1, 0]);
    assert_eq!(listed(DeliveryFilter { trigger_id: Some(TRIGGER), ..all() }).await, [1, 0]);
    assert_eq!(listed(DeliveryFilter { run_id: Some(RunId(run.id)), ..all() }).await, [1, 0]);
    assert_eq!(listed(DeliveryFilter { session_id: Some(SessionId(home.id)), ..all() }).await, [2, 1, 0], "a repeat too");
    assert_eq!(listed(DeliveryFilter { outcomes: vec![DeliveryOutcome::Duplicate], ..all() }).await, [2]);
    assert_eq!(listed(DeliveryFilter { actor: Some("user1".to_owned()), ..all() }).await, [1]);
    assert_eq!(listed(DeliveryFilter { event_kind: Some("push".to_owned()), ..all() }).await, [0; 0]);
    let first = store.list_deliveries(&all(), page(2)).await.expect("listed");
    let rest = store.list_deliveries(&all(), PageRequest { size: 2, after: first.next }).await.expect("listed");
    assert_eq!((rest.items.len(), rest.next), (1, None));

    let body = zstd::bulk::compress(b"{\"a\":1}", 1).expect("compressed");
    samples::put(&store, delivery_payload::Model { delivery_id: ids[0], headers: vec![], body: Some(body), walk: None }).await;
    assert_eq!(store.delivery_payload(DeliveryId(ids[0])).await.expect("read").expect("kept").body, b"{\"a\":1}");
    assert_eq!(store.delivery_payload(DeliveryId(ids[1])).await.expect("read"), None);
    assert!(store.delivery(DeliveryId(ids[0])).await.expect("read").is_some());

    let mut replays = Vec::new();
    for _ in 0..22 {
        let row = delivery::Model { replay_of: Some(ids[0]), ..samples::delivery(TRIGGER, None) };
        replays.insert(0, DeliveryId(samples::put(&store, row).await.id));
    }
    let original = store.delivery(DeliveryId(ids[0])).await.expect("read").expect("there");
    assert_eq!(original.replayed_by, replays[..20], "the latest first, and no more");
    let oldest = store.oldest_deliveries(&all(), 4).await.expect("listed");
    assert_eq!(oldest.iter().map(|one| one.id.0).collect::<Vec<_>>(), [ids[0], ids[1], ids[2], replays[21].0]);
    let recent = store.recent_deliveries(Some(TRIGGER), Source::Github, 2).await.expect("listed");
    assert_eq!(recent.iter().map(|one| one.id).collect::<Vec<_>>(), replays[..2]);
}

#[tokio::test]
async fn writers_at_once_leave_the_ids_of_a_list_unique() {
    let (store, _dir) = scratch().await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store: Arc<Store> = store.clone();
        writers.spawn(async move {
            for _ in 0..25 {
                samples::put(&store, samples::run(SessionId::new())).await;
            }
        });
    }
    // A list that is read meanwhile gives each run once.
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let one = store.list_runs(&RunFilter::default(), PageRequest { size: 7, after }).await.expect("listed");
        assert!(one.items.iter().all(|run| seen.insert(run.id)));
        after = one.next;
        if after.is_none() {
            break;
        }
    }
    while let Some(done) = writers.join_next().await {
        done.expect("written");
    }
    assert_eq!(store.list_runs(&RunFilter::default(), page(500)).await.expect("listed").items.len(), 100);
}
