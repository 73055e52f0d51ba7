//! What an agent CLI tells us, whichever CLI it is.

use uuid::Uuid;

use super::text_enum::text_enum;
use super::{EntryKind, Usage};

text_enum! {
    /// Why an agent process is started.
    SpawnPurpose {
        /// A new conversation.
        Fresh = "fresh",
        /// A turn of a conversation that exists.
        Resume = "resume",
        /// Compaction of a conversation, as a turn of its own.
        Compact = "compact",
    }
}

/// One thing that a line of the agent's output means. One line may mean several.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The process is up and says how it runs.
    Init(InitLine),
    /// Something for the journal as it is.
    Entry {
        /// What.
        kind: EntryKind,
        /// The tool call of the subagent that said it; empty for the agent itself.
        parent_tool_use_id: String,
    },
    /// A piece of a block that is still being written; never stored.
    Delta {
        /// The block, as the later entry will name it.
        block_id: String,
        /// Thinking, or text.
        thinking: bool,
        /// The piece.
        text: String,
    },
    /// The model answered once more within this turn: what metering counts if no result comes.
    Metered(MeteredMessage),
    /// The conversation was compacted.
    Compacted {
        /// Tokens before, where told.
        pre_tokens: i64,
        /// Tokens after, where told.
        post_tokens: i64,
    },
    /// A background task of the agent began (true) or ended (false).
    BackgroundTask {
        /// Its id.
        task_id: String,
        /// Began, or ended.
        running: bool,
    },
    /// The turn is over. An agent that waits for its own background work gives several: the last one counts, and their usage adds up.
    Result(Box<AgentResult>),
}

/// How the agent says it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitLine {
    /// The conversation's id.
    pub agent_session_id: String,
    /// The CLI's version.
    pub agent_version: String,
    /// The model.
    pub model: String,
    /// The permission mode in force.
    pub permission_mode: String,
    /// Tools on offer.
    pub tools: Vec<String>,
    /// MCP servers by name.
    pub mcp_servers: Vec<String>,
    /// What it authenticates with (`ANTHROPIC_API_KEY`, `none`, …), never the credential.
    pub credential_kind: String,
}

/// Usage of one reply of the model, by its id: several lines may repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteredMessage {
    /// The model's message id.
    pub message_id: String,
    /// The model.
    pub model: String,
    /// Its usage, without cost.
    pub usage: Usage,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentResultKind {
    /// It worked.
    Success,
    /// The conversation asked for does not exist: nothing was sent, nothing was done.
    StaleSession,
    /// It reached the limit of agent rounds.
    MaxTurns,
    /// It reached the limit of dollars.
    MaxCost,
    /// It was interrupted.
    Aborted,
    /// The model's API failed.
    ApiError,
    /// The model refused.
    Refused,
    /// The agent is not logged in.
    NotLoggedIn,
    /// Any other failure.
    Error,
}

/// The agent's own account of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentResult {
    /// How it ended.
    pub kind: AgentResultKind,
    /// The final text; empty is fine.
    pub text: String,
    /// What went wrong, in the agent's words.
    pub error: String,
    /// The status of the model's API, where one is told.
    pub api_status: Option<i32>,
    /// The id that counts from here on.
    pub agent_session_id: Option<Uuid>,
    /// Agent rounds.
    pub num_turns: i32,
    /// What this turn used since the result before; its basis is [`CostBasis::Unknown`](super::CostBasis::Unknown) where the CLI tells
    /// the tokens of a turn but not its cost.
    pub turn_usage: Option<Usage>,
    /// The same by model name; empty where it is not told per turn.
    pub by_model: Vec<(String, Usage)>,
    /// The running total of cost over the session, as the agent counts it.
    pub total_cost_usd: Option<f64>,
    /// Tokens of context at the end of the turn.
    pub context_tokens: i64,
    /// How many the model can hold.
    pub context_window_tokens: i64,
    /// Tools that were denied.
    pub denied_tools: Vec<String>,
    /// Wall time of the turn.
    pub duration_ms: i64,
    /// Of it, time spent in the model's API.
    pub api_duration_ms: i64,
}
