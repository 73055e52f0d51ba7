//! What a spawn used: the agent's own figure where it gives one, else ours.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::{AgentResult, AgentResultKind, CostBasis, EntryKind, MeteredMessage, NanoUsd, Usage};
use crate::queue::SpawnUsage;

/// Counts what one agent process uses, from its answers as they come and from its results.
#[derive(Debug, Default, Clone)]
pub(super) struct Meter {
    /// What results told, by model.
    told: BTreeMap<String, Usage>,
    /// Tokens that results told without a cost.
    uncosted: Option<Usage>,
    /// Answers that no result covers yet.
    open: HashMap<String, (String, Usage)>,
    /// Their tokens by model: a run of many answers is summed up after each of them.
    open_by_model: BTreeMap<String, Usage>,
    /// Answers that a result covered: the rest of one that comes late is not counted again.
    settled: HashSet<String>,
    total_cost: Option<NanoUsd>,
    context_tokens: i64,
    window_tokens: i64,
    last_model: String,
    prices: Prices,
}

impl Meter {
    /// One that knows what models cost from processes before it.
    pub(super) fn with_prices(prices: Prices) -> Self {
        Self { prices, ..Self::default() }
    }

    /// What it learnt of prices.
    pub(super) fn prices(&self) -> &Prices {
        &self.prices
    }

    /// An answer began or ended. Gives whether it ended, so that the sum so far is worth a word.
    pub(super) fn message(&mut self, message: &MeteredMessage) -> bool {
        let MeteredMessage { message_id, model, usage } = message;
        if self.settled.contains(message_id) {
            return false;
        }
        self.context_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens + usage.output_tokens;
        model.clone_into(&mut self.last_model);
        let known = self.open.insert(message_id.clone(), (model.clone(), *usage));
        let sum = self.open_by_model.entry(model.clone()).or_default();
        *sum = sum.plus(*usage);
        if let Some((model, known)) = &known
            && let Some(sum) = self.open_by_model.get_mut(model)
        {
            *sum = sum.beyond(*known);
        }
        known.is_some_and(|(_, known)| known.output_tokens < usage.output_tokens)
    }

    /// A turn ended. There may be several.
    pub(super) fn result(&mut self, result: &AgentResult) {
        self.context_tokens = result.context_tokens;
        self.window_tokens = self.window_tokens.max(result.context_window_tokens);
        self.total_cost = result.total_cost_usd.map(NanoUsd::from_usd).or(self.total_cost);
        let told = result.turn_usage.filter(|usage| *usage != Usage { cost_basis: usage.cost_basis, ..Usage::default() });
        // Of an answer that was cut off the agent tells nothing, and yet it was paid for.
        if result.kind == AgentResultKind::Aborted && told.is_none() {
            return;
        }
        let counted = std::mem::take(&mut self.open_by_model).into_values().fold(Usage::default(), Usage::plus);
        self.settled.extend(self.open.drain().map(|(id, _)| id));
        for (model, usage) in &result.by_model {
            self.prices.learn(model, usage);
            let sum = self.told.get(model).map_or(*usage, |known| known.plus(*usage));
            self.told.insert(model.clone(), sum);
        }
        let costed = result.turn_usage.is_some_and(|usage| usage.cost_basis == CostBasis::Reported) || !result.by_model.is_empty();
        // Where the agent repeats a request it tells no tokens, but their cost.
        if !costed && (told.is_some() || result.total_cost_usd.is_some_and(|total| total > 0.0)) {
            let usage = told.unwrap_or(counted);
            self.uncosted = Some(self.uncosted.map_or(usage, |known| known.plus(usage)));
        }
    }

    /// The sum so far, for the journal.
    pub(super) fn entry(&self) -> EntryKind {
        let SpawnUsage { usage, context_tokens, context_window_tokens, .. } = self.usage(NanoUsd(0));
        EntryKind::Usage { usage, context_tokens, context_window_tokens }
    }

    /// All of it. `total_before` is what the agent said that the conversation had cost in all, before this process.
    pub(super) fn usage(&self, total_before: NanoUsd) -> SpawnUsage {
        let mut by_model = self.told.clone();
        let mut add = |model: &str, usage: Usage| {
            let sum = by_model.get(model).map_or(usage, |known| known.plus(usage));
            by_model.insert(model.to_owned(), sum);
        };
        if let Some(tokens) = self.uncosted {
            let cost = self.total_cost.map(|total| since(total, total_before));
            let (cost, cost_basis) =
                cost.map_or_else(|| (self.prices.cost(&self.last_model, &tokens), CostBasis::Metered), |cost| (cost, CostBasis::Derived));
            add(&self.last_model, Usage { cost, cost_basis, ..tokens });
        }
        for (model, usage) in &self.open_by_model {
            add(model, Usage { cost: self.prices.cost(model, usage), cost_basis: CostBasis::Metered, ..*usage });
        }
        SpawnUsage {
            usage: by_model.values().fold(Usage::default(), |sum, usage| sum.plus(*usage)),
            by_model: by_model.into_iter().collect(),
            agent_total_cost: self.total_cost,
            context_tokens: self.context_tokens,
            context_window_tokens: self.window_tokens,
        }
    }
}

/// A total that is less than the one before did not grow from it: it holds this process alone (an agent whose totals begin
/// anew with each process, or that lost count when a turn was killed).
fn since(total: NanoUsd, before: NanoUsd) -> NanoUsd {
    NanoUsd(if total >= before { total.0 - before.0 } else { total.0 }.max(0))
}

/// What models cost: list prices, corrected by what agents told.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Prices {
    /// By model: the told cost as a multiple of the list's.
    factors: BTreeMap<String, f64>,
}

/// Dollars per million tokens; that is, thousands of nano-dollars per token.
#[derive(Debug, Clone, Copy)]
struct Price {
    input: f64,
    output: f64,
    cache_read: f64,
    cache_write: f64,
}

impl Prices {
    /// Takes over what a model really cost.
    #[expect(clippy::cast_precision_loss, reason = "a factor of prices")]
    pub(super) fn learn(&mut self, model: &str, usage: &Usage) {
        let listed = listed(model, usage);
        if usage.cost_basis == CostBasis::Reported && usage.cost.0 > 0 && listed > 0.0 {
            self.factors.insert(base(model).to_owned(), usage.cost.0 as f64 / listed);
        }
    }

    /// What these tokens cost.
    #[expect(clippy::cast_possible_truncation, reason = "saturating")]
    pub(super) fn cost(&self, model: &str, usage: &Usage) -> NanoUsd {
        let factor = self.factors.get(base(model)).copied().unwrap_or(1.0);
        NanoUsd((listed(model, usage) * factor).round() as i64)
    }
}

/// The model without the mark of its window: `claude-opus-4-8[1m]`.
fn base(model: &str) -> &str {
    model.split('[').next().unwrap_or(model)
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn listed(model: &str, usage: &Usage) -> f64 {
    let price = list_price(base(model));
    let parts = [
        (usage.input_tokens, price.input),
        (usage.output_tokens, price.output),
        (usage.cache_read_tokens, price.cache_read),
        (usage.cache_write_tokens, price.cache_write),
    ];
    parts.iter().map(|(tokens, price)| *tokens as f64 * price * 1000.0).sum()
}

/// By family; a model of no known family counts as the middle one.
fn list_price(model: &str) -> Price {
    let older = |names: &[&str]| names.iter().any(|name| model.contains(name));
    let (input, output) = if model.contains("opus") {
        if older(&["opus-4-1", "opus-4-0", "opus-4-2025", "3-opus"]) { (15.0, 75.0) } else { (5.0, 25.0) }
    } else if model.contains("haiku") {
        if older(&["3-haiku"]) {
            (0.25, 1.25)
        } else if older(&["3-5-haiku"]) {
            (0.8, 4.0)
        } else {
            (1.0, 5.0)
        }
    } else {
        (3.0, 15.0)
    };
    Price { input, output, cache_read: input * 0.1, cache_write: input * 1.25 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::LineParser;
    use crate::domain::{AgentCli, AgentEvent, SpawnPurpose};

    /// What a meter makes of a recording, whole or cut off before its first result.
    fn metered(file: &str, cut: bool) -> Meter {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut parser = LineParser::new(&AgentCli::default(), SpawnPurpose::Resume);
        let mut meter = Meter::default();
        for event in text.split(|byte| *byte == b'\n').flat_map(|line| parser.line(line, false)) {
            match event {
                AgentEvent::Metered(message) => _ = meter.message(&message),
                AgentEvent::Result(_) if cut => break,
                AgentEvent::Result(result) => meter.result(&result),
                _ => {}
            }
        }
        meter
    }

    #[test]
    fn a_turn_with_a_result_costs_what_the_agent_says() {
        let usage = metered("agent-partial/tool.jsonl", false).usage(NanoUsd(7_565_000));
        assert_eq!((usage.usage.cost, usage.usage.cost_basis), (NanoUsd(15_130_000), CostBasis::Reported));
        assert_eq!(usage.agent_total_cost, Some(NanoUsd(22_695_000)));
        assert_eq!((usage.context_tokens, usage.context_window_tokens), (1545, 1_000_000));
        assert_eq!(usage.by_model, [("claude-opus-4-8".to_owned(), usage.usage)]);
    }

    #[test]
    fn a_killed_turn_costs_the_same_by_our_own_count() {
        let (whole, cut) = (metered("agent-partial/tool.jsonl", false), metered("agent-partial/tool.jsonl", true));
        let (told, ours) = (whole.usage(NanoUsd(0)).usage, cut.usage(NanoUsd(0)).usage);
        assert_eq!(ours, Usage { cost_basis: CostBasis::Metered, ..told });
    }

    #[test]
    fn all_results_of_a_process_count() {
        let usage = metered("agent/2.1.330/background-task.jsonl", false).usage(NanoUsd(0));
        assert_eq!((usage.usage.cost, usage.usage.cost_basis), (NanoUsd(189_594_500), CostBasis::Reported));
        assert_eq!(usage.agent_total_cost, Some(usage.usage.cost));
    }

    #[test]
    fn an_older_agent_tells_totals() {
        let meter = metered("agent/2.1.197/b-resume.jsonl", false);
        let total = meter.usage(NanoUsd(0));
        assert_eq!(total.usage.cost_basis, CostBasis::Derived);
        assert_eq!(Some(total.usage.cost), total.agent_total_cost);
        assert_eq!(meter.usage(NanoUsd(total.usage.cost.0 - 5)).usage.cost, NanoUsd(5));
        // The total before is larger, so this one is not grown from it.
        assert_eq!(meter.usage(NanoUsd(total.usage.cost.0 + 5)).usage.cost, total.usage.cost);
        assert!(total.usage.output_tokens > 0);
        let repeated = metered("agent/2.1.197/f-drop-partial.jsonl", false).usage(NanoUsd(0)).usage;
        assert_eq!((repeated.cost, repeated.cost_basis), (NanoUsd(120_658_750), CostBasis::Derived));
    }

    #[test]
    fn a_cut_answer_is_paid_for_although_the_result_is_silent() {
        let usage = metered("agent/2.1.197/g-sigint-midstream.jsonl", false).usage(NanoUsd(0)).usage;
        assert_eq!((usage.cost_basis, usage.cache_write_tokens), (CostBasis::Metered, 19_289));
        assert!(usage.cost.0 > 100_000_000);
        let nothing = metered("agent/2.1.330/stale.jsonl", false).usage(NanoUsd(9)).usage;
        assert_eq!((nothing.cost, nothing.cost_basis), (NanoUsd(0), CostBasis::Reported));
    }

    #[test]
    fn what_came_before_a_result_is_not_counted_after_it() {
        let mut meter = metered("agent-partial/tool.jsonl", false);
        let before = meter.usage(NanoUsd(0)).usage;
        let late = |id: &str| MeteredMessage {
            message_id: id.to_owned(),
            model: "claude-opus-4-8".to_owned(),
            usage: Usage { output_tokens: 100, ..Usage::default() },
        };
        assert!(!meter.message(&late("msg_1")));
        assert_eq!(meter.usage(NanoUsd(0)).usage, before);
        meter.message(&late("msg_9"));
        assert_eq!(meter.usage(NanoUsd(0)).usage.cost.0 - before.cost.0, 2_500_000);
        let EntryKind::Usage { usage, .. } = meter.entry() else { panic!() };
        assert_eq!(usage.output_tokens, before.output_tokens + 100);
    }

    #[test]
    fn an_answer_is_worth_a_word_when_it_ends() {
        let mut meter = Meter::default();
        let message = |output_tokens| MeteredMessage {
            message_id: "m".to_owned(),
            model: "x".to_owned(),
            usage: Usage { output_tokens, ..Usage::default() },
        };
        assert_eq!([1, 1, 42].map(|tokens| meter.message(&message(tokens))), [false, false, true]);
    }

    #[test]
    fn prices_are_learnt_and_go_from_process_to_process() {
        let used = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
        let mut prices = Prices::default();
        assert_eq!(prices.cost("claude-sonnet-4-5", &used), NanoUsd(4_500_000));
        prices.learn("claude-sonnet-4-5[1m]", &Usage { cost: NanoUsd(9_000_000), ..used });
        assert_eq!(prices.cost("claude-sonnet-4-5", &used), NanoUsd(9_000_000));
        assert_eq!(prices.cost("claude-haiku-4-5-20251001", &used), NanoUsd(1_500_000));
        prices.learn("claude-sonnet-4-5", &Usage { cost_basis: CostBasis::Unknown, ..used });
        let mut meter = Meter::with_prices(prices.clone());
        meter.message(&MeteredMessage { message_id: "m".to_owned(), model: "claude-sonnet-4-5".to_owned(), usage: used });
        assert_eq!((meter.usage(NanoUsd(0)).usage.cost, meter.prices()), (NanoUsd(9_000_000), &prices));
    }
}
