//! The client commands: the contract on the command line, tables for people and JSON for programs.

mod by_hand;
mod connection;
mod delivery;
mod demo;
mod failure;
mod id;
mod json;
mod listing;
mod lists;
mod log;
mod plain;
mod run;
mod save;
mod screen;
mod server;
mod session;
mod settings;
mod table;
mod trigger;
mod usage;
mod watch;
mod webhook;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::connection::Api;
use self::failure::{Exit, Failure};
pub use self::screen::ColorChoice;
use self::screen::Screen;

/// What the exit codes mean, for the help of the program.
pub const EXIT_CODES: &str = "Exit codes of the client commands:
  0  done; a watched run succeeded
  1  the server refused, or something went wrong
  2  the command line is wrong
  3  the watched run failed
  4  the watched run was cancelled
  5  there is no such trigger, run, session or delivery
  6  the server cannot be reached, or does not accept the API key";

/// The heading of their options in a help text.
pub const CLIENT_OPTIONS: &str = "Client options";

/// How the client commands reach the server and what they print.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = CLIENT_OPTIONS)]
pub struct ClientOptions {
    /// Address of the server: `localhost:7700`, `http://…` or `https://…`. [also: REPRISE_URL]
    #[arg(long, global = true, env = "REPRISE_ADDR", value_name = "ADDRESS")]
    address: Option<String>,
    #[arg(long, global = true, env = "REPRISE_URL", hide = true)]
    url: Option<String>,
    /// API key; better given in the environment, where other users cannot see it. [also: REPRISE_API_KEY]
    #[arg(long, global = true, env = "REPRISE_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    #[arg(long, global = true, env = "REPRISE_API_KEY", hide_env_values = true, hide = true)]
    long_api_key: Option<String>,
    /// Certificates to trust with `https://`, as PEM, in place of the system's.
    #[arg(long, global = true, env = "REPRISE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print JSON as every gRPC tool prints it: one document an answer, one line a message of a stream.
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorChoice,
    #[arg(long, global = true, env = "NO_COLOR", hide = true)]
    no_color: Option<String>,
    #[arg(long, global = true, env = "COLUMNS", hide = true)]
    columns: Option<String>,
}

impl ClientOptions {
    fn address(&self) -> String {
        let given = [&self.address, &self.url].into_iter().flatten().find(|text| !text.trim().is_empty());
        connection::url_of(given.map_or("http://127.0.0.1:7700", String::as_str))
    }

    fn key(&self) -> Option<&str> {
        [&self.api_key, &self.long_api_key].into_iter().flatten().map(String::as_str).find(|text| !text.trim().is_empty())
    }

    fn screen(&self) -> Screen {
        let no_color = self.no_color.as_ref().is_some_and(|value| !value.is_empty());
        let columns = self.columns.as_ref().and_then(|text| text.trim().parse().ok());
        Screen::stdout(self.color, no_color, self.json, columns)
    }
}

/// The commands that talk to a server.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Triggers: which webhooks start runs, and what the agent is told
    #[command(subcommand)]
    Trigger(trigger::TriggerCommand),
    /// Runs, live and finished
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Sessions: the conversation of each thread
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Deliveries: every webhook that arrived, with what became of it
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Settings of the server
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// What the server is
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// What runs cost, and what continuing saved
    Usage(usage::UsageArgs),
    /// Print an address that signs a browser in to the dashboard, once and within ten minutes
    Dashboard,
    /// Sign and send test webhooks
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// The part of the demo that talks to the server
    #[command(hide = true)]
    DemoRun(Box<demo::DemoArgs>),
}

/// Carries out a command, and says on standard error why if it cannot.
pub async fn run(command: ClientCommand, options: ClientOptions) -> ExitCode {
    let address = options.address();
    let mut screen = options.screen();
    let result = tokio::select! {
        result = carry_out(command, &options, &address, &mut screen) => Some(result),
        _ = tokio::signal::ctrl_c() => None,
    };
    // Takes the progress line away.
    drop(screen);
    let Some(result) = result else { return ExitCode::from(130) };
    match result {
        Ok(exit) => exit.into(),
        // The reader has enough, as with `| head`.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.lines(&address).join("\n"));
            ExitCode::from(failure.code())
        }
    }
}

async fn carry_out(command: ClientCommand, options: &ClientOptions, address: &str, screen: &mut Screen) -> Result<Exit, Failure> {
    if let ClientCommand::Webhook(command) = command {
        return webhook::run(command, screen).await;
    }
    let api = Api::new(address, options.key(), options.ca_file.as_deref())?;
    match command {
        ClientCommand::Trigger(command) => trigger::run(command, &api, screen).await,
        ClientCommand::Run(command) => run::run(command, &api, screen).await,
        ClientCommand::Session(command) => session::run(command, &api, screen).await,
        ClientCommand::Delivery(command) => delivery::run(command, &api, screen).await,
        ClientCommand::Settings(command) => settings::run(command, &api, screen).await,
        ClientCommand::Server(command) => server::run(command, &api, screen).await,
        ClientCommand::Usage(args) => usage::run(args, &api, screen).await,
        ClientCommand::Dashboard => server::dashboard(&api, screen).await,
        ClientCommand::DemoRun(args) => demo::run(*args, &api, screen).await,
        ClientCommand::Webhook(_) => Ok(Exit::Success),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        options: ClientOptions,
        #[command(subcommand)]
        command: ClientCommand,
    }

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn options_may_stand_behind_the_command() {
        let program = Program::try_parse_from(["reprise", "run", "list", "--json", "--address", "localhost:9"]).expect("valid");
        assert!(program.options.json);
        assert_eq!(program.options.address(), "http://localhost:9");
    }

    #[test]
    fn the_key_is_never_part_of_the_help() {
        let help = Program::command().render_long_help().to_string();
        assert!(help.contains("REPRISE_KEY") && !help.contains("REPRISE_KEY="));
    }
}
