//! Claims: the queue's own, against its bare statements on the same database, and over queues of every length.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reprise::domain::WorkerId;
use reprise::queue::{Queue, Registration};
use reprise::store::{Config, Store};
use tokio_util::sync::CancellationToken;

use crate::Scale;
use crate::backlog::Backlog;
use crate::bare::Bare;
use crate::database::Database;
use crate::postgres::{self, Postgres};
use crate::report::{Bar, Report, median, say};

/// Runs that are claimed at once.
const BATCHES: [usize; 2] = [8, 32];
/// Runs that one phase claims.
const PHASE: usize = 768;

/// Everything that claims from one backlog.
struct Bed {
    count: u64,
    backlog: Backlog,
    db: Database,
    queue: Queue,
    worker: WorkerId,
    bare: Bare,
}

impl Bed {
    async fn new(backlog: Backlog, count: u64) -> Result<Self> {
        let mut db = backlog.place.open().await?;
        // Claims count against caps, and never meet them here.
        db.run("UPDATE limits SET cap = 2147483647").await?;
        let store = Arc::new(Store::open(&Config::new(backlog.place.url()), Path::new(".")).await?);
        let (queue, _until_stopped) = Queue::start(store, CancellationToken::new());
        let (worker, other) = (WorkerId::new(), WorkerId::new());
        for (id, place) in [(worker, "ours"), (other, "bare")] {
            let hour = Duration::from_secs(3600);
            queue.register_worker(id, &Registration { host: String::new(), place: place.to_owned(), capacity: 1, lease: hour }).await?;
        }
        let bare = Bare::connect(&backlog.place, other.0).await?;
        Ok(Self { count, backlog, db, queue, worker, bare })
    }

    /// Claims in turns by the queue and by the bare statements, and notes how long each took, in seconds. Then all of it is
    /// queued again.
    async fn phase(&mut self, batch: usize, took: &mut Took) -> Result<()> {
        for turn in 0..PHASE / batch {
            let begin = Instant::now();
            if turn % 2 == 0 {
                self.bare.claim(batch).await?;
                took.limit.push(begin.elapsed().as_secs_f64());
                continue;
            }
            let claimed = self.queue.claim(self.worker, batch).await?;
            took.ours.push(begin.elapsed().as_secs_f64());
            ensure!(claimed.len() == batch, "{} of {batch} were claimed", claimed.len());
            ensure!(claimed.iter().all(|one| one.deliveries.len() == 1), "a claimed run without its delivery");
        }
        let live = "SELECT count(*) FROM runs JOIN attempts ON run_id = runs.id JOIN sessions s ON live_run_id = runs.id WHERE status = 'starting'";
        let live = self.db.number(live).await?;
        ensure!(live == i64::try_from(PHASE)?, "{live} runs are live");
        self.db.run(AGAIN).await
    }
}

/// What was claimed is queued again.
const AGAIN: &str = "
UPDATE sessions SET state = 'ready', lease_id = NULL, worker_id = NULL, live_run_id = NULL, queued_count = 1 WHERE state = 'running';
UPDATE runs SET status = 'queued', lease_id = NULL, attempt = 0, start_time = NULL WHERE status = 'starting';
DELETE FROM attempts;
UPDATE limits SET used = 0";

/// How long claims took.
#[derive(Debug, Default)]
struct Took {
    ours: Vec<f64>,
    limit: Vec<f64>,
}

impl Took {
    /// Runs each second, by the claim in the middle: ours, the limit's.
    fn rates(&self, batch: usize) -> (f64, f64) {
        let rate = |took: &[f64]| batch as f64 / median(took);
        (rate(&self.ours), rate(&self.limit))
    }
}

/// On both databases.
pub(crate) async fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    say("claims: runs that are claimed each second, by the queue and by the bare statements of a claim");
    on(None, scale, report).await?;
    if let Some(postgres) = postgres::start_for("claims on PostgreSQL", report)? {
        on(Some(&postgres), scale, report).await?;
    }
    Ok(())
}

async fn on(postgres: Option<&Postgres>, scale: Scale, report: &mut Report) -> Result<()> {
    let mut beds = Vec::new();
    for count in scale.queued {
        let begin = Instant::now();
        let url = match postgres {
            Some(postgres) => Some(postgres.database(&format!("queued_{count}")).await?),
            None => None,
        };
        beds.push(Bed::new(Backlog::fill(url, *count, "").await?, *count).await?);
        say(format_args!("   {count} runs are queued, filled in {:.1} s", begin.elapsed().as_secs_f64()));
    }
    for batch in BATCHES {
        judge(&mut beds, batch, scale, report).await?;
    }
    Ok(())
}

/// Takes turns between the lengths, and between ours and the limit at each claim, so that a machine that changes its pace changes
/// all alike.
async fn judge(beds: &mut [Bed], batch: usize, scale: Scale, report: &mut Report) -> Result<()> {
    let mut took: Vec<Took> = beds.iter().map(|_| Took::default()).collect();
    for round in 0..4 * scale.rounds + 1 {
        for (bed, took) in beds.iter_mut().zip(&mut took) {
            bed.phase(batch, took).await?;
            if round == 0 {
                // Statements were prepared, and pages read.
                *took = Took::default();
            }
        }
    }
    let rates: Vec<(f64, f64)> = took.iter().map(|took| took.rates(batch)).collect();
    for (bed, (ours, limit)) in beds.iter().zip(&rates) {
        let name = format!("claims of {batch}, {}, {} queued", bed.backlog.place.kind(), bed.count);
        report.judge(&name, format!("{ours:.0}/s"), format!("{limit:.0}/s"), ours / limit, Bar::AtLeast(0.6));
    }
    // Within 30 % of the shortest queue; a longer one may well be faster.
    let shortest = rates[0].0;
    let slowest = rates.iter().map(|(ours, _)| *ours).fold(f64::INFINITY, f64::min);
    report.judge(
        "  the slowest to the shortest queue",
        format!("{slowest:.0}/s"),
        format!("{shortest:.0}/s"),
        slowest / shortest,
        Bar::AtLeast(0.7),
    );
    Ok(())
}
