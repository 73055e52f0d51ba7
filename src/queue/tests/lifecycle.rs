//! T3, T5, T6: ends, interruptions, cancels.

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::bed::{finish, requester};
use super::on_every_database;
use crate::domain::{
    CostBasis, EntryKind, FailureReason, JournalEntry, Lineage, NanoUsd, OnInterrupt, PromptKind, RetryPolicy, RunId, RunKind, RunState,
    RunStatus, SessionMode, SessionOrigin, Usage,
};
use crate::queue::{ConversationStart, ConversationUpdate, CustodyFile, Finish, Manifest, RunEnd, SpawnUsage, TranscriptPart};
use crate::store::entity::journal_chunk;
use crate::store::journal_chunks::take_sequences;
use crate::store::{Store, chunk};

async fn journal(store: &Store, run: RunId) -> Vec<JournalEntry> {
    let chunks = journal_chunk::Entity::find()
        .filter(journal_chunk::Column::RunId.eq(run.0))
        .order_by_asc(journal_chunk::Column::FirstSequence)
        .all(store.read())
        .await
        .expect("read");
    chunks.iter().flat_map(|row| chunk::decode(&row.body).expect("reads")).collect()
}

fn part(generation: i32, rewrite: i32, number: i32) -> TranscriptPart {
    TranscriptPart {
        generation,
        rewrite,
        path: "a.jsonl".to_owned(),
        part: number,
        byte_from: 0,
        byte_to: 3,
        sha256: "x".to_owned(),
        body_zstd: vec![1, 2, 3],
    }
}

fn manifest(rewrite: i32) -> Manifest {
    Manifest { rewrite, files: vec![CustodyFile { path: "a.jsonl".to_owned(), bytes: 3, sha256: "x".to_owned(), parts: 1, rewrite }] }
}

on_every_database! {
    async fn an_end_is_written_once_with_its_outcome(bed: Bed) {
        let trigger = bed.trigger(10).await;
        bed.deliver(trigger, "a").await;
        let claimed = bed.claim_one().await;
        let usage = Usage { input_tokens: 5, cost: NanoUsd(7), cost_basis: CostBasis::Metered, ..Usage::default() };
        let spawn = SpawnUsage { usage, by_model: vec![("m".to_owned(), usage)], agent_total_cost: Some(NanoUsd(7)), context_tokens: 9, context_window_tokens: 100 };
        bed.queue.agent_up(&claimed.lease, "m", "2", "s").await.expect("up");
        // Again, as when the answer to the first try was lost: each counts once.
        for nth in [1, 1, 2, 2] {
            bed.queue.add_usage(&claimed.lease, nth, spawn.clone()).await.expect("added");
        }
        assert_eq!(bed.run(claimed.run.id).await.status, RunStatus::Running);
        bed.succeed(&claimed).await;
        let run = bed.run(claimed.run.id).await;
        assert_eq!((run.status, run.result_text.as_str(), run.usage.cost, run.usage.cost_basis), (RunStatus::Succeeded, "done", NanoUsd(14), CostBasis::Metered));
        assert_eq!((run.by_model[0].1.input_tokens, run.attempts[0].usage.input_tokens, run.attempts[0].exit.as_str()), (10, 10, "succeeded"));
        assert_eq!(bed.session(claimed.session.id).await.cost_nano, 14);
        let entries = journal(&bed.store, run.id).await;
        assert!(matches!(&entries[..], [JournalEntry { sequence: 1, kind: EntryKind::Outcome { state: RunState::Succeeded, .. }, .. }]), "{entries:?}");
        assert_eq!(bed.finish(&claimed, RunEnd::Cancelled).await.expect_err("fenced").to_string(), "the lease is not current any more");
    }

    async fn a_write_counts_only_under_the_current_lease(bed: Bed) {
        let trigger = bed.trigger(10).await;
        bed.deliver(trigger, "a").await;
        let zombie = bed.claim_one().await;
        let recovered = bed.reboot().await;
        assert_eq!((recovered.requeued, recovered.ended), (vec![zombie.run.id], vec![]));
        let lease = &zombie.lease;
        let fenced = |result: crate::domain::Result<()>| assert!(matches!(result, Err(crate::domain::Error::Fenced)), "{result:?}");
        fenced(bed.finish(&zombie, RunEnd::Cancelled).await);
        fenced(bed.queue.interrupt(lease).await);
        fenced(bed.queue.agent_up(lease, "m", "2", "s").await);
        fenced(bed.queue.begin_turn(lease, None, None, PromptKind::First, "p", Lineage::Fresh, None).await);
        fenced(bed.queue.save_part(lease, part(1, 1, 0)).await);
        fenced(bed.queue.checkpoint(lease, 1, &manifest(1)).await);
        let tx = bed.store.begin().await.expect("begun");
        assert_eq!(take_sequences(&tx, lease.run_id, lease.id, 1, None).await.expect("asked"), None);
        tx.rollback().await.expect("rolled back");
        let again = bed.claim_one().await;
        assert_eq!((again.run.id, again.lease.attempt, again.earlier.len()), (zombie.run.id, 2, 1));
        assert_eq!(again.earlier[0].exit, "interrupted");
        bed.succeed(&again).await;
        let last = journal(&bed.store, again.run.id).await.pop().expect("entries");
        assert!(matches!((last.sequence, last.attempt, last.kind), (2, 2, EntryKind::Outcome { .. })));
    }

    async fn a_run_that_kills_its_server_ends_poisoned(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        bed.deliver(trigger, "a").await;
        for left in [1, 1, 0] {
            bed.claim_one().await;
            assert_eq!(bed.reboot().await.requeued.len(), left);
        }
        let run = bed.run(asked.run_id.expect("a run")).await;
        assert_eq!(run.failure.map(|failure| failure.reason), Some(FailureReason::Poisoned));
        assert_eq!(bed.claim_one().await.run.seq, 2, "the session goes on");
    }

    async fn the_policy_of_an_interruption_is_kept(bed: Bed) {
        let never = bed.trigger_with(10, RetryPolicy { on_interrupt: OnInterrupt::Never, max_attempts: 3 }).await;
        let asked = bed.deliver(never, "a").await;
        bed.claim_one().await;
        assert_eq!(bed.reboot().await.ended, [asked.run_id.expect("a run")]);
        assert_eq!(bed.run(asked.run_id.expect("a run")).await.failure.expect("failed").reason, FailureReason::WorkerLost);
        let restart = bed.trigger_with(10, RetryPolicy { on_interrupt: OnInterrupt::Restart, max_attempts: 3 }).await;
        bed.deliver(restart, "a").await;
        bed.queue.interrupt(&bed.claim_one().await.lease).await.expect("interrupted");
        let again = bed.claim_one().await;
        assert_eq!((again.session_mode, again.lease.attempt), (SessionMode::Fresh, 2));
        for _ in 0..4 {
            bed.queue.interrupt(&again.lease).await.ok();
        }
        assert_eq!(bed.run(again.run.id).await.status, RunStatus::Queued, "stops in order poison nothing");
    }

    async fn what_was_interrupted_goes_on_before_what_came_after_it(bed: Bed) {
        let trigger = bed.trigger(1).await;
        let (first, second) = (bed.deliver(trigger, "a").await, bed.deliver(trigger, "b").await);
        let claimed = bed.claim_one().await;
        assert_eq!(Some(claimed.run.id), first.run_id);
        bed.reboot().await;
        let claimed = bed.claim_one().await;
        assert_eq!(Some(claimed.run.id), first.run_id, "its server died");
        bed.queue.interrupt(&claimed.lease).await.expect("interrupted");
        let claimed = bed.claim_one().await;
        assert_eq!(Some(claimed.run.id), first.run_id, "its server stopped");
        bed.succeed(&claimed).await;
        assert_eq!(Some(bed.claim_one().await.run.id), second.run_id);
    }

    async fn a_cancel_ends_what_waits_and_asks_what_lives(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let (live, next, last) = (bed.deliver(trigger, "a").await, bed.deliver(trigger, "a").await, bed.deliver(trigger, "a").await);
        let claimed = bed.claim_one().await;
        let cancelled = bed.queue.request_cancel(next.run_id.expect("a run"), "no").await.expect("cancelled");
        assert_eq!(cancelled.status, RunStatus::Cancelled);
        assert!(matches!(journal(&bed.store, cancelled.id).await[..], [JournalEntry { kind: EntryKind::Outcome { state: RunState::Cancelled, .. }, .. }]));
        let (queue, id) = (bed.queue.clone(), live.run_id.expect("a run"));
        let waiter = tokio::spawn(async move { queue.cancelled(id, None).await });
        tokio::task::yield_now().await;
        assert_eq!(bed.queue.request_cancel(id, "stop").await.expect("asked").status, RunStatus::Cancelling);
        tokio::time::timeout(Duration::from_millis(900), waiter).await.expect("told before the next look").expect("ended");
        bed.queue.agent_up(&claimed.lease, "m", "2", "s").await.expect("up too late");
        assert_eq!(bed.run(id).await.status, RunStatus::Cancelling);
        bed.finish(&claimed, RunEnd::Cancelled).await.expect("finished");
        assert_eq!(bed.queue.request_cancel(id, "again").await.expect("unchanged").status, RunStatus::Cancelled);
        let claimed = bed.claim_one().await;
        assert_eq!(Some(claimed.run.id), last.run_id, "past the one that was cancelled");
    }

    async fn a_cancelled_head_makes_room(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let (first, second) = (bed.deliver(trigger, "a").await, bed.deliver(trigger, "a").await);
        bed.queue.request_cancel(first.run_id.expect("a run"), "").await.expect("cancelled");
        assert_eq!(Some(bed.claim_one().await.run.id), second.run_id);
        let dying = bed.deliver(trigger, "b").await;
        let claimed = bed.claim_one().await;
        bed.queue.request_cancel(dying.run_id.expect("a run"), "").await.expect("asked");
        let recovered = bed.reboot().await;
        assert!(recovered.ended.contains(&claimed.run.id), "a cancel that its server could not carry out");
        assert_eq!(bed.run(claimed.run.id).await.status, RunStatus::Cancelled);
    }

    async fn custody_counts_from_its_manifest_on(bed: Bed) {
        let trigger = bed.trigger(10).await;
        bed.deliver(trigger, "a").await;
        let claimed = bed.claim_one().await;
        let id = uuid::Uuid::now_v7();
        let start = ConversationStart { generation: 1, agent_session_id: id, origin: SessionOrigin::First, fingerprint: "f".to_owned() };
        bed.queue.begin_turn(&claimed.lease, None, Some(start), PromptKind::First, "p", Lineage::Fresh, None).await.expect("started");
        for rewrite in [1, 2] {
            bed.queue.save_part(&claimed.lease, part(1, rewrite, 0)).await.expect("saved");
            bed.queue.save_part(&claimed.lease, part(1, rewrite, 0)).await.expect("saved again");
        }
        let read = async |rewrite| bed.queue.read_part(claimed.session.id, 1, rewrite, "a.jsonl", 0).await.expect("asked").is_some();
        bed.queue.checkpoint(&claimed.lease, 1, &manifest(2)).await.expect("kept");
        assert!(!read(1).await && read(2).await, "what no manifest names is gone");
        bed.queue.save_part(&claimed.lease, part(1, 3, 0)).await.expect("saved");
        let update = ConversationUpdate { generation: 1, agent_session_id: id, turns: 1, compacted: false, manifest: Some(manifest(3)), cache_share: Some(0.5) };
        let end = Finish { conversation: Some(update), ..finish(RunEnd::Succeeded(String::new())) };
        bed.queue.finish(&claimed.lease, end).await.expect("finished");
        let session = bed.session(claimed.session.id).await;
        assert_eq!((session.transcript_bytes, session.turn_count, session.agent_session_id, session.last_cache_share), (3, 1, Some(id), Some(0.5)));
        bed.deliver(trigger, "a").await;
        let next = bed.claim_one().await;
        assert_eq!((next.manifest.clone(), next.session.agent_session_id, next.run.turn), (manifest(3), Some(id), 2));
        assert!(!read(2).await && read(3).await);
    }

    async fn a_reset_under_a_live_run_keeps_the_new_start(bed: Bed) {
        let trigger = bed.trigger(10).await;
        bed.deliver(trigger, "a").await;
        bed.converse(&bed.claim_one().await).await;
        bed.deliver(trigger, "a").await;
        let claimed = bed.claim_one().await;
        let reset = bed.queue.reset_session(claimed.session.id, false, true, "anew").await.expect("reset");
        assert_eq!((reset.generation, reset.agent_session_id, reset.origin, reset.conversations.len()), (2, None, SessionOrigin::Reset, 1));
        let update = ConversationUpdate { generation: 1, agent_session_id: uuid::Uuid::now_v7(), turns: 1, compacted: false, manifest: None, cache_share: None };
        bed.queue.finish(&claimed.lease, Finish { conversation: Some(update), ..finish(RunEnd::Succeeded(String::new())) }).await.expect("finished");
        let session = bed.session(claimed.session.id).await;
        assert_eq!((session.generation, session.agent_session_id, session.turn_count), (2, None, 0));
        assert_eq!(bed.queue.reset_session(claimed.session.id, false, false, "").await.expect("reset").generation, 2, "twice is once");
    }

    async fn a_retry_has_the_same_prompt_and_deliveries(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        let claimed = bed.claim_one().await;
        let error = bed.queue.enqueue_retry(RunId::new(), claimed.run.id, SessionMode::Default, requester()).await.expect_err("live");
        assert_eq!(error.reason(), "RUN_NOT_FINISHED");
        bed.queue.begin_turn(&claimed.lease, None, None, PromptKind::First, "the prompt", Lineage::Fresh, None).await.expect("kept");
        bed.queue.begin_turn(&claimed.lease, None, None, PromptKind::Retry, "go on", Lineage::Continued, None).await.expect("kept");
        bed.fail(&claimed).await;
        let impossible = bed.queue.enqueue_retry(RunId::new(), claimed.run.id, SessionMode::Resume, requester()).await.expect_err("nothing to resume");
        assert_eq!(impossible.reason(), "SESSION_MODE_IMPOSSIBLE");
        let retry = bed.queue.enqueue_retry(RunId::new(), claimed.run.id, SessionMode::Default, requester()).await.expect("queued");
        assert_eq!((retry.retry_of, retry.delivery_ids.clone()), (Some(claimed.run.id), vec![asked.delivery_id]));
        let again = bed.claim_one().await;
        assert_eq!((again.run.id, again.prompt_override.as_deref()), (retry.id, Some("the prompt")));
    }

    async fn a_compaction_needs_a_conversation(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        let session = asked.session_id.expect("a session");
        assert_eq!(bed.queue.enqueue_compaction(RunId::new(), session, requester()).await.expect_err("empty").reason(), "SESSION_EMPTY");
        bed.converse(&bed.claim_one().await).await;
        let run = bed.queue.enqueue_compaction(RunId::new(), session, requester()).await.expect("queued");
        let claimed = bed.claim_one().await;
        assert_eq!((claimed.run.id, claimed.run.kind, claimed.deliveries.len()), (run.id, RunKind::Compaction, 0));
    }
}
