//! A store of a million deliveries: acks against a bare edge of the same size, lists against a store of a thousand.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use reprise::proto::v1;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;

use crate::Scale;
use crate::acks::{Rounds, webhooks};
use crate::fill;
use crate::report::{Bar, Report, median, say};
use crate::server::{Edge, Server, Setup};

const SMALL: u64 = 1000;
/// Runs of one page.
const PAGE: i32 = 50;
/// Calls of which the median counts.
const CALLS: usize = 60;
/// The queries behind `ListRuns` (all, of a trigger, of a session, of a state) and the look-up of a delivery id.
const QUERIES: [(&str, &str); 5] = [
    ("ListRuns", "SELECT * FROM runs WHERE id < x'00' ORDER BY id DESC LIMIT 51"),
    ("  of a trigger", "SELECT * FROM runs WHERE id < x'00' AND trigger_id = x'00' ORDER BY id DESC LIMIT 51"),
    ("  of a state", "SELECT * FROM runs WHERE id < x'00' AND status = 'succeeded' ORDER BY id DESC LIMIT 51"),
    ("  their deliveries", "SELECT * FROM run_deliveries WHERE run_id IN (x'00', x'01') AND ordinal < 50 ORDER BY run_id, ordinal"),
    ("delivery id", "SELECT id FROM deliveries WHERE trigger_id = x'00' AND dedupe_key = x'00'"),
];

/// Fills both, lists, then counts acks.
pub(crate) async fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    say(format_args!("million: stores of {} deliveries", scale.stored));
    let begin = Instant::now();
    let (mut big, edge) = (filled(scale.stored).await?, filled_edge(scale.stored).await?);
    say(format_args!("   both filled in {:.0} s", begin.elapsed().as_secs_f64()));
    let mut small = filled(SMALL).await?;

    let last = i64::try_from(scale.stored)? / i64::from(PAGE);
    pages(&mut big, &mut small, usize::try_from(last.min(1000))?, report).await?;

    let (ours, limit) = webhooks(&mut big, &edge).await?;
    drop(small);
    let (rate, bare) = Rounds::run(&ours, &limit, 64, scale).await?.rates();
    report.judge(
        &format!("acks with {} stored", scale.stored),
        format!("{rate:.0}/s"),
        format!("{bare:.0}/s"),
        rate / bare,
        Bar::AtLeast(0.4),
    );
    Ok(())
}

/// The first page and a far one, each against the small store's.
async fn pages(big: &mut Server, small: &mut Server, far: usize, report: &mut Report) -> Result<()> {
    let small_far = token_of(small, usize::try_from(SMALL)? / usize::try_from(PAGE)?).await?;
    let big_far = token_of(big, far).await?;
    for (name, big_token, small_token) in [
        ("ListRuns, first page".to_owned(), String::new(), String::new()),
        (format!("ListRuns, page {far}, to the small store's 20th"), big_far, small_far),
    ] {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            ours.push(timed(big, &big_token).await?);
            limit.push(timed(small, &small_token).await?);
        }
        let (ours, limit) = (median(&ours), median(&limit));
        report.judge(&name, format!("{ours:.2} ms"), format!("{limit:.2} ms"), ours / limit, Bar::AtMost(1.5));
    }
    Ok(())
}

/// The token that asks for page `number`.
async fn token_of(server: &mut Server, number: usize) -> Result<String> {
    let mut token = String::new();
    for _ in 1..number {
        token = page(server, &token).await?.next_page_token;
        ensure!(!token.is_empty(), "the store has fewer than {number} pages");
    }
    Ok(token)
}

async fn page(server: &mut Server, token: &str) -> Result<v1::ListRunsResponse> {
    let request = v1::ListRunsRequest { page_size: PAGE, page_token: token.to_owned(), ..Default::default() };
    let answer = server.runs.list_runs(request).await?.into_inner();
    ensure!(answer.runs.len() == usize::try_from(PAGE)?, "a page of {} runs", answer.runs.len());
    Ok(answer)
}

async fn timed(server: &mut Server, token: &str) -> Result<f64> {
    let begin = Instant::now();
    page(server, token).await?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// Reprise on a store that holds `count` deliveries. The first start makes the schema and a trigger.
async fn filled(count: u64) -> Result<Server> {
    let setup = Setup::fake()?;
    let mut server = Server::fresh(&setup).await?;
    server.trigger("archive").await?;
    let dir = server.stop();
    let database = Server::database(dir.path());
    fill::reprise(&database, count).await?;
    if count > SMALL {
        plans(&database).await?;
        settle(&database)?;
    }
    let begin = Instant::now();
    let server = Server::start(dir, &setup).await?;
    say(format_args!("   the server on {count} deliveries was ready after {:.0} ms", begin.elapsed().as_secs_f64() * 1e3));
    Ok(server)
}

async fn filled_edge(count: u64) -> Result<Edge> {
    let dir: TempDir = tempfile::tempdir()?;
    let database = Edge::database(dir.path());
    fill::edge(&database, count).await?;
    settle(&database)?;
    Edge::start(dir, None).await
}

/// What was filled in without syncs goes to the disk before anything is measured.
fn settle(database: &Path) -> Result<()> {
    let file = File::open(database)?;
    file.sync_all()?;
    say(format_args!("   {}: {:.0} MB", database.file_name().context("a name")?.display(), file.metadata()?.len() as f64 / 1e6));
    Ok(())
}

/// Prints how the queries are answered; one that would read or sort a whole table is an error.
async fn plans(database: &Path) -> Result<()> {
    let mut db = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(database)).await?;
    for (name, query) in QUERIES {
        let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"))).fetch_all(&mut db).await?;
        let plan: Vec<String> = steps.iter().map(|step| step.get::<String, _>("detail")).collect();
        let plan = plan.join("; ");
        say(format_args!("   plan of {name}: {plan}"));
        ensure!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{name} reads or sorts a whole table");
    }
    Ok(db.close().await?)
}
