//! T4, T5: leases, and what becomes of the work of a worker that lost its own.

use std::time::Duration;

use sea_orm::EntityTrait;

use super::bed::registration;
use super::on_every_database;
use crate::domain::{Error, Result, RunStatus, WorkerId};
use crate::queue::Registration;
use crate::store::entity::worker;

const LEASE: Duration = Duration::from_secs(3);

fn elsewhere(lease: Duration) -> Registration {
    Registration { place: "elsewhere".to_owned(), lease, ..registration() }
}

fn fenced(result: Result<()>) {
    assert!(matches!(result, Err(Error::Fenced)), "{result:?}");
}

on_every_database! {
    async fn a_worker_is_registered_once_and_signs_off(bed: Bed) {
        let worker = bed.worker();
        bed.queue.register_worker(worker, &registration()).await.expect("registered again");
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        bed.claim_one().await;
        let retired = bed.queue.retire_worker(worker).await.expect("retired");
        assert_eq!(retired.requeued, [asked.run_id.expect("a run")]);
        assert_eq!(bed.queue.retire_worker(worker).await.expect("retired").requeued, [], "twice is once");
        let run = bed.run(asked.run_id.expect("a run")).await;
        assert_eq!((run.status, run.attempts[0].exit.as_str()), (RunStatus::Queued, "interrupted"));
        let row = worker::Entity::find_by_id(worker.0).one(bed.store.read()).await.expect("asked").expect("there");
        assert!(row.state == "dead" && row.end_time.is_some());
        assert_eq!(bed.queue.dead_workers("here").await.expect("asked"), []);
    }

    async fn a_lease_that_is_prolonged_keeps_its_runs(bed: Bed) {
        if !bed.store.is_postgres() { continue }
        let worker = WorkerId::new();
        bed.queue.register_worker(worker, &elsewhere(LEASE)).await.expect("registered");
        let trigger = bed.trigger(10).await;
        bed.deliver(trigger, "a").await;
        let claimed = bed.queue.claim(worker, 1).await.expect("claimed").remove(0);
        for _ in 0..4 {
            tokio::time::sleep(LEASE / 3).await;
            bed.queue.heartbeat(worker, LEASE).await.expect("in time");
            assert_eq!(bed.queue.reap(Duration::ZERO).await.expect("looked"), None);
        }
        assert_eq!(bed.queue.leases_of(worker).await.expect("asked"), [claimed.lease]);
        bed.succeed(&claimed).await;
    }

    async fn a_lease_that_ended_is_over_for_good(bed: Bed) {
        if !bed.store.is_postgres() { continue }
        let worker = WorkerId::new();
        bed.queue.register_worker(worker, &elsewhere(LEASE)).await.expect("registered");
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        let zombie = bed.queue.claim(worker, 1).await.expect("claimed").remove(0);
        tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
        assert_eq!(bed.queue.reap(Duration::from_secs(600)).await.expect("looked"), None, "within the grace nobody takes over");
        fenced(bed.queue.heartbeat(worker, LEASE).await);
        // Of several that look at once, one takes over.
        let (one, other) = tokio::join!(bed.queue.reap(Duration::ZERO), bed.queue.reap(Duration::ZERO));
        let taken: Vec<_> = [one, other].into_iter().filter_map(|reaped| reaped.expect("looked")).collect();
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert_eq!((taken[0].0, taken[0].1.requeued.clone()), (worker, vec![asked.run_id.expect("a run")]));
        fenced(bed.queue.heartbeat(worker, LEASE).await);
        fenced(bed.queue.interrupt(&zombie.lease).await);
        let again = bed.claim_one().await;
        assert_eq!((again.run.id, again.lease.attempt), (zombie.run.id, 2));
        bed.succeed(&again).await;
    }

    async fn a_lost_lease_is_no_crash_of_the_run(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let asked = bed.deliver(trigger, "a").await;
        for _ in 0..5 {
            bed.claim_one().await;
            bed.queue.retire_worker(bed.worker()).await.expect("retired");
            bed.renew().await;
        }
        assert_eq!(bed.run(asked.run_id.expect("a run")).await.status, RunStatus::Queued, "never poisoned");
    }

    async fn a_cancel_is_found_in_the_rows(bed: Bed) {
        let trigger = bed.trigger(10).await;
        let (cancelled, other) = (bed.deliver(trigger, "a").await, bed.deliver(trigger, "b").await);
        let claimed = bed.claim(2).await;
        let id = cancelled.run_id.expect("a run");
        bed.sql(&format!("UPDATE runs SET cancel_requested = TRUE, status = 'cancelling' WHERE id = {}", bed.literal(id.0))).await;
        let (queue, waiting) = (bed.queue.clone(), tokio::spawn({ let queue = bed.queue.clone(); async move { queue.cancelled(id, None).await } }));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let held = queue.look_for_cancels(bed.worker()).await.expect("looked");
        assert_eq!(held, claimed.iter().map(|one| one.lease.id).collect());
        tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("told").expect("ended");
        let other = other.run_id.expect("a run");
        assert!(tokio::time::timeout(Duration::from_millis(50), queue.cancelled(other, None)).await.is_err(), "only that one");
        bed.queue.retire_worker(bed.worker()).await.expect("retired");
        assert!(queue.look_for_cancels(bed.worker()).await.expect("looked").is_empty(), "what is not ours any more is over");
    }
}
