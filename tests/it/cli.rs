//! The client commands over the newer rpcs, as people and scripts use them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{KEY, Server, Setup};

fn reprise(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
    command.args(arguments).env("REPRISE_ADDR", &server.url).env("REPRISE_KEY", KEY).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn output(server: &Server, arguments: &[&str]) -> String {
    let output = reprise(server, arguments).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The lines that a command prints until one of them has `wanted`; then it is ended.
fn lines_until(server: &Server, arguments: &[&str], wanted: &str) -> Vec<String> {
    let mut child = reprise(server, arguments).stdout(Stdio::piped()).spawn().expect("runs");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
        lines.push(line.expect("UTF-8"));
        if lines.last().is_some_and(|line| line.contains(wanted)) {
            break;
        }
    }
    child.kill().expect("ended");
    child.wait().expect("reaped");
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_lists_exports_and_the_sign_in_address() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let mut run_id = String::new();
    for n in 0..2 {
        let answer = hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &hook::comment(1, "hello")).await.expect("answered");
        run_id = answer.run_id();
        client.ended(&run_id).await;
    }

    let usage = output(&server, &["usage", "--by", "trigger", "--bucket", "day"]);
    assert!(usage.contains("reviews") && usage.contains("2 runs") && usage.contains("continuing saved"), "{usage}");
    let total: Value = serde_json::from_str(&output(&server, &["usage", "--json"])).expect("JSON");
    assert_eq!((total["total"]["runCount"].as_i64(), total["total"]["continuedCount"].as_i64()), (Some(2), Some(1)));

    let address = output(&server, &["dashboard"]);
    assert!(address.starts_with(&format!("{}/#code=rc_", server.url)) && !address.contains(KEY), "{address}");

    let file = server.dir().join("run.jsonl.zst");
    output(&server, &["run", "export", &run_id, "--output", &file.display().to_string()]);
    let lines = String::from_utf8(zstd::decode_all(&std::fs::read(&file).expect("written")[..]).expect("zstd")).expect("UTF-8");
    let printed = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["stream"], "stdout", "{line}");
        serde_json::from_str(line["line"].as_str().expect("text")).expect("the agent's own JSON")
    };
    let kinds: Vec<Value> = lines.lines().map(|line| printed(line)["type"].clone()).collect();
    assert_eq!(kinds, ["system", "assistant", "result"], "{lines}");

    let followed = lines_until(&server, &["run", "follow", "--trigger", "reviews", "--json"], "snapshotComplete");
    assert!(followed.len() == 3 && followed[1].contains(&run_id) && followed[1].contains("RUN_STATE_SUCCEEDED"), "{followed:?}");
    let watched = lines_until(&server, &["delivery", "watch", "--json"], "snapshotComplete");
    assert!(watched.len() == 3 && watched[0].contains("\"outcome\":\"DELIVERY_OUTCOME_QUEUED\""), "{watched:?}");
}

#[test]
fn help_tells_what_is_typed_and_where_it_means_something() {
    let told = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command.args(arguments).env("REPRISE_ADDR", "http://localhost:1").env("REPRISE_KEY", "rk_secret").stdin(Stdio::null());
        let output = command.output().expect("runs");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    };
    for alone in [&["serve", "--help"][..], &["doctor", "-h"], &["migrate", "-h"], &["check-config", "-h"], &["key", "reset-admin", "-h"]] {
        let help = told(alone);
        assert!(help.contains("--data-dir") && !help.contains("--api-key") && !help.contains("Client options"), "{help}");
    }
    for client in [&["run", "list", "-h"][..], &["trigger", "fire", "--help"], &["usage", "-h"]] {
        let help = told(client);
        assert!(help.contains("--api-key") && !help.contains("rk_secret") && !help.contains("[default: \"\"]"), "{help}");
    }
    let missing = told(&["run", "watch"]);
    assert!(missing.contains("Usage: reprise run watch <RUN>"), "{missing}");
}
