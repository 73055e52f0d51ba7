//! Tests of the journal: what a reader may rely on.

use std::time::Duration;

use futures::StreamExt as _;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::time::timeout;

use super::*;
use crate::domain::{Error, LeaseId, RunState, SessionId};
use crate::store::entity::{journal_chunk, run};
use crate::store::{samples, scratch, writer};

struct Desk {
    journal: Journal,
    store: Arc<Store>,
    lease: Lease,
    _dir: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let (store, dir) = scratch().await;
        let (session_id, id) = (SessionId::new(), LeaseId::new());
        let row = run::Model { status: "running".to_owned(), lease_id: Some(id.0), attempt: 1, ..samples::run(session_id) };
        let row = samples::put(&store, row).await;
        let lease = Lease { id, session_id, run_id: RunId(row.id), attempt: 1 };
        Self { journal: Journal::new(store.clone()), store, lease, _dir: dir }
    }

    async fn say(&self, texts: impl IntoIterator<Item = String>) -> Sequence {
        self.journal.append(&self.lease, texts.into_iter().map(|text| new(EntryKind::Stderr { text })).collect()).await.expect("appended")
    }

    /// As the queue ends a run: outcome and row together, then a word to the readers.
    async fn finish(&self) {
        let outcome = EntryKind::Outcome {
            state: RunState::Succeeded,
            result_text: "done".to_owned(),
            failure: None,
            usage: Default::default(),
            warnings: vec![],
            turn_duration_ms: 0,
            api_duration_ms: 0,
        };
        let next = self.store.next_sequence(self.lease.run_id, self.lease.id).await.expect("live");
        let entry = JournalEntry {
            sequence: next,
            attempt: 1,
            time: UnixMicros::now(),
            parent_tool_use_id: String::new(),
            truncated: false,
            raw: String::new(),
            kind: outcome,
        };
        assert!(self.store.append_entries(self.lease.run_id, self.lease.id, &[entry]).await.expect("stored"));
        self.set(run::Column::Status, "succeeded").await;
        self.set(run::Column::EndTime, UnixMicros::now().0).await;
    }

    async fn set(&self, column: run::Column, value: impl Into<sea_orm::Value>) {
        let query = run::Entity::update_many().col_expr(column, Expr::val(value)).filter(run::Column::Id.eq(self.lease.run_id.0));
        query.exec(writer(&self.store)).await.expect("stored");
    }

    async fn follow(&self, position: Position, partial: bool) -> futures::stream::BoxStream<'static, Result<(Sequence, Followed)>> {
        self.journal.follow(self.lease.run_id, position, partial).await.expect("followed").boxed()
    }
}

fn new(kind: EntryKind) -> NewEntry {
    NewEntry { time: UnixMicros::now(), parent_tool_use_id: String::new(), truncated: false, raw: String::new(), kind }
}

fn lines(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(|n| format!("line {n}"))
}

type Reader = futures::stream::BoxStream<'static, Result<(Sequence, Followed)>>;

async fn next(reader: &mut Reader) -> (Sequence, Followed) {
    timeout(Duration::from_secs(30), reader.next()).await.expect("in time").expect("not the end").expect("no error")
}

/// Reads to the end; checks that the sequence never falls, that entries have no gap, and how it ends. Gives the entries' sequences.
async fn read_all(mut reader: Reader) -> Vec<Sequence> {
    let mut entries: Vec<Sequence> = Vec::new();
    let mut last = None;
    let mut place = 0;
    while let Some(message) = timeout(Duration::from_secs(30), reader.next()).await.expect("in time") {
        let (sequence, followed) = message.expect("no error");
        assert!(sequence >= place, "{sequence} after {place}");
        place = sequence;
        if let Followed::Entry(entry) = &followed {
            assert_eq!(entry.sequence, sequence);
            assert!(entries.last().is_none_or(|before| before + 1 == sequence), "{sequence} after {:?}", entries.last());
            entries.push(sequence);
        }
        last = Some(followed);
    }
    assert!(matches!(&last, Some(Followed::Run(run)) if run.state() == RunState::Succeeded), "the final run comes last: {last:?}");
    entries
}

#[tokio::test]
async fn a_reader_replays_then_follows_to_the_outcome_and_the_final_run() {
    let desk = Desk::new().await;
    assert_eq!(desk.say(lines(3)).await, 3);
    let mut reader = desk.follow(Position::After(1), false).await;
    assert!(matches!(next(&mut reader).await, (1, Followed::Run(run)) if run.state() == RunState::Running));
    assert!(
        matches!(next(&mut reader).await, (2, Followed::Entry(entry)) if entry.kind == EntryKind::Stderr { text: "line 2".to_owned() })
    );
    assert_eq!(next(&mut reader).await.0, 3);
    assert_eq!(desk.say(lines(2)).await, 5);
    assert_eq!(next(&mut reader).await.0, 4);
    assert_eq!(next(&mut reader).await.0, 5);
    desk.finish().await;
    desk.journal.announce(desk.lease.run_id);
    assert!(matches!(next(&mut reader).await, (6, Followed::Entry(entry)) if matches!(entry.kind, EntryKind::Outcome { .. })));
    assert!(matches!(next(&mut reader).await, (6, Followed::Run(run)) if run.state() == RunState::Succeeded && run.last_sequence == 6));
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn an_end_that_nobody_announced_is_found_all_the_same() {
    let desk = Desk::new().await;
    let reader = desk.follow(Position::After(0), false).await;
    desk.say(lines(2)).await;
    desk.finish().await;
    assert_eq!(read_all(reader).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_come_at_any_time_miss_nothing_and_get_nothing_twice() {
    let desk = Desk::new().await;
    let mut readers = tokio::task::JoinSet::new();
    for round in 0..40 {
        desk.say((0..37).map(|n| format!("{round}/{n} {}", "x".repeat(200)))).await;
        if round % 4 == 0 {
            let after = round * 10;
            let reader = desk.follow(Position::After(after), true).await;
            readers.spawn(async move { (after, read_all(reader).await) });
        }
    }
    desk.finish().await;
    desk.journal.announce(desk.lease.run_id);
    let last = 40 * 37 + 1;
    while let Some(read) = readers.join_next().await {
        let (after, entries) = read.expect("read");
        assert_eq!((entries[0], *entries.last().expect("some")), (after + 1, last));
        assert_eq!(entries.len() as i32, last - after);
    }
}

#[tokio::test]
async fn a_slow_reader_neither_slows_the_run_nor_loses_anything() {
    let desk = Desk::new().await;
    let mut slow = desk.follow(Position::After(0), false).await;
    next(&mut slow).await;
    // Far more than the newest entries that are kept in memory.
    for _ in 0..16 {
        desk.say((0..12).map(|_| "y".repeat(60_000))).await;
    }
    desk.finish().await;
    assert_eq!(read_all(slow).await.len(), 16 * 12 + 1);
}

#[tokio::test]
async fn a_finished_run_replays_and_ends() {
    let desk = Desk::new().await;
    desk.say(lines(1000)).await;
    desk.finish().await;
    assert_eq!(read_all(desk.follow(Position::After(0), true).await).await.len(), 1001);
    assert_eq!(read_all(desk.follow(Position::Tail(3), false).await).await, [999, 1000, 1001]);
    assert_eq!(read_all(desk.follow(Position::Tail(5000), false).await).await.len(), 1001);
    assert_eq!(read_all(desk.follow(Position::After(1001), false).await).await, [0; 0], "nothing but the final run");
    let beyond = desk.journal.follow(desk.lease.run_id, Position::After(1002), false).await.err().expect("refused");
    assert!(matches!(beyond, Error::SequenceBeyondEnd { asked: 1002, last_sequence: 1001 }), "{beyond}");
    let unknown = desk.journal.follow(RunId::new(), Position::After(0), false).await.err().expect("refused");
    assert_eq!(unknown.reason(), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn of_a_journal_that_is_not_kept_the_outcome_remains() {
    let desk = Desk::new().await;
    desk.say(lines(4)).await;
    desk.finish().await;
    desk.set(run::Column::ResultText, "kept text").await;
    journal_chunk::Entity::delete_many().exec(writer(&desk.store)).await.expect("deleted");
    desk.set(run::Column::FirstSequence, 6).await;
    let mut reader = desk.follow(Position::After(0), false).await;
    next(&mut reader).await;
    let (sequence, Followed::Entry(entry)) = next(&mut reader).await else { panic!("an entry") };
    assert!(entry.truncated && sequence == 5);
    assert!(matches!(&entry.kind, EntryKind::Outcome { result_text, .. } if result_text == "kept text"));
    assert!(matches!(next(&mut reader).await, (5, Followed::Run(_))));
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn early_entries_that_are_gone_are_skipped() {
    let desk = Desk::new().await;
    desk.say(lines(2)).await;
    desk.say(lines(2)).await;
    desk.finish().await;
    journal_chunk::Entity::delete_many()
        .filter(journal_chunk::Column::FirstSequence.eq(1))
        .exec(writer(&desk.store))
        .await
        .expect("deleted");
    desk.set(run::Column::FirstSequence, 3).await;
    assert_eq!(read_all(desk.follow(Position::After(0), false).await).await, [3, 4, 5]);
}

#[tokio::test]
async fn the_open_block_is_told_in_pieces_until_its_entry_comes() {
    let desk = Desk::new().await;
    let block = |text: &str| Some(OpenBlock { block_id: "b1".to_owned(), thinking: false, text: text.to_owned() });
    let delta = |message: (Sequence, Followed)| match message {
        (at, Followed::Delta { block_id, offset, text, .. }) => (at, block_id.to_string(), offset, text),
        other => panic!("{other:?}"),
    };
    desk.journal.open_block(&desk.lease, block("grü"));
    let mut reader = desk.follow(Position::After(0), true).await;
    next(&mut reader).await;
    assert_eq!(delta(next(&mut reader).await), (0, "b1".to_owned(), 0, "grü".to_owned()), "who joins gets all so far");
    desk.journal.open_block(&desk.lease, block("grüße"));
    assert_eq!(delta(next(&mut reader).await), (0, "b1".to_owned(), 3, "ße".to_owned()), "offsets count characters");
    let entry = EntryKind::Text { block_id: "b1".to_owned(), text: "grüße!".to_owned() };
    desk.journal.append(&desk.lease, vec![new(entry)]).await.expect("appended");
    assert!(matches!(next(&mut reader).await, (1, Followed::Entry(_))));
    desk.journal.open_block(&desk.lease, block("grüße!"));
    let again = timeout(Duration::from_millis(200), reader.next()).await;
    assert!(again.is_err(), "its entry was given, so it is not told again: {again:?}");
    desk.journal.open_block(&desk.lease, None);

    let mut whole_only = desk.follow(Position::After(0), false).await;
    next(&mut whole_only).await;
    desk.journal.open_block(&desk.lease, Some(OpenBlock { block_id: "b2".to_owned(), thinking: true, text: "hm".to_owned() }));
    assert_eq!(next(&mut whole_only).await.0, 1);
    assert!(timeout(Duration::from_millis(200), whole_only.next()).await.is_err(), "who does not ask gets no pieces");
    assert_eq!(delta(next(&mut reader).await), (1, "b2".to_owned(), 0, "hm".to_owned()));
}

#[tokio::test]
async fn a_changed_run_is_told_but_not_more_than_four_times_a_second() {
    let desk = Desk::new().await;
    let mut reader = desk.follow(Position::After(0), false).await;
    next(&mut reader).await;
    let start = tokio::time::Instant::now();
    for n in 1..=20 {
        desk.set(run::Column::OutputTokens, n).await;
        desk.journal.announce(desk.lease.run_id);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut told = 0;
    loop {
        let (_, Followed::Run(run)) = next(&mut reader).await else { panic!("only the run changes") };
        told += 1;
        if run.usage.output_tokens == 20 {
            break;
        }
    }
    assert!(told <= 1 + start.elapsed().as_millis() / 250, "{told} in {:?}", start.elapsed());
}

#[tokio::test]
async fn silence_is_broken_by_a_heartbeat_and_a_stop_by_an_error() {
    let desk = Desk::new().await;
    desk.set(run::Column::Status, "queued").await;
    let mut reader = desk.follow(Position::After(0), false).await;
    assert!(matches!(next(&mut reader).await, (0, Followed::Run(run)) if run.state() == RunState::Queued));
    let start = std::time::Instant::now();
    assert!(matches!(next(&mut reader).await, (0, Followed::Heartbeat)));
    assert!((9..12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    desk.journal.close();
    assert!(matches!(reader.next().await, Some(Err(Error::Draining))));
    assert!(reader.next().await.is_none());
    assert!(matches!(desk.journal.follow(desk.lease.run_id, Position::After(0), false).await.err(), Some(Error::Draining)));
}

#[tokio::test]
async fn an_old_lease_writes_nothing() {
    let desk = Desk::new().await;
    desk.say(lines(1)).await;
    let old = Lease { id: LeaseId::new(), ..desk.lease };
    let refused = desk.journal.append(&old, vec![new(EntryKind::Stderr { text: "zombie".to_owned() })]).await;
    assert!(matches!(refused, Err(Error::Fenced)));
    desk.finish().await;
    assert_eq!(read_all(desk.follow(Position::After(0), false).await).await, [1, 2]);
}

#[tokio::test]
async fn lines_stand_beside_the_entries_take_no_sequence_and_are_stored_once() {
    let desk = Desk::new().await;
    let part = |number, nth| LinePart::split(&LinePart::of(number, nth, UnixMicros(1)), b"a line").remove(0);
    let entries = || lines(3).map(|text| new(EntryKind::Stderr { text })).collect();
    desk.journal.append_batch(&desk.lease, entries(), vec![part(1, 0), part(2, 1), part(3, 3)]).await.expect("appended");
    for _ in 0..2 {
        desk.journal.append_batch(&desk.lease, vec![], vec![part(4, 0)]).await.expect("appended");
    }
    desk.journal.append_batch(&desk.lease, entries(), vec![part(5, 2)]).await.expect("appended");
    let (mut found, mut place) = (Vec::new(), (0, 0));
    while let Some((next, parts)) = desk.journal.lines_after(desk.lease.run_id, place).await.expect("read") {
        assert_eq!(next.0, desk.lease.attempt);
        (found, place) = ([found, parts.iter().map(|part| (part.number, part.sequence)).collect()].concat(), next);
    }
    assert_eq!(found, [(1, 0), (2, 1), (3, 3), (4, 3), (5, 5)]);
    let kept: Vec<_> = desk.store.journal_page(desk.lease.run_id, 1).await.expect("read").iter().map(|entry| entry.sequence).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5, 6]);
    let old = Lease { id: LeaseId::new(), ..desk.lease };
    assert!(matches!(desk.journal.append_batch(&old, vec![], vec![part(6, 0)]).await, Err(Error::Fenced)));
}

#[tokio::test]
async fn who_leaves_leaves_nothing_behind() {
    let desk = Desk::new().await;
    let reader = desk.follow(Position::After(0), true).await;
    desk.say(lines(5)).await;
    desk.journal.open_block(&desk.lease, Some(OpenBlock { block_id: "b".to_owned(), thinking: false, text: "t".to_owned() }));
    drop(reader);
    assert!(!desk.journal.hub.is_empty(), "the block is kept for who comes next");
    desk.journal.open_block(&desk.lease, None);
    assert!(desk.journal.hub.is_empty());
    drop(desk.follow(Position::After(0), true).await);
    assert!(desk.journal.hub.is_empty());
}

#[tokio::test]
async fn an_entry_is_encoded_once_for_all_readers() {
    let desk = Desk::new().await;
    let (mut one, mut two) = (desk.follow(Position::After(0), false).await, desk.follow(Position::After(0), false).await);
    next(&mut one).await;
    next(&mut two).await;
    desk.say(lines(1)).await;
    let mut count = 0;
    for reader in [&mut one, &mut two] {
        let (_, Followed::Entry(entry)) = next(reader).await else { panic!("an entry") };
        assert_eq!(
            entry.encoded(false, |_| {
                count += 1;
                Bytes::from_static(b"x")
            }),
            "x"
        );
    }
    assert_eq!(count, 1);
}

#[tokio::test]
async fn many_small_chunks_are_read_by_the_page() {
    let desk = Desk::new().await;
    for _ in 0..100 {
        desk.say(lines(1)).await;
    }
    assert_eq!(desk.store.journal_page(desk.lease.run_id, 1).await.expect("read").len(), 32);
    assert_eq!(desk.store.journal_page(desk.lease.run_id, 90).await.expect("read").len(), 11);
    assert!(desk.store.journal_page(desk.lease.run_id, 101).await.expect("read").is_empty());
    let plan =
        "EXPLAIN QUERY PLAN SELECT * FROM journal_chunks WHERE run_id = x'00' AND first_sequence >= 1 ORDER BY first_sequence LIMIT 32";
    let plan = desk.store.read().query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, plan)).await.expect("a plan");
    let detail: String = plan[0].try_get("", "detail").expect("text");
    assert!(detail.contains("USING INDEX"), "{detail}");
}
