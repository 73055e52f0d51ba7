//! `reprise server …`.

use clap::Subcommand;
use jiff::Timestamp;

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::words::{ago, time, word};
use crate::proto::v1::{AgentInfo, CreateSignInCodeRequest, GetServerInfoRequest, WhoAmIRequest};

/// The commands about the server.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Show version, database, agents, and what is wrong; exit code 1 when no agent can be used
    Info,
    /// Show whose API key is used
    Whoami,
}

/// Carries out a command about the server.
pub(crate) async fn run(command: ServerCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        ServerCommand::Info => info(api, screen).await,
        ServerCommand::Whoami => {
            let answer = api.access().who_am_i(WhoAmIRequest {}).await?.into_inner();
            if !screen.document(&answer)? {
                let role = word(answer.role().as_str_name(), "ROLE_");
                screen.line(format!("{} · {} · {role}", answer.api_key_id, plain(&answer.display_name)))?;
            }
            Ok(Exit::Success)
        }
    }
}

/// Prints an address that signs in to the dashboard.
pub(crate) async fn dashboard(api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let answer = api.access().create_sign_in_code(CreateSignInCodeRequest {}).await?.into_inner();
    if !screen.document(&answer)? {
        screen.line(&answer.url)?;
    }
    Ok(Exit::Success)
}

async fn info(api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let answer = api.settings().get_server_info(GetServerInfoRequest {}).await?.into_inner();
    let exit = if answer.agents.iter().any(|agent| agent.usable) { Exit::Success } else { Exit::Unwell };
    if screen.document(&answer)? {
        return Ok(exit);
    }
    screen.facts(&[
        ("reprise", answer.version.clone()),
        ("public url", answer.public_url.clone()),
        ("database", word(answer.database().as_str_name(), "DATABASE_KIND_")),
        ("role", answer.role.clone()),
        ("sandbox", word(answer.sandbox().as_str_name(), "SANDBOX_LEVEL_")),
        ("agent", answer.agents.iter().map(agent).collect::<Vec<_>>().join("\n")),
        ("started", time(answer.start_time.as_ref()).map(|at| ago(at, Timestamp::now())).unwrap_or_default()),
    ])?;
    for warning in &answer.warnings {
        screen.line(screen.paint(Tint::Yellow, &format!("⚠ {}", plain(warning))))?;
    }
    Ok(exit)
}

fn agent(agent: &AgentInfo) -> String {
    let name = word(agent.kind().as_str_name(), "AGENT_KIND_");
    if agent.usable {
        return format!("{name} {} · {}", agent.version, agent.path);
    }
    let remedy = if agent.remedy.is_empty() { String::new() } else { format!("\n  → {}", agent.remedy) };
    plain(&format!("{name} cannot be used: {}{remedy}", agent.problem))
}
