//! Sums over runs and stopped deliveries, on every database there is.

use std::sync::Arc;

use super::*;
use crate::domain::{Bucket, Lineage};
use crate::store::entity::{delivery, run};
use crate::store::{samples, scratches};

const SECOND: i64 = 1_000_000;

/// A run that ended at `end`, cost so many nano-dollars, and got its memory so.
async fn ended(store: &Arc<Store>, trigger: TriggerId, end: i64, cost: i64, lineage: &str, wait: i64) -> run::Model {
    let row = run::Model {
        trigger_id: trigger.0,
        trigger_slug: "reviews".to_owned(),
        status: if lineage.is_empty() { "cancelled" } else { "succeeded" }.to_owned(),
        lineage: Some(lineage.to_owned()).filter(|lineage| !lineage.is_empty()),
        model: "claude-x".to_owned(),
        cost_nano: cost,
        input_tokens: 10,
        create_time: end - wait - 1,
        start_time: Some(end - 1).filter(|_| !lineage.is_empty()),
        end_time: Some(end),
        ..samples::run(SessionId::new())
    };
    samples::put(store, row).await
}

async fn stopped(store: &Arc<Store>, trigger: TriggerId, time: i64, reason: &str) {
    let row = delivery::Model {
        receive_time: time,
        outcome: "filtered".to_owned(),
        reason: Some(reason.to_owned()),
        ..samples::delivery(trigger, None)
    };
    samples::put(store, row).await;
}

fn query(groups: &[UsageGroup], buckets: &[(i64, i64)]) -> UsageQuery {
    let bucket = |(from, until): &(i64, i64)| Bucket { begin: UnixMicros(*from), from: UnixMicros(*from), until: UnixMicros(*until) };
    UsageQuery {
        start: UnixMicros(buckets[0].0),
        end: UnixMicros(buckets[buckets.len() - 1].1),
        buckets: buckets.iter().map(bucket).collect(),
        groups: groups.to_vec(),
        trigger_id: None,
        session_id: None,
    }
}

#[tokio::test]
async fn sums_medians_and_savings_are_those_of_the_contract() {
    for (store, _dir) in scratches().await {
        let (one, two) = (TriggerId::new(), TriggerId::new());
        for (end, cost, lineage, wait) in [
            (1, 90, "fresh", 4),
            (2, 110, "fresh", 8),
            (3, 400, "fresh", 6),
            (4, 30, "continued", 2),
            (5, 150, "restored", 1),
            (6, 0, "", 0),
        ] {
            ended(&store, one, end * SECOND, cost, lineage, wait * 1000).await;
        }
        // Another trigger: nothing fresh, so nothing is known of what it saved.
        ended(&store, two, 7 * SECOND, 1000, "continued", 5000).await;
        // Beyond the time asked for.
        ended(&store, one, 100 * SECOND, 7777, "fresh", 1).await;
        for reason in ["author_is_self", "author_is_bot", "filter_false"] {
            stopped(&store, one, 3 * SECOND, reason).await;
        }
        stopped(&store, two, 3 * SECOND, "author_is_bot").await;

        let all = store.usage(&query(&[], &[(0, 50 * SECOND)]), 0, 10).await.expect("added up");
        let [row] = all.as_slice() else { panic!("one row: {all:?}") };
        assert_eq!((row.run_count, row.succeeded_count, row.failed_count, row.continued_count), (7, 6, 0, 3));
        assert_eq!((row.usage.cost, row.usage.input_tokens), (NanoUsd(1780), 70));
        // Waits of 1, 2, 4, 5, 6, 8 ms.
        assert_eq!(row.wait_p50, Some(Duration::from_micros(4500)));
        // Twice the median of 90, 110, 400 less 30 and 150; the second trigger adds nothing.
        assert_eq!((row.saved, row.basis_count), (NanoUsd(220 - 180), 3));
        // Two of the first trigger at the median of 30, 90, 110, 150, 400.
        assert_eq!((row.not_started_count, row.not_spent), (3, NanoUsd(220)));

        let rows = store.usage(&query(&[UsageGroup::Trigger], &[(0, 50 * SECOND)]), 0, 10).await.expect("added up");
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.trigger.clone().map(|(id, _)| id), row.run_count, row.saved.0, row.not_started_count, row.basis_count))
            .collect();
        assert_eq!(shown, [(Some(two), 1, 0, 1, 0), (Some(one), 6, 40, 2, 3)]);

        let rows = store.usage(&query(&[UsageGroup::Lineage, UsageGroup::Model], &[(0, 50 * SECOND)]), 0, 10).await.expect("added up");
        let shown: Vec<_> = rows.iter().map(|row| (row.lineage, row.model.as_str(), row.usage.cost.0, row.not_started_count)).collect();
        let (continued, restored) = (Some(Lineage::Continued), Some(Lineage::Restored));
        assert_eq!(
            shown,
            [
                (continued, "claude-x", 1030, 0),
                (Some(Lineage::Fresh), "claude-x", 600, 0),
                (restored, "claude-x", 150, 0),
                (None, "claude-x", 0, 0)
            ]
        );
    }
}

#[tokio::test]
async fn buckets_are_newest_first_empty_ones_are_left_out_and_pages_go_on() {
    for (store, _dir) in scratches().await {
        let trigger = TriggerId::new();
        for (end, cost) in [(1, 5), (2, 6), (31, 7), (40, 8)] {
            ended(&store, trigger, end * SECOND, cost, "fresh", 0).await;
        }
        stopped(&store, trigger, 25 * SECOND, "author_is_self").await;
        let parts = [(0, 10 * SECOND), (10 * SECOND, 20 * SECOND), (20 * SECOND, 30 * SECOND), (30 * SECOND, 41 * SECOND)];
        let asked = query(&[], &parts);
        let rows = store.usage(&asked, 0, 10).await.expect("added up");
        let shown = |rows: &[UsageRow]| rows.iter().map(|row| (row.begin.0 / SECOND, row.run_count, row.usage.cost.0)).collect::<Vec<_>>();
        assert_eq!(shown(&rows), [(30, 2, 15), (20, 0, 0), (0, 2, 11)]);
        assert_eq!((rows[1].not_started_count, rows[1].not_spent, rows[1].basis_count), (1, NanoUsd(6), 4));
        assert_eq!(shown(&store.usage(&asked, 1, 1).await.expect("added up")), [(20, 0, 0)]);
        let other = UsageQuery { trigger_id: Some(TriggerId::new()), ..asked.clone() };
        assert!(store.usage(&other, 0, 10).await.expect("added up").is_empty());
        let session = samples::run(SessionId::new()).session_id;
        let other = UsageQuery { trigger_id: Some(trigger), session_id: Some(SessionId(session)), ..asked };
        assert!(store.usage(&other, 0, 10).await.expect("added up").is_empty());
    }
}

#[tokio::test]
async fn the_time_is_looked_up_and_not_searched_for() {
    let (store, _dir) = crate::store::scratch().await;
    let (text, values) = text(&query(&[UsageGroup::Trigger], &[(0, SECOND), (SECOND, 2 * SECOND)]), 0, 10);
    let plan = statement(store.backend(), format!("EXPLAIN QUERY PLAN {text}"), values);
    let rows = store.read().query_all_raw(plan).await.expect("explained");
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("text")).collect();
    for table in ["SCAN r", "SCAN d"] {
        assert!(!steps.iter().any(|step| step == table || step.starts_with(&format!("{table} "))), "{steps:#?}");
    }
    assert!(steps.iter().any(|step| step.contains("deliveries_stopped")), "{steps:#?}");
}
