//! Clean-up, deletion, summaries.

use std::time::Duration;

use sea_orm::{EntityTrait, PaginatorTrait};

use super::bed::requester;
use super::on_every_database;
use crate::domain::{RunId, RunStatus, UnixMicros};
use crate::queue::RunEnd;
use crate::store::entity::{conversation, limit, run, session, trigger};

on_every_database! {
    async fn clean_up_takes_what_is_old_and_leaves_what_is_busy(bed: Bed) {
        let trigger = bed.trigger(10).await;
        for thread in ["old", "busy", "new"] {
            bed.deliver(trigger, thread).await;
        }
        for one in bed.claim(3).await {
            bed.converse(&one).await;
        }
        bed.sql("UPDATE sessions SET last_use_time = 1, transcript_bytes = 5 WHERE thread_key <> 'new'").await;
        bed.deliver(trigger, "busy").await;
        bed.deliver(trigger, "").await;
        let cleaned = bed.queue.clean_up(UnixMicros(1000), Some(trigger)).await.expect("cleaned");
        assert_eq!((cleaned.session_ids.len(), cleaned.busy_count, cleaned.freed_bytes, cleaned.remaining_count), (1, 1, 5, 0));
        assert_eq!(bed.queue.clean_up(UnixMicros(1000), None).await.expect("cleaned").session_ids, []);
        assert_eq!(conversation::Entity::find().count(bed.store.read()).await.expect("counted"), 2);
        assert_eq!(run::Entity::find().count(bed.store.read()).await.expect("counted"), 5, "history stays");
        let again = bed.deliver(trigger, "old").await;
        assert!(!cleaned.session_ids.contains(&again.session_id.expect("a session")), "the thread begins anew");
    }

    async fn a_trigger_goes_with_its_sessions(bed: Bed) {
        let (doomed, other) = (bed.trigger(10).await, bed.trigger(10).await);
        let kept = bed.deliver(other, "a").await;
        bed.deliver(doomed, "a").await;
        let error = bed.queue.delete_trigger(doomed, false).await.expect_err("busy");
        assert_eq!(error.reason(), "TRIGGER_BUSY");
        let live = bed.claim(2).await.into_iter().find(|one| one.trigger.id == doomed).expect("claimed");
        for thread in ["a", "a", "b"] {
            bed.deliver(doomed, thread).await;
        }
        let (queue, id) = (bed.queue.clone(), live.run.id);
        let told = tokio::spawn(async move { queue.cancelled(id, None).await });
        let deleted = bed.queue.delete_trigger(doomed, true).await.expect("deleted");
        assert_eq!((deleted.session_ids.len(), deleted.cancelled_run_count), (2, 4));
        tokio::time::timeout(Duration::from_secs(3), told).await.expect("told").expect("ended");
        assert_eq!(bed.run(live.run.id).await.status, RunStatus::Cancelled);
        assert!(bed.finish(&live, RunEnd::Cancelled).await.is_err(), "its worker is fenced");
        let db = bed.store.read();
        assert_eq!(trigger::Entity::find().count(db).await.expect("counted"), 1);
        assert_eq!(limit::Entity::find().count(db).await.expect("counted"), 2);
        assert_eq!(session::Entity::find().count(db).await.expect("counted"), 1);
        assert_eq!(bed.session(kept.session_id.expect("a session")).await.state, "running");
        assert_eq!(bed.queue.delete_trigger(doomed, true).await.expect_err("gone").reason(), "RESOURCE_NOT_FOUND");
    }

    async fn a_deletion_that_was_cut_is_finished_at_the_next_boot(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        bed.sql("DELETE FROM triggers").await;
        bed.queue.recover(std::time::Duration::ZERO).await.expect("recovered");
        assert_eq!(session::Entity::find().count(bed.store.read()).await.expect("counted"), 0);
        assert_eq!(bed.run(asked.run_id.expect("a run")).await.status, RunStatus::Cancelled);
    }

    async fn a_summary_tells_the_last_five_in_order_and_stays_short(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let mut session = None;
        for n in 0..7 {
            session = bed.deliver(trigger, "a").await.session_id;
            let text = format!("answer {n} {}", "é".repeat(3000));
            bed.finish(&bed.claim_one().await, RunEnd::Succeeded(text)).await.expect("finished");
        }
        let summary = bed.queue.summary(session.expect("a session")).await.expect("told");
        assert!(summary.len() <= 8 * 1024, "{}", summary.len());
        let told: Vec<usize> = (0..7).filter_map(|n| summary.find(&format!("answer {n} "))).collect();
        assert_eq!(told.len(), 5);
        assert!(told.is_sorted() && summary.contains("issue · about a") && !summary.contains("answer 1 "));
    }

    async fn cancelling_with_a_reset_ends_all_runs_of_the_session(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let first = bed.deliver(trigger, "a").await;
        let session = first.session_id.expect("a session");
        bed.converse(&bed.claim_one().await).await;
        bed.deliver(trigger, "a").await;
        bed.queue.enqueue_compaction(RunId::new(), session, requester()).await.expect("queued");
        let live = bed.claim_one().await;
        bed.queue.reset_session(session, true, true, "anew").await.expect("reset");
        assert_eq!(bed.run(live.run.id).await.status, RunStatus::Cancelling);
        bed.finish(&live, RunEnd::Cancelled).await.expect("finished");
        let row = bed.session(session).await;
        assert_eq!((row.state.as_str(), row.queued_count, row.head, row.tail, row.generation), ("idle", 0, 4, 3, 2));
    }
}
