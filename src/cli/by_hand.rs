//! What runs that a person starts have in common: which conversation they use, and what is told of them.

use clap::Args;
use prost::Message;

use super::connection::Api;
use super::delivery::outcome;
use super::failure::{Exit, Failure};
use super::id;
use super::plain::plain;
use super::screen::Screen;
use super::trigger::explain::explain;
use super::watch::watch_to_end;
use crate::proto::v1::{Delivery, Explanation, Run, SessionMode};

/// The turn that an event by hand leads to.
#[derive(Debug, Args)]
pub(super) struct Turn {
    /// Begin a new conversation for the thread.
    #[arg(long, conflicts_with = "resume")]
    fresh: bool,
    /// Continue the thread's conversation, or fail.
    #[arg(long = "continue")]
    resume: bool,
    /// Continue a copy of the thread's conversation, in a session of its own.
    #[arg(long, conflicts_with_all = ["fresh", "resume"])]
    fork: bool,
    /// Session the run uses, for example a fork, in place of the thread's.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// What the agent is told, in place of the trigger's prompt.
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// Say what each rule finds and what would happen; nothing is run.
    #[arg(long, conflicts_with = "watch")]
    pub(super) explain: bool,
    /// Watch the run until it has ended.
    #[arg(long)]
    watch: bool,
}

/// What became of an event by hand.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    pub(super) explanation: Option<&'a Explanation>,
    pub(super) delivery: Option<&'a Delivery>,
    pub(super) run: Option<&'a Run>,
}

impl Turn {
    /// Which conversation it uses.
    pub(super) fn mode(&self) -> SessionMode {
        session_mode(self.fresh, self.resume, self.fork)
    }

    /// The session that it names; empty: none.
    pub(super) async fn session_id(&self, api: &Api) -> Result<String, Failure> {
        id::if_given(self.session.as_deref(), |text| id::session(api, text)).await
    }

    /// Tells what became of it, and watches the run if asked to.
    pub(super) async fn tell<M: Message>(&self, answer: &M, taken: &Taken<'_>, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
        if let Some(explanation) = taken.explanation.filter(|_| !screen.is_json()) {
            explain(explanation, screen)?;
            return Ok(Exit::Success);
        }
        if self.watch && screen.is_json() {
            screen.stream_line(answer)?;
        } else if !screen.document(answer)? {
            screen.line(line(taken))?;
        }
        match taken.run {
            Some(run) if self.watch => watch_to_end(api, &run.id, screen).await,
            _ => Ok(Exit::Success),
        }
    }
}

/// `delivery dlv_… QUEUED → run run_…`.
fn line(taken: &Taken<'_>) -> String {
    let delivery = taken.delivery.cloned().unwrap_or_default();
    let replays =
        if delivery.replay_of_delivery_id.is_empty() { String::new() } else { format!(" replays {}", delivery.replay_of_delivery_id) };
    let run = taken.run.map_or_else(|| format!("no run: {}", plain(&delivery.message)), |run| format!("run {}", run.id));
    format!("delivery {}{replays} {} → {run}", delivery.id, outcome(&delivery))
}

/// Which conversation a run by hand uses.
pub(super) fn session_mode(fresh: bool, resume: bool, fork: bool) -> SessionMode {
    match (fresh, resume, fork) {
        (true, ..) => SessionMode::Fresh,
        (_, true, _) => SessionMode::Resume,
        (.., true) => SessionMode::Fork,
        _ => SessionMode::Unspecified,
    }
}
