//! T2.

use std::collections::{BTreeMap, BTreeSet};

use super::bed::{asking, delivery};
use super::on_every_database;
use crate::domain::{RunState, RunStatus, WaitReason};

on_every_database! {
    async fn one_live_run_per_session_in_order(bed: Bed) {
        let trigger = bed.trigger(100).await;
        let mut asked = Vec::new();
        for n in 0..12 {
            asked.push(bed.deliver(trigger, ["a", "b", "c"][n % 3]).await);
        }
        let mut order: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for _ in 0..4 {
            let claimed = bed.claim(10).await;
            assert_eq!(claimed.len(), 3, "one of each session");
            assert!(bed.claim(10).await.is_empty(), "none twice");
            for one in claimed {
                order.entry(one.session.id).or_default().push(one.run.seq);
                assert_eq!((one.lease.attempt, one.trigger.version), (1, 7));
                assert_eq!(bed.run(one.run.id).await.status, RunStatus::Starting);
                bed.succeed(&one).await;
            }
        }
        assert!(order.values().all(|seqs| *seqs == [1, 2, 3, 4]), "{order:?}");
        assert!(bed.claim(10).await.is_empty());
    }

    async fn caps_hold_and_say_so(bed: Bed) {
        let (first, second) = (bed.trigger(2).await, bed.trigger(100).await);
        for n in 0..5 {
            bed.deliver(first, &format!("f{n}")).await;
            bed.deliver(second, &format!("s{n}")).await;
        }
        bed.cap(None, 4).await;
        let claimed = bed.claim(10).await;
        assert_eq!(claimed.len(), 4, "the cap of all");
        assert_eq!(claimed.iter().filter(|one| one.trigger.id == first).count(), 2, "the trigger's cap");
        assert!(bed.claim(10).await.is_empty());
        let waiting = bed.deliver(first, "f9").await;
        let wait = bed.run(waiting.run_id.expect("a run")).await.wait.expect("it waits");
        assert_eq!(wait.reason, WaitReason::RunCap);
        bed.cap(None, 1).await;
        bed.succeed(&claimed[0]).await;
        assert!(bed.claim(10).await.is_empty(), "a cap below what is live stops claims");
        bed.cap(None, 100).await;
        assert_eq!(bed.claim(10).await.iter().filter(|one| one.trigger.id == second).count(), 3);
    }

    async fn a_quiet_trigger_is_not_behind_a_loud_one(bed: Bed) {
        let (loud, quiet) = (bed.trigger(10_000).await, bed.trigger(10_000).await);
        let many = (0..1000).map(|n| bed.accept(delivery(loud, &format!("l{n}"))));
        for accepted in futures::future::join_all(many).await {
            accepted.expect("accepted");
        }
        let asked = bed.deliver(quiet, "q").await;
        let claimed = bed.claim(4).await;
        assert_eq!(claimed.len(), 4);
        assert!(claimed.iter().any(|one| Some(one.run.id) == asked.run_id), "its turn comes at once");
        bed.deliver(quiet, "r").await;
        let next = bed.claim_one().await;
        assert!(next.trigger.id == loud || next.trigger.id == quiet);
        bed.deliver(quiet, "s").await;
        let two: BTreeSet<_> = [bed.claim_one().await.trigger.id, bed.claim_one().await.trigger.id].into();
        assert_eq!(two, [loud, quiet].into(), "one by one, triggers take turns");
    }

    async fn a_closed_trigger_waits(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        bed.sql("UPDATE limits SET open = FALSE WHERE used = 0 AND cap = 10").await;
        assert!(bed.claim(10).await.is_empty());
        let run = bed.run(asked.run_id.expect("a run")).await;
        assert_eq!((run.state(), run.wait.map(|wait| wait.reason)), (RunState::Waiting, Some(WaitReason::TriggerDisabled)));
        assert_eq!(bed.queue.next_due().await.expect("asked"), None);
        bed.sql("UPDATE limits SET open = TRUE").await;
        assert_eq!(bed.claim(10).await.len(), 1);
    }

    async fn everything_runs_once_under_many_claimers(bed: Bed) {
        let trigger = bed.trigger(7).await;
        let many = (0..200).map(|n| bed.accept(delivery(trigger, &format!("t{}", n % 20))));
        for accepted in futures::future::join_all(many).await {
            accepted.expect("accepted");
        }
        let claimers = (0..6).map(|_| {
            let bed = bed.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                let mut empty = 0;
                while empty < 50 {
                    let claimed = bed.claim(3).await;
                    assert!(claimed.len() <= 3);
                    if claimed.is_empty() {
                        empty += 1;
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                    for one in claimed {
                        empty = 0;
                        done.push((one.session.id, one.run.seq));
                        bed.succeed(&one).await;
                    }
                }
                done
            })
        });
        let mut all = Vec::new();
        for claimer in claimers.collect::<Vec<_>>() {
            all.extend(claimer.await.expect("claimed"));
        }
        assert_eq!(all.len(), 200);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 200, "none twice");
    }

    async fn a_hint_comes_with_each_run(bed: Bed) {
        let trigger = bed.trigger(10).await;
        assert!(bed.claim(1).await.is_empty());
        let queue = bed.queue.clone();
        // A hint that nobody waited for is kept: what came between the claim and the wait is not missed.
        bed.accept(asking(delivery(trigger, "a"), |_| {})).await.expect("accepted");
        tokio::time::timeout(std::time::Duration::from_secs(5), queue.work()).await.expect("a hint");
        assert_eq!(bed.claim(1).await.len(), 1);
    }
}

on_every_database! {
    async fn a_webhook_that_finds_a_free_place_is_claimed_with_its_commit(bed: Bed) {
        let trigger = bed.trigger(100).await;
        bed.queue.offer(bed.worker(), 2);
        for thread in ["a", "b", "c"] {
            bed.deliver(trigger, thread).await;
        }
        let (arrived, free) = bed.queue.collect(5).await;
        let arrived = arrived.expect("read");
        if bed.store.is_postgres() {
            assert_eq!((arrived.len(), free), (0, 5), "claims of their own there");
        } else {
            // A place is offered again only when the worker has looked.
            assert_eq!((arrived.len(), free), (1, 4));
            assert_eq!(arrived[0].run.thread_key.as_deref(), Some("a"));
            assert_eq!(arrived[0].deliveries.len(), 1, "with what it answers");
            assert_eq!(bed.run(arrived[0].run.id).await.status, RunStatus::Starting);
        }
        assert_eq!(arrived.len() + bed.claim(free).await.len(), 3, "none is left, none comes twice");
        assert!(!bed.queue.is_held());
        bed.deliver(trigger, "d").await;
        let (arrived, free) = bed.queue.collect(5).await;
        assert_eq!((arrived.expect("read").len(), free), (0, 5), "nothing is claimed that was not offered");
    }

    async fn what_is_not_claimed_is_offered_on(bed: Bed) {
        let trigger = bed.trigger(100).await;
        bed.queue.offer(bed.worker(), 1);
        let quiet = asking(delivery(trigger, "a"), |request| request.busy = super::bed::coalesce(60_000, 50));
        bed.accept(quiet).await.expect("accepted");
        let due = bed.deliver(trigger, "b").await;
        if !bed.store.is_postgres() {
            assert!(bed.queue.is_held());
            let (arrived, _) = bed.queue.collect(1).await;
            assert_eq!(arrived.expect("read").first().map(|one| one.run.id), due.run_id);
        }
    }
}
