//! Every metric, by name, in one place. Prometheus text is served at `/metrics`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const DELIVERIES: &str = "reprise_deliveries_total";
const ACK_SECONDS: &str = "reprise_ack_seconds";
const QUEUED: &str = "reprise_queued_runs";
const QUEUE_AGE_SECONDS: &str = "reprise_queue_age_seconds";
const RUNS: &str = "reprise_runs_total";
const LIVE_RUNS: &str = "reprise_live_runs";
const RUN_SECONDS: &str = "reprise_run_seconds";
const SPAWN_SECONDS: &str = "reprise_spawn_seconds";
const COST_USD: &str = "reprise_cost_usd_total";
const TOKENS: &str = "reprise_tokens_total";
const CACHE_SHARE: &str = "reprise_cache_share";
const JOURNAL_SECONDS: &str = "reprise_journal_lag_seconds";
const READERS: &str = "reprise_journal_readers";
const DATABASE_SECONDS: &str = "reprise_database_seconds";
const BATCH: &str = "reprise_intake_batch_size";
const SESSIONS_CLEANED: &str = "reprise_sessions_cleaned_total";

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_counter!(DELIVERIES, "Webhooks by source and outcome");
    describe_histogram!(ACK_SECONDS, "From the last byte of a webhook to its committed answer");
    describe_gauge!(QUEUED, "Runs that wait");
    describe_gauge!(QUEUE_AGE_SECONDS, "Age of the oldest run that could start");
    describe_counter!(RUNS, "Finished runs by state and failure reason");
    describe_gauge!(LIVE_RUNS, "Runs that are live on this server");
    describe_histogram!(RUN_SECONDS, "Wall time of runs");
    describe_histogram!(SPAWN_SECONDS, "From claim to the spawned agent process");
    describe_counter!(COST_USD, "Dollars by lineage of the run");
    describe_counter!(TOKENS, "Tokens by kind");
    describe_histogram!(CACHE_SHARE, "Share of the input that came from the prompt cache, for continued turns");
    describe_histogram!(JOURNAL_SECONDS, "From reading an agent's line to its commit");
    describe_gauge!(READERS, "Open WatchRun streams");
    describe_histogram!(DATABASE_SECONDS, "Time of database transactions by name");
    describe_histogram!(BATCH, "Webhooks per intake transaction");
    describe_counter!(SESSIONS_CLEANED, "Sessions deleted by clean-up");
}

/// A webhook was answered.
pub fn delivery(source: &'static str, outcome: &'static str, ack: Duration) {
    counter!(DELIVERIES, "source" => source, "outcome" => outcome).increment(1);
    histogram!(ACK_SECONDS).record(ack);
}

/// So many runs wait, and the oldest that could start has waited so long.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub fn queue(queued: u64, oldest: Duration) {
    gauge!(QUEUED).set(queued as f64);
    gauge!(QUEUE_AGE_SECONDS).set(oldest.as_secs_f64());
}

/// A run began on this server.
pub fn run_began() {
    gauge!(LIVE_RUNS).increment(1);
}

/// A run left this server, by state; `reason` is empty unless it failed.
pub fn run_ended(state: &'static str, reason: &'static str, wall: Duration) {
    gauge!(LIVE_RUNS).decrement(1);
    counter!(RUNS, "state" => state, "reason" => reason).increment(1);
    histogram!(RUN_SECONDS).record(wall);
}

/// A process was spawned, so long after the claim.
pub fn spawned(after_claim: Duration) {
    histogram!(SPAWN_SECONDS).record(after_claim);
}

/// A spawn used this much.
pub fn used(lineage: &'static str, usd: f64, input: i64, output: i64, cache_read: i64, cache_write: i64) {
    // A counter of whole numbers would lose cents: micro-dollars are exact enough for a graph.
    gauge!(COST_USD, "lineage" => lineage).increment(usd);
    for (kind, tokens) in [("input", input), ("output", output), ("cache_read", cache_read), ("cache_write", cache_write)] {
        counter!(TOKENS, "kind" => kind).increment(tokens.unsigned_abs());
    }
}

/// A continued turn's cache health.
pub fn cache_share(share: f64) {
    histogram!(CACHE_SHARE).record(share);
}

/// Entries were committed, so long after the first of them was read.
pub fn journaled(lag: Duration) {
    histogram!(JOURNAL_SECONDS).record(lag);
}

/// A reader came (1) or went (-1).
pub fn reader(change: f64) {
    gauge!(READERS).increment(change);
}

/// A transaction took so long.
pub fn database(transaction: &'static str, took: Duration) {
    histogram!(DATABASE_SECONDS, "transaction" => transaction).record(took);
}

/// An intake transaction held so many webhooks.
#[expect(clippy::cast_precision_loss, reason = "a histogram")]
pub fn intake_batch(size: usize) {
    histogram!(BATCH).record(size as f64);
}

/// Clean-up deleted sessions.
pub fn sessions_cleaned(count: u64) {
    counter!(SESSIONS_CLEANED).increment(count);
}
