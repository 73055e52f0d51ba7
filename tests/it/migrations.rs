//! The schema goes up, down and up again on both databases, and the main job works on both.

use std::process::Command;

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::Setup;

fn migrate(url: &str, data: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .arg("migrate")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .env("REPRISE__DATABASE__URL", url)
        .output()
        .expect("runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "migrate {arguments:?} on {url}: {text}");
    text
}

/// A new database on the PostgreSQL of this test run.
pub(crate) fn postgres() -> Option<String> {
    let Ok(base) = std::env::var("REPRISE_TEST_DATABASE_URL") else {
        assert!(std::env::var("CI").is_err(), "REPRISE_TEST_DATABASE_URL is not set: under CI PostgreSQL is not optional");
        return None;
    };
    let name = format!("t{}", uuid::Uuid::now_v7().simple());
    let made = Command::new("psql").args([&base, "-qc", &format!("CREATE DATABASE {name}")]).status().expect("psql runs");
    assert!(made.success());
    let server = base.rsplit_once('/').expect("a database name").0;
    Some(format!("{server}/{name}"))
}

fn up_down_up(url: &str) {
    let dir = tempfile::tempdir().expect("temp dir");
    let before = migrate(url, dir.path(), &["status"]);
    assert!(before.contains("pending"), "{before}");
    migrate(url, dir.path(), &["up"]);
    let after = migrate(url, dir.path(), &["status"]);
    assert!(after.contains("applied") && !after.contains("pending"), "{after}");
    migrate(url, dir.path(), &["down"]);
    assert!(migrate(url, dir.path(), &["status"]).contains("pending"));
    migrate(url, dir.path(), &["up"]);
}

#[test]
fn sqlite_goes_up_down_and_up() {
    up_down_up("sqlite:reprise.db");
}

#[test]
fn postgresql_goes_up_down_and_up() {
    if let Some(url) = postgres() {
        up_down_up(&url);
    }
}

#[tokio::test]
async fn the_main_job_works_on_postgresql_too() {
    let Some(database) = postgres() else { return };
    let server = Setup { database: Some(database), ..Setup::fake() }.start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    for (n, lineage) in [v1::Lineage::Fresh, v1::Lineage::Continued].into_iter().enumerate() {
        let delivery = format!("d-{n}");
        for outcome in ["queued", "duplicate"] {
            let answer = hook::github(&url, &secret, "issue_comment", &delivery, &hook::comment(1, "hello")).await.expect("answered");
            assert_eq!((answer.status, answer.outcome().as_str()), (200, outcome));
            let run = client.ended(&answer.run_id()).await;
            assert_eq!((run.state(), run.lineage()), (v1::RunState::Succeeded, lineage));
        }
    }
    let session = client.session("reviews", "acme/shop#1").await;
    assert_eq!(session.turn_count, 2);
}
