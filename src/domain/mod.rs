//! The words of Reprise as values and pure rules. Nothing here does IO, and nothing here knows the wire or the database.

mod agent;
mod custody;
mod error;
mod explanation;
mod ids;
mod journal;
mod journal_filter;
mod money;
mod opening;
mod page;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod session;
mod settings;
mod text_enum;
mod time;
mod trigger;
mod usage;
mod webhook;

pub use agent::{AgentEvent, AgentResult, AgentResultKind, InitLine, MeteredMessage, SpawnPurpose};
pub use custody::{CustodyFile, Manifest};
pub use error::{Code, Error, FieldError, Result};
pub use explanation::{Mark, Stage, Step, Verdict};
pub use ids::{ApiKeyId, DeliveryId, IdError, LeaseId, RunId, SecretId, SessionId, TriggerId, WorkerId};
pub use journal::{EntryKind, JournalEntry, NoticeCode, OpenBlock, PromptKind, Sequence};
pub use journal_filter::{ENTRY_KINDS, EntryFilter};
pub use money::{CostBasis, NanoUsd, Usage};
pub use opening::{Circumstances, Earlier, NewConversation, Opening, opening};
pub use page::{Cursor, MAX_PAGE_SIZE, Page, PageRequest};
pub use run::{
    Attempt, Billing, CancelMode, Failure, FailureReason, IllegalTransition, Lineage, Requester, RequesterKind, Run, RunEvent, RunFilter,
    RunKind, RunState, RunStatus, RunWarning, SessionMode, Wait, WaitReason, transition,
};
pub use session::{Conversation, Memory, Session, SessionFilter, SessionKind, SessionOrder, SessionOrigin, SessionState, SessionStorage};
pub use settings::{
    AgentSettings, LimitSettings, RetentionSettings, RuleUnit, SETTING_RULES, SessionSettings, SettingRule, Settings, setting_rules,
};
pub use time::{UnixMicros, follow, new_id};
pub use trigger::{
    Action, AgentCli, AgentOptions, AuthorRule, BusyPolicy, Caps, ClaudeOptions, HmacAlgorithm, HmacEncoding, HmacProfile, OnInterrupt,
    RetryPolicy, RunLimits, Secret, Trigger, TriggerFilter, TriggerSpec, Workspace,
};
pub use usage::{Bucket, UsageBucket, UsageGroup, UsageQuery, UsageRow, buckets};
pub use webhook::{
    Actor, ActorKind, Delivery, DeliveryFilter, DeliveryOrigin, DeliveryOutcome, DeliveryPayload, DeliveryReason, Event, Header, Source,
};
