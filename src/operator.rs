//! The operator's commands: serve, check, migrate, doctor, and the way back in.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::Access;
use crate::app::{self, App};
use crate::config::Config;
use crate::runner::{Probe, watchdog};
use crate::store::Store;
use crate::telemetry;

/// What `reprise migrate` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MigrateAction {
    /// Applies what is pending
    Up,
    /// Takes everything back, with all data
    Down,
    /// Shows what is applied and what is pending
    Status,
}

/// Says what went wrong, with its causes.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let _stderr_gone = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn say(line: impl Display) {
    let _stdout_gone = writeln!(stdout().lock(), "{line}");
}

/// Serves until SIGTERM or SIGINT. The first one lets open requests and live runs end, the second one does not.
///
/// # Errors
/// What keeps the server from starting, or ended it.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    let mut app = App::start(config).await?;
    if let Some(key) = app.admin_key.take() {
        say(format_args!("first start: this admin key is shown once\n\n  {key}\n\nexport REPRISE_KEY={key}\n"));
    }
    say(format_args!("ready on {}{}", app.public_url, resumed(app.resumed_runs.len())));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = app.ended() => {}
    }
    tracing::info!("stopping: open requests and live runs may end first");
    tokio::select! {
        stopped = app.stop() => Ok(stopped?),
        _ = terminate.recv() => anyhow::bail!("stopped at once, on a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once, on a second signal"),
    }
}

fn resumed(runs: usize) -> String {
    match runs {
        0 => String::new(),
        1 => " · 1 run was live when the server died: it goes on as another attempt".to_owned(),
        n => format!(" · {n} runs were live when the server died: they go on as further attempts"),
    }
}

/// Says that the configuration is sound, and what it lacks.
///
/// # Errors
/// A certificate or key file that cannot be read.
pub fn check_config(config: &Config) -> anyhow::Result<()> {
    if let Some(tls) = &config.server.tls {
        for path in [&tls.certificate_file, &tls.key_file] {
            std::fs::metadata(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        }
    }
    for warning in app::warnings(config) {
        say(format_args!("note: {warning}"));
    }
    say("the configuration is sound");
    Ok(())
}

/// Brings the schema up, takes it down, or shows it.
///
/// # Errors
/// The database cannot be reached, or a migration failed.
pub async fn migrate(config: &Config, action: MigrateAction) -> anyhow::Result<()> {
    app::make_data_dir(&config.data_dir)?;
    let store = Store::open(&config.database, &config.data_dir).await?;
    match action {
        MigrateAction::Up => store.migrate_up().await?,
        MigrateAction::Down => {
            if stdin().is_terminal() {
                say("this deletes everything in the database; type `yes` to go on");
                let mut answer = String::new();
                stdin().read_line(&mut answer)?;
                anyhow::ensure!(answer.trim() == "yes", "nothing was changed");
            }
            let applied = store.migration_status().await?.len();
            store.migrate_down(u32::try_from(applied)?).await?;
        }
        MigrateAction::Status => {}
    }
    for (name, applied) in store.migration_status().await? {
        say(format_args!("{}  {name}", if applied { "applied" } else { "pending" }));
    }
    Ok(())
}

/// Checks the environment and the invariants of the database.
///
/// # Errors
/// When something is wrong; each finding is printed with what to do.
pub async fn doctor(config: &Config) -> anyhow::Result<()> {
    let mut wrong = 0_usize;
    let mut finding = |good: bool, text: String| {
        wrong += usize::from(!good);
        say(format_args!("{}  {text}", if good { "ok     " } else { "problem" }));
    };
    app::make_data_dir(&config.data_dir)?;
    finding(true, format!("data directory {}", config.data_dir.display()));
    match Probe::default().check(&app::runner_setup(config)).await {
        Ok(found) => finding(
            true,
            format!("Claude Code {} at {}", found.version.unwrap_or_else(|| "of an unknown version".to_owned()), found.path.display()),
        ),
        Err(failure) => finding(false, format!("{}: {}", failure.message, failure.reason.remedy())),
    }
    finding(
        config.has_credential(),
        "a credential for the model under [agent.claude.env]: ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN".to_owned(),
    );
    let store = Store::open(&config.database, &config.data_dir).await?;
    let pending: Vec<String> = store.migration_status().await?.into_iter().filter(|(_, applied)| !applied).map(|(name, _)| name).collect();
    finding(
        pending.is_empty(),
        if pending.is_empty() {
            "schema is up to date".to_owned()
        } else {
            format!("pending: {}; `reprise migrate up` or the next start applies them", pending.join(", "))
        },
    );
    if pending.is_empty() {
        let broken = store.doctor().await?;
        finding(broken.is_empty(), "invariants of the database".to_owned());
        for text in broken {
            say(format_args!("           {text}"));
        }
        for text in store.workers().await? {
            say(format_args!("note     {text}"));
        }
    }
    for warning in app::warnings(config) {
        say(format_args!("note     {warning}"));
    }
    anyhow::ensure!(wrong == 0, "{wrong} of the checks found a problem");
    Ok(())
}

/// Replaces every key by one new admin key, and prints it.
///
/// # Errors
/// The database cannot be reached, or a server holds it.
pub async fn reset_admin(config: &Config) -> anyhow::Result<()> {
    app::make_data_dir(&config.data_dir)?;
    let _locks = app::Locks::take(config)?;
    let store = Arc::new(Store::open(&config.database, &config.data_dir).await?);
    store.migrate_up().await?;
    let key = Access::reset_admin(&store).await?;
    say(format_args!("every key is replaced by this admin key, shown once\n\n  {key}\n\nexport REPRISE_KEY={key}"));
    Ok(())
}

/// Waits for the server's end on standard input, then ends what it left running.
#[must_use]
pub fn watchdog(worker: &str, clock: &str) -> ExitCode {
    // The descriptor itself: what is buffered in this process is not seen by who waits for it.
    let Ok(input) = stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    watchdog::run(std::fs::File::from(input), worker, clock);
    ExitCode::SUCCESS
}
