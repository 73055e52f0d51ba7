//! Watched lists over real databases. Rows are written past the server, as another one on the same database would.

use std::collections::HashSet;

use sea_orm::{ActiveModelTrait as _, ConnectionTrait as _, EntityTrait as _, IntoActiveModel as _, TransactionTrait as _};
use tempfile::TempDir;

use super::*;
use crate::domain::{DeliveryOutcome, SessionId, TriggerId};
use crate::store::entity::{limit, run};
use crate::store::{samples, scratches, writer};

struct Bed {
    store: Arc<Store>,
    changes: Changes,
    stop: CancellationToken,
    _dir: Option<TempDir>,
}

impl Bed {
    async fn all() -> Vec<Self> {
        scratches().await.into_iter().map(|(store, dir)| Self::over(store, dir, 4)).collect()
    }

    fn over(store: Arc<Store>, dir: Option<TempDir>, limit: usize) -> Self {
        let stop = CancellationToken::new();
        let (queue, _writer) = Queue::start(store.clone(), stop.clone());
        let changes = Changes::new(store.clone(), queue, limit, stop.clone());
        tokio::spawn(changes.clone().run());
        Self { store, changes, stop, _dir: dir }
    }

    async fn run(&self) -> run::Model {
        samples::put(&self.store, samples::run(SessionId::new())).await
    }

    async fn sql(&self, text: &str, id: Uuid) {
        let id = if self.store.is_postgres() { format!("'{id}'::uuid") } else { format!("x'{}'", id.simple()) };
        writer(&self.store).execute_unprepared(&text.replace('$', &id)).await.expect("changed");
    }
}

async fn next<T: Listed>(list: &mut List<T>) -> Update<T> {
    let next = tokio::time::timeout(Duration::from_secs(10), list.next()).await.expect("something is told within 10 s");
    next.expect("it goes on").expect("no error")
}

/// The next row that is told; it must be this one.
async fn row<T: Listed>(list: &mut List<T>, id: Uuid) -> Arc<T> {
    match next(list).await {
        Update::Row(row) => {
            assert_eq!(row.id(), id);
            row
        }
        other => panic!("{other:?} instead of a row"),
    }
}

async fn complete<T: Listed>(list: &mut List<T>) {
    let told = next(list).await;
    assert!(matches!(told, Update::SnapshotComplete), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_comes_oldest_first_then_what_others_write() {
    for bed in Bed::all().await {
        let (_left_out, old, new) = (bed.run().await, bed.run().await, bed.run().await);
        let mut list = bed.changes.runs(RunFilter::default(), 2).await.expect("watched");
        row(&mut list, old.id).await;
        row(&mut list, new.id).await;
        complete(&mut list).await;
        let later = bed.run().await;
        assert_eq!(row(&mut list, later.id).await.state(), RunState::Queued);
        // A journal that grows is no change of its run.
        bed.sql("UPDATE runs SET next_sequence = 7 WHERE id = $", later.id).await;
        bed.sql("UPDATE runs SET status = 'succeeded' WHERE id = $", old.id).await;
        assert_eq!(row(&mut list, old.id).await.state(), RunState::Succeeded);
        bed.sql("UPDATE runs SET cost_nano = 5 WHERE id = $", old.id).await;
        assert_eq!(row(&mut list, old.id).await.usage.cost.0, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_leaves_the_list_is_told_once_more() {
    for bed in Bed::all().await {
        let (kept, other) = (bed.run().await, bed.run().await);
        let states = vec![RunState::Queued, RunState::Waiting];
        let filter = RunFilter { states, session_id: Some(SessionId(kept.session_id)), ..RunFilter::default() };
        let mut list = bed.changes.runs(filter, 10).await.expect("watched");
        row(&mut list, kept.id).await;
        complete(&mut list).await;
        bed.sql("UPDATE runs SET status = 'running' WHERE id = $", other.id).await;
        bed.sql("UPDATE runs SET status = 'running' WHERE id = $", kept.id).await;
        assert_eq!(row(&mut list, kept.id).await.state(), RunState::Running);
        bed.sql("UPDATE runs SET status = 'succeeded' WHERE id = $", kept.id).await;
        let next_one = samples::put(&bed.store, run::Model { seq: 2, ..samples::run(SessionId(kept.session_id)) }).await;
        row(&mut list, next_one.id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_falls_behind_misses_no_end() {
    for bed in Bed::all().await {
        let mut list = bed.changes.runs(RunFilter::default(), 10).await.expect("watched");
        complete(&mut list).await;
        let mut left = HashSet::new();
        // In pieces, each seen by a look of its own, until more was told than a stream may be behind.
        let mut looks = bed.changes.inner.runs.told.subscribe();
        while left.len() < (BEHIND + 4) * BATCH {
            let rows: Vec<run::Model> = (0..BATCH).map(|_| samples::run(SessionId::new())).collect();
            left.extend(rows.iter().map(|row| row.id));
            let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
            run::Entity::insert_many(rows).exec_without_returning(writer(&bed.store)).await.expect("stored");
        }
        writer(&bed.store).execute_unprepared("UPDATE runs SET status = 'failed'").await.expect("ended");
        let mut told = 0;
        while told < left.len() {
            told += match looks.recv().await {
                Ok(batch) => batch.rows.iter().filter(|run| run.is_final()).count(),
                Err(_) => left.len(),
            };
        }
        while !left.is_empty() {
            if let Update::Row(run) = next(&mut list).await
                && run.is_final()
            {
                left.remove(&run.id.0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_transaction_commits_late_is_told_too() {
    let Some(bed) = Bed::all().await.into_iter().find(|bed| bed.store.is_postgres()) else { return };
    let (slow, fast) = (bed.run().await, bed.run().await);
    let mut list = bed.changes.runs(RunFilter::default(), 10).await.expect("watched");
    for id in [slow.id, fast.id] {
        row(&mut list, id).await;
    }
    complete(&mut list).await;
    let open = writer(&bed.store).begin().await.expect("began");
    open.execute_unprepared(&format!("UPDATE runs SET status = 'failed' WHERE id = '{}'", slow.id)).await.expect("changed");
    for status in ["running", "succeeded"] {
        bed.sql(&format!("UPDATE runs SET status = '{status}' WHERE id = $"), fast.id).await;
        row(&mut list, fast.id).await;
    }
    open.commit().await.expect("committed");
    assert_eq!(row(&mut list, slow.id).await.state(), RunState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_begins_to_wait_without_a_change_of_its_row() {
    for bed in Bed::all().await {
        let run = bed.run().await;
        let row_of_limit = limit::Model { trigger_id: run.trigger_id, cap: 1, used: 0, open: true, last_claimed_time: 0 };
        samples::put(&bed.store, row_of_limit).await;
        let mut list = bed.changes.runs(RunFilter::default(), 10).await.expect("watched");
        assert_eq!(row(&mut list, run.id).await.state(), RunState::Queued);
        complete(&mut list).await;
        bed.sql("UPDATE limits SET open = false WHERE trigger_id = $", run.trigger_id).await;
        assert_eq!(row(&mut list, run.id).await.state(), RunState::Waiting);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_watched_by_their_outcome() {
    for bed in Bed::all().await {
        let trigger = TriggerId::new();
        let filter = DeliveryFilter { trigger_id: Some(trigger), outcomes: vec![DeliveryOutcome::Queued], ..DeliveryFilter::default() };
        let mut list = bed.changes.deliveries(filter, 10).await.expect("watched");
        complete(&mut list).await;
        samples::put(&bed.store, samples::delivery(TriggerId::new(), None)).await;
        let mine = samples::put(&bed.store, samples::delivery(trigger, None)).await;
        row(&mut list, mine.id).await;
        bed.sql("UPDATE deliveries SET outcome = 'dropped' WHERE id = $", mine.id).await;
        assert_eq!(row(&mut list, mine.id).await.outcome, DeliveryOutcome::Dropped);
    }
}

#[tokio::test]
async fn there_are_so_many_streams_and_a_stop_ends_them() {
    let (store, dir) = crate::store::scratch().await;
    let bed = Bed::over(store, Some(dir), 2);
    let mut first = bed.changes.runs(RunFilter::default(), 10).await.expect("watched");
    let second = bed.changes.deliveries(DeliveryFilter::default(), 10).await.expect("watched");
    let third = bed.changes.runs(RunFilter::default(), 10).await;
    assert!(matches!(third, Err(Error::TooManyStreams { limit: 2 })));
    drop(second);
    bed.changes.runs(RunFilter::default(), 10).await.expect("its place is free again");
    complete(&mut first).await;
    bed.stop.cancel();
    assert!(matches!(first.next().await, Some(Err(Error::Draining))));
    assert!(first.next().await.is_none());
}
