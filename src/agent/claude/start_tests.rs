//! The arguments and the environment that the CLI is started with.

use uuid::Uuid;

use super::*;
use crate::agent::{Profile, arguments, environment, transcript_dir};
use crate::domain::AgentCli;

fn plan(purpose: SpawnPurpose) -> SpawnPlan {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    SpawnPlan {
        purpose,
        agent_session_id: Uuid::nil(),
        model: "claude-opus-4-8".to_owned(),
        effort: None,
        profile: Profile {
            description: String::new(),
            restricted: true,
            permission_mode: "dontAsk".to_owned(),
            tools: Some(list(&["Read", "Grep"])),
            allowed_tools: vec![],
            env: vec![],
            mcp_config: None,
        },
        max_turns: None,
        max_cost: None,
        add_dirs: vec![],
    }
}

#[test]
fn the_command_line_is_the_recipe() {
    let cli = AgentCli::default();
    let shared = "--print --output-format stream-json --verbose --include-partial-messages --model claude-opus-4-8 --permission-mode dontAsk \
                  --settings {\"cleanupPeriodDays\":3650} --setting-sources  --strict-mcp-config --permission-prompts none";
    let id = "00000000-0000-0000-0000-000000000000";
    for (purpose, rest) in [
        (SpawnPurpose::Fresh, format!("--disable-slash-commands --session-id {id}")),
        (SpawnPurpose::Resume, format!("--disable-slash-commands --resume {id}")),
        (SpawnPurpose::Compact, format!("--resume {id}")),
    ] {
        assert_eq!(arguments(&cli, &plan(purpose)).join(" "), format!("{shared} {rest} --restricted --tools=Read,Grep"));
    }
    let mut full = plan(SpawnPurpose::Fresh);
    full.profile.restricted = false;
    full.profile.tools = Some(vec![]);
    full.profile.allowed_tools = vec!["Bash(gh pr comment:*)".to_owned(), "Read".to_owned()];
    full.profile.mcp_config = Some("/etc/mcp.json".into());
    full.add_dirs = vec!["/srv/a b".into()];
    (full.max_turns, full.max_cost, full.effort) = (Some(7), Some(NanoUsd(1_250_000_000)), Some("high".to_owned()));
    let words = arguments(&cli, &full);
    let tail =
        ["--tools=", "--allowedTools=Bash(gh pr comment:*),Read", "--mcp-config=/etc/mcp.json", "--add-dir=/srv/a b", "--max-turns", "7"];
    assert_eq!(words[words.len() - 10..words.len() - 4], tail);
    assert_eq!(words[words.len() - 4..], ["--max-budget-usd", "1.25", "--effort", "high"]);
}

#[test]
fn a_spent_budget_is_never_no_budget() {
    assert_eq!(
        [0, -5, 1_000, 5_000_000_000, 7_565_000].map(|nanos| dollars(NanoUsd(nanos))),
        ["0.000001", "0.000001", "0.000001", "5", "0.007565"]
    );
}

#[test]
fn the_environment_switches_attachments_off() {
    let all = environment(&AgentCli::default(), 6, Some(Duration::from_secs(2)));
    assert_eq!(all["CLAUDE_CODE_DISABLE_ATTACHMENTS"], "1");
    assert_eq!((all["CLAUDE_CODE_MAX_RETRIES"].as_str(), all["API_TIMEOUT_MS"].as_str()), ("6", "2000"));
    assert!(!environment(&AgentCli::default(), 6, None).contains_key("API_TIMEOUT_MS"));
}

#[test]
fn a_conversation_lies_where_the_cli_looks_for_it() {
    let dir = |cwd: &str| transcript_dir(&AgentCli::default(), cwd).to_string_lossy().into_owned();
    assert_eq!(dir("/home/agent/work"), "projects/-home-agent-work");
    assert_eq!(dir("/a.b_c d/É"), "projects/-a-b-c-d--");
    assert_eq!(dir("/😀"), "projects/---", "two UTF-16 units");
    // As the CLI itself named it.
    let long = format!("/srv/reprise{}", "/0123456789".repeat(20));
    assert_eq!(dir(&long), format!("projects/-srv-reprise{}--rez9dt", "-0123456789".repeat(17)));
}
