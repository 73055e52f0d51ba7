//! What an attempt has to tell at its end.

use super::spawn::Talk;
use super::watch::Report;
use crate::domain::{Billing, Lineage, NanoUsd, RunWarning};
use crate::metrics;
use crate::queue::{ConversationUpdate, Manifest};

/// A continued turn that read less than this share of its input from the cache is worth a warning.
const COLD: f64 = 0.5;

/// What an attempt has to tell at its end.
#[derive(Debug, Default)]
pub(super) struct Tale {
    pub(super) lineage: Option<Lineage>,
    pub(super) warnings: Vec<RunWarning>,
    pub(super) model: String,
    pub(super) agent_version: String,
    pub(super) billing: Option<Billing>,
    /// The conversation as it now stands, once an agent came up in it.
    pub(super) talk: Option<Talk>,
    /// What the agent said last, for a run that fails.
    pub(super) last_text: String,
    pub(super) turn_duration_ms: i64,
    pub(super) api_duration_ms: i64,
    turns: i32,
    compacted: bool,
    cache_share: Option<f64>,
}

impl Tale {
    /// Adds a warning, once.
    pub(super) fn warn(&mut self, warning: RunWarning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Takes from any process what it tells of itself.
    pub(super) fn saw(&mut self, report: &Report) {
        if let Some(init) = &report.init {
            self.model.clone_from(&init.model);
            self.agent_version.clone_from(&init.agent_version);
            self.billing = billing(&init.credential_kind).or(self.billing);
        }
        if let Some(result) = report.result.as_ref().filter(|result| !result.text.is_empty()) {
            self.last_text.clone_from(&result.text);
        }
        if report.fell_back {
            self.warn(RunWarning::ModelFallback);
        }
        if !report.denied_tools.is_empty() {
            self.warn(RunWarning::ToolsDenied);
        }
        let wall = i64::try_from(report.wall.as_millis()).unwrap_or(i64::MAX);
        self.turn_duration_ms += report.result.as_ref().map(|result| result.duration_ms).filter(|told| *told > 0).unwrap_or(wall);
        self.api_duration_ms += report.result.as_ref().map_or(0, |result| result.api_duration_ms);
    }

    /// A turn was taken, if its agent came up: the conversation holds its prompt, however it ended.
    pub(super) fn took_turn(&mut self, report: &Report, talk: Talk, lineage: Lineage) {
        if report.init.is_none() {
            return;
        }
        self.stands(report, talk);
        self.turns = 1;
        if matches!(lineage, Lineage::Continued | Lineage::Restored | Lineage::Forked) && report.result.is_some() {
            self.cache_share = report.meter.usage(NanoUsd(0)).usage.cache_share();
            if let Some(share) = self.cache_share {
                metrics::cache_share(share);
                if share < COLD {
                    self.warn(RunWarning::CacheCold);
                }
            }
        }
    }

    /// The conversation was compacted.
    pub(super) fn compacted(&mut self, report: &Report, talk: Talk) {
        self.stands(report, talk);
        self.compacted = true;
    }

    /// What the attempt leaves of its conversation.
    pub(super) fn conversation(&self, manifest: Option<Manifest>) -> Option<ConversationUpdate> {
        let talk = self.talk?;
        let (generation, agent_session_id) = (talk.generation, talk.id);
        let (turns, compacted, cache_share) = (self.turns, self.compacted, self.cache_share);
        Some(ConversationUpdate { generation, agent_session_id, turns, compacted, manifest, cache_share })
    }

    /// The id that counts is the one in the result.
    fn stands(&mut self, report: &Report, talk: Talk) {
        let told = report.result.as_ref().and_then(|result| result.agent_session_id);
        self.talk = Some(Talk { id: told.unwrap_or(talk.id), ..talk });
    }
}

/// Who pays, by the name of the credential.
fn billing(credential_kind: &str) -> Option<Billing> {
    match credential_kind {
        "" | "none" => None,
        kind if kind.to_ascii_lowercase().contains("oauth") || kind.contains("claude.ai") => Some(Billing::Subscription),
        _ => Some(Billing::Api),
    }
}
