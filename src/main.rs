//! `reprise`: the server, its operator's commands, and a client of its rpcs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use reprise::cli::{self, ClientCommand, ClientOptions};
use reprise::config::{Config, Overrides, Role};
use reprise::operator::{self, MigrateAction};

/// Webhooks start Claude runs that remember.
#[derive(Debug, Parser)]
#[command(name = "reprise", version, about, after_help = cli::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(ConfigArgs),
    /// Read the whole configuration and say what is wrong with it; nothing is started
    CheckConfig(ConfigArgs),
    /// Bring the database's schema up, take it down, or show it
    Migrate {
        /// What to do
        #[arg(value_enum, default_value_t = MigrateAction::Up)]
        action: MigrateAction,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Check the environment and the invariants of the database; nothing is repaired
    Doctor(ConfigArgs),
    /// API keys, offline
    #[command(subcommand)]
    Key(KeyCommand),
    /// End what a dead server left running
    #[command(hide = true)]
    Watchdog {
        worker: String,
        #[arg(default_value = "boot")]
        clock: String,
    },
    #[command(flatten)]
    Client(ClientCommand),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace every key by one new admin key and print it; the server must not run
    ResetAdmin(ConfigArgs),
}

#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// A TOML file; what it does not say has the default of config.default.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Everything that the server keeps
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of the server
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// What the server does: take calls and webhooks, work on runs, or both
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Option<Role>,
}

impl ConfigArgs {
    fn load(&self) -> anyhow::Result<Config> {
        let flags = Overrides { listen: self.listen.clone(), data_dir: self.data_dir.clone(), role: self.role };
        Config::load(self.config.as_deref(), std::env::vars(), &flags).map_err(anyhow::Error::msg)
    }
}

/// The command line. How to reach a server is told where a server is called.
fn command_line() -> clap::Command {
    let mut whole = Cli::command();
    // Only then do the subcommands have the options of the whole.
    whole.build();
    let alone = ["serve", "check-config", "migrate", "doctor", "key"];
    alone.into_iter().fold(whole, |whole, name| whole.mut_subcommand(name, without_client_options))
}

fn without_client_options(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let hidden = arg.get_help_heading() == Some(cli::CLIENT_OPTIONS);
        arg.hide(hidden)
    });
    command.mut_subcommands(without_client_options)
}

/// A command line that makes no sense ends here. What the environment gave is no part of what should have been typed.
fn refused(mut error: clap::Error) -> ! {
    if let Some(ContextValue::StyledStr(usage)) = error.remove(ContextKind::Usage) {
        let typed = ["--address <ADDRESS> ", "--api-key <KEY> ", "--ca-file <FILE> "];
        let usage = typed.iter().fold(usage.to_string(), |usage, given| usage.replace(given, ""));
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
    }
    error.exit()
}

fn main() -> ExitCode {
    let parsed = command_line().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = parsed.unwrap_or_else(|error| refused(error));
    if let Command::Watchdog { worker, clock } = &cli.command {
        return operator::watchdog(worker, clock);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return operator::failed(&error.into()),
    };
    runtime.block_on(async {
        let done = match cli.command {
            Command::Client(command) => return cli::run(command, cli.client).await,
            Command::Watchdog { .. } => return ExitCode::SUCCESS,
            Command::Serve(args) => serve(&args).await,
            Command::CheckConfig(args) => args.load().and_then(|config| operator::check_config(&config)),
            Command::Migrate { action, config } => migrate(action, &config).await,
            Command::Doctor(args) => doctor(&args).await,
            Command::Key(KeyCommand::ResetAdmin(args)) => reset_admin(&args).await,
        };
        done.map_or_else(|error| operator::failed(&error), |()| ExitCode::SUCCESS)
    })
}

async fn serve(args: &ConfigArgs) -> anyhow::Result<()> {
    operator::serve(args.load()?).await
}

async fn migrate(action: MigrateAction, args: &ConfigArgs) -> anyhow::Result<()> {
    operator::migrate(&args.load()?, action).await
}

async fn doctor(args: &ConfigArgs) -> anyhow::Result<()> {
    operator::doctor(&args.load()?).await
}

async fn reset_admin(args: &ConfigArgs) -> anyhow::Result<()> {
    operator::reset_admin(&args.load()?).await
}
