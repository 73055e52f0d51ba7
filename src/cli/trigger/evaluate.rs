//! `reprise trigger update --dry-run`: a change is tried on what came in lately.

use super::super::connection::Api;
use super::super::failure::Failure;
use super::super::plain::plain;
use super::super::screen::{Screen, Tint};
use super::super::table::{Column, Table, tinted};
use super::super::words::{plural, short_id, word};
use crate::proto::v1::{DeliveryOutcome, DeliveryReason, EvaluateTriggerRequest, Evaluation, Trigger, UpdateTriggerRequest};

/// Checks a change, tries it on the last deliveries, and prints what would become of them. Nothing is changed.
pub(super) async fn try_change(
    trigger: Trigger,
    update_mask: Option<prost_types::FieldMask>,
    delivery_count: i32,
    api: &Api,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let request = UpdateTriggerRequest { trigger: Some(trigger), update_mask, validate_only: true };
    let checked = api.triggers().update_trigger(request).await?.into_inner();
    // As it would be stored: so a field that is cleared is cleared for the trial too.
    let draft = checked.trigger.map(|draft| Trigger { etag: String::new(), ..draft });
    let answer = api.triggers().evaluate_trigger(EvaluateTriggerRequest { trigger: draft, delivery_count }).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("DELIVERY", Column::Whole),
        ("THEN", Column::Whole),
        ("NOW", Column::Whole),
        ("THREAD", Column::CutStart),
        ("", Column::CutEnd),
    ]);
    let ids: Vec<&str> = answer.evaluations.iter().map(|one| one.delivery_id.as_str()).collect();
    for one in answer.evaluations.iter().filter(|one| one.changed) {
        table.row([
            short_id(&one.delivery_id, &ids).into(),
            outcome(one.outcome_then(), one.reason_then()).into(),
            tinted(outcome(one.outcome_now(), one.reason_now()), Some(Tint::Yellow)),
            thread(one).into(),
            plain(&one.message).into(),
        ]);
    }
    let tried = match answer.evaluations.len() {
        1 => "1 delivery".to_owned(),
        many => format!("{many} deliveries"),
    };
    table.print(screen, "no delivery would be treated otherwise")?;
    screen.line(format!("{} of {} would be treated otherwise; nothing was changed", answer.changed_count, tried))?;
    let ended = checked.restarted_session_count;
    if ended > 0 {
        screen.line(screen.paint(Tint::Yellow, &format!("⚠ it would end {}", plural(ended.into(), "conversation"))))?;
    }
    Ok(())
}

fn outcome(outcome: DeliveryOutcome, reason: DeliveryReason) -> String {
    let outcome = word(outcome.as_str_name(), "DELIVERY_OUTCOME_");
    match reason {
        DeliveryReason::Unspecified | DeliveryReason::MergedIntoWaiting => outcome,
        reason => format!("{outcome} ({})", word(reason.as_str_name(), "DELIVERY_REASON_")),
    }
}

fn thread(one: &Evaluation) -> String {
    let named = |key: &str| if key.is_empty() { "–".to_owned() } else { plain(key) };
    if one.thread_key_then == one.thread_key_now {
        return named(&one.thread_key_now);
    }
    format!("{} → {}", named(&one.thread_key_then), named(&one.thread_key_now))
}
