//! T1.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::bed::{asking, coalesce, delivery, named};
use super::on_every_database;
use crate::domain::{BusyPolicy, DeliveryOutcome as Outcome, DeliveryReason as Reason, RunState, SessionMode, UnixMicros, WaitReason};
use crate::queue::{DedupeKey, Disposition};
use crate::store::entity::{delivery as deliveries, run};
use crate::store::rows::delivery_of;

on_every_database! {
    async fn a_thread_finds_its_session_and_no_thread_has_its_own(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let (first, second) = (bed.deliver(trigger, "a").await, bed.deliver(trigger, "a").await);
        let (alone, too) = (bed.deliver(trigger, "").await, bed.deliver(trigger, "").await);
        assert_eq!(first.outcome, Outcome::Queued);
        assert_eq!(first.session_id, second.session_id);
        assert_ne!(first.run_id, second.run_id);
        assert_ne!(alone.session_id, too.session_id);
        let session = bed.session(first.session_id.expect("a session")).await;
        assert_eq!((session.head, session.tail, session.queued_count, session.title.as_str()), (1, 2, 2, "about a"));
        let run = bed.run(second.run_id.expect("a run")).await;
        assert_eq!((run.seq, run.queue_position, run.delivery_ids, run.last_sequence), (2, 1, vec![second.delivery_id], 0));
    }

    async fn the_same_delivery_runs_once_and_is_listed_twenty_times(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let first = bed.accept(named(delivery(trigger, "a"), 1)).await.expect("accepted");
        for _ in 0..25 {
            let again = bed.accept(named(delivery(trigger, "a"), 1)).await.expect("accepted");
            assert_eq!((again.outcome, again.reason, again.run_id, again.duplicate_of), (Outcome::Duplicate, Some(Reason::SameDeliveryId), first.run_id, Some(first.delivery_id)));
        }
        let rows = deliveries::Entity::find().filter(deliveries::Column::DuplicateOf.eq(first.delivery_id.0)).count(bed.store.read()).await.expect("counted");
        assert_eq!(rows, 20);
        let original = deliveries::Entity::find_by_id(first.delivery_id.0).one(bed.store.read()).await.expect("asked").expect("there");
        assert_eq!(delivery_of(original).expect("reads").uncounted_duplicates, 5);
        let other = bed.trigger(10).await;
        assert_eq!(bed.accept(named(delivery(other, "a"), 1)).await.expect("accepted").outcome, Outcome::Queued, "another trigger's");
    }

    async fn a_failed_one_may_be_delivered_again_and_a_cancelled_one_not(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let first = bed.accept(named(delivery(trigger, "a"), 1)).await.expect("accepted");
        bed.fail(&bed.claim_one().await).await;
        let again = bed.accept(named(delivery(trigger, "a"), 1)).await.expect("accepted");
        assert_eq!(again.outcome, Outcome::Queued);
        assert_ne!(again.run_id, first.run_id);
        let row = deliveries::Entity::find_by_id(again.delivery_id.0).one(bed.store.read()).await.expect("asked").expect("there");
        assert_eq!(row.redelivery_of, Some(first.delivery_id.0));
        bed.queue.request_cancel(again.run_id.expect("a run"), "no").await.expect("cancelled");
        let third = bed.accept(named(delivery(trigger, "a"), 1)).await.expect("accepted");
        assert_eq!((third.outcome, third.duplicate_of), (Outcome::Duplicate, Some(again.delivery_id)));
    }

    async fn a_body_is_the_same_only_within_its_window(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let body = |ago: u64| {
            let mut one = delivery(trigger, "a");
            one.dedupe = Some(DedupeKey { key: [9; 16], window: Some(Duration::from_secs(600)) });
            one.receive_time = UnixMicros::now().minus(Duration::from_secs(ago));
            one
        };
        bed.accept(body(1000)).await.expect("accepted");
        assert_eq!(bed.accept(body(500)).await.expect("accepted").reason, Some(Reason::SameBody));
        let later = bed.accept(body(0)).await.expect("accepted");
        assert_eq!(later.outcome, Outcome::Queued);
        assert_eq!(bed.accept(body(0)).await.expect("accepted").duplicate_of, Some(later.delivery_id));
    }

    async fn a_rule_that_failed_may_be_tried_again(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let mut broken = named(delivery(trigger, "a"), 3);
        broken.disposition = Disposition::Stop { outcome: Outcome::Rejected, reason: Reason::FilterFailed, message: "no such field".to_owned() };
        let first = bed.accept(broken).await.expect("accepted");
        assert_eq!((first.outcome, first.run_id), (Outcome::Rejected, None));
        let again = bed.accept(named(delivery(trigger, "a"), 3)).await.expect("accepted");
        assert_eq!(again.outcome, Outcome::Queued);
    }

    async fn a_burst_becomes_one_run(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let burst = || asking(delivery(trigger, "a"), |request| request.busy = coalesce(60_000, 3));
        let first = bed.accept(burst()).await.expect("accepted");
        let run = bed.run(first.run_id.expect("a run")).await;
        assert_eq!(run.wait.map(|wait| wait.reason), Some(WaitReason::QuietPeriod));
        assert!(bed.claim(5).await.is_empty(), "it waits for quiet");
        assert!(bed.queue.next_due().await.expect("asked").is_some());
        let second = bed.accept(burst()).await.expect("accepted");
        assert_eq!((second.outcome, second.run_id), (Outcome::Coalesced, first.run_id));
        let third = bed.accept(burst()).await.expect("accepted");
        assert_eq!(third.run_id, first.run_id);
        let fourth = bed.accept(burst()).await.expect("accepted");
        assert_ne!(fourth.run_id, first.run_id, "a full run takes no more");
        let claimed = bed.claim_one().await;
        assert_eq!(claimed.run.delivery_ids, [first.delivery_id, second.delivery_id, third.delivery_id]);
        assert_eq!(claimed.deliveries[2].payload.body, br#"{"n":1}"#);
        let fifth = bed.accept(burst()).await.expect("accepted");
        assert_eq!((fifth.outcome, fifth.run_id), (Outcome::Coalesced, fourth.run_id), "behind a live run it joins the one that waits");
    }

    async fn a_prompt_that_was_given_is_never_joined(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let given = asking(delivery(trigger, "a"), |request| {
            request.busy = coalesce(60_000, 9);
            request.prompt_override = Some("say hi".to_owned());
        });
        let first = bed.accept(given).await.expect("accepted");
        let second = bed.accept(asking(delivery(trigger, "a"), |request| request.busy = coalesce(60_000, 9))).await.expect("accepted");
        assert_ne!(first.run_id, second.run_id);
        assert_eq!(bed.claim_one().await.prompt_override.as_deref(), Some("say hi"));
    }

    async fn a_busy_thread_drops_when_told_to(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let drop = || asking(delivery(trigger, "a"), |request| request.busy = BusyPolicy::Drop);
        bed.accept(drop()).await.expect("accepted");
        let second = bed.accept(drop()).await.expect("accepted");
        assert_eq!((second.outcome, second.reason, second.run_id), (Outcome::Dropped, Some(Reason::SessionBusy), None));
        let claimed = bed.claim_one().await;
        assert_eq!(bed.accept(drop()).await.expect("accepted").outcome, Outcome::Dropped);
        bed.succeed(&claimed).await;
        assert_eq!(bed.accept(drop()).await.expect("accepted").outcome, Outcome::Queued);
    }

    async fn what_may_not_start_only_continues(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let comment = || asking(delivery(trigger, "a"), |request| request.may_start = false);
        assert_eq!(bed.accept(comment()).await.expect("accepted").reason, Some(Reason::NoSessionToContinue));
        bed.deliver(trigger, "a").await;
        assert_eq!(bed.accept(comment()).await.expect("accepted").outcome, Outcome::Queued, "a run that waits will be there to continue");
        bed.converse(&bed.claim_one().await).await;
        bed.succeed(&bed.claim_one().await).await;
        assert_eq!(bed.accept(comment()).await.expect("accepted").outcome, Outcome::Queued);
        bed.succeed(&bed.claim_one().await).await;
        bed.sql("UPDATE sessions SET last_use_time = 0").await;
        assert_eq!(bed.accept(comment()).await.expect("accepted").reason, Some(Reason::NoSessionToContinue), "an expired one is not continued");
        let resume = asking(delivery(trigger, "new"), |request| request.session_mode = SessionMode::Resume);
        assert_eq!(bed.accept(resume).await.expect_err("impossible").reason(), "SESSION_MODE_IMPOSSIBLE");
    }

    async fn the_loop_breaker_lets_a_session_start_so_many_an_hour(bed: Bed) {
        let trigger = bed.trigger(100).await;
        let looping = || asking(delivery(trigger, "a"), |request| request.runs_per_session_per_hour = 3);
        for _ in 0..3 {
            bed.accept(looping()).await.expect("accepted");
            bed.succeed(&bed.claim_one().await).await;
        }
        let stopped = bed.accept(looping()).await.expect("accepted");
        assert!(bed.claim(5).await.is_empty());
        let run = bed.run(stopped.run_id.expect("a run")).await;
        let wait = run.wait.clone().expect("it waits");
        let until = wait.until.expect("a time").since(UnixMicros::now());
        assert_eq!((run.state(), wait.reason), (RunState::Waiting, WaitReason::Breaker));
        assert!((Duration::from_secs(3590)..=Duration::from_secs(3600)).contains(&until), "{until:?}");
        bed.sql("UPDATE runs SET start_time = start_time - 3600000000 WHERE start_time IS NOT NULL").await;
        let other = bed.accept(asking(delivery(trigger, "b"), |request| request.runs_per_session_per_hour = 3)).await.expect("accepted");
        assert_eq!(bed.claim_one().await.run.id, other.run_id.expect("a run"), "other sessions are not held");
    }

    async fn a_full_queue_refuses_only_what_would_wait(bed: Bed) {
        let trigger = bed.trigger(10).await;
        bed.sql("INSERT INTO settings (name, value, version, update_time) VALUES ('settings', '{\"limits\":{\"max_queued_per_session\":2}}', 2, 0)").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        bed.deliver(trigger, "a").await;
        bed.deliver(trigger, "a").await;
        let error = bed.accept(delivery(trigger, "a")).await.expect_err("full");
        assert_eq!((error.reason(), error.metadata()[0].1.as_str()), ("QUEUE_FULL", "session"));
        assert_eq!(bed.deliver(trigger, "b").await.outcome, Outcome::Queued);
        let rows = deliveries::Entity::find().count(bed.store.read()).await.expect("counted");
        assert_eq!(rows, 3, "what was refused is not stored");
    }

    async fn many_at_once_keep_their_order_and_their_ids(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let senders = (0..8_u8).map(|sender| {
            let bed = bed.clone();
            tokio::spawn(async move {
                for n in 0..25_u8 {
                    let number = sender.wrapping_mul(25).wrapping_add(n);
                    let thread = format!("t{}", number % 20);
                    let one = named(delivery(trigger, &thread), number);
                    let (a, b) = tokio::join!(bed.accept(one.clone()), bed.accept(crate::queue::NewDelivery { id: crate::domain::DeliveryId::new(), ..one }));
                    let outcomes: BTreeSet<_> = [a.expect("accepted").outcome, b.expect("accepted").outcome].into();
                    assert_eq!(outcomes, [Outcome::Queued, Outcome::Duplicate].into());
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.expect("sent");
        }
        let mut orders: BTreeMap<uuid::Uuid, Vec<i64>> = BTreeMap::new();
        for row in run::Entity::find().order_by_asc(run::Column::Seq).all(bed.store.read()).await.expect("read") {
            orders.entry(row.session_id).or_default().push(row.seq);
        }
        assert_eq!(orders.len(), 20);
        assert!(orders.values().all(|seqs| *seqs == (1..=10).collect::<Vec<i64>>()), "{orders:?}");
    }

    async fn a_body_that_cannot_be_read_holds_nobody_up(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let mut broken = delivery(trigger, "a");
        broken.body_zstd = Some(vec![1, 2, 3]);
        bed.accept(broken).await.expect("accepted");
        bed.deliver(trigger, "b").await;
        let claimed = bed.claim(5).await;
        let bodies: BTreeSet<usize> = claimed.iter().map(|one| one.deliveries[0].payload.body.len()).collect();
        assert_eq!(bodies, [0, 7].into());
    }

    async fn a_trigger_that_is_gone_takes_nothing(bed: Bed) {
        let error = bed.accept(delivery(crate::domain::TriggerId::new(), "a")).await.expect_err("refused");
        assert_eq!(error.reason(), "RESOURCE_NOT_FOUND");
    }
}
