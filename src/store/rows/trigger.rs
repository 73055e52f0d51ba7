//! Triggers and settings.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::entity::{setting, trigger, trigger_secret};
use super::word;
use crate::domain::{Result, Secret, SecretId, Settings, Trigger, TriggerId, UnixMicros};
use crate::store::payload::{settings_from, spec_from, spec_to};

/// A trigger with what is shown of its secrets.
pub(crate) fn trigger_of(row: trigger::Model, secrets: &[trigger_secret::Model]) -> Result<Trigger> {
    let shown = |row: &trigger_secret::Model| Secret {
        id: SecretId(row.id),
        hint: row.hint.clone(),
        create_time: UnixMicros(row.create_time),
        expire_time: row.expire_time.map(UnixMicros),
        last_match_time: row.last_match_time.map(UnixMicros),
    };
    Ok(Trigger {
        id: TriggerId(row.id),
        slug: row.slug,
        source: word(&row.source)?,
        hook_token: row.hook_token,
        secrets: secrets.iter().map(shown).collect(),
        spec: spec_from(&row.spec, row.enabled)?,
        version: row.version,
        create_time: UnixMicros(row.create_time),
        update_time: UnixMicros(row.update_time),
    })
}

/// The row of a trigger; its secrets have rows of their own.
pub(crate) fn trigger_row(trigger: &Trigger) -> trigger::Model {
    trigger::Model {
        id: trigger.id.0,
        slug: trigger.slug.clone(),
        source: trigger.source.to_string(),
        hook_token: trigger.hook_token.clone(),
        enabled: trigger.spec.enabled,
        spec: spec_to(&trigger.spec),
        version: trigger.version,
        create_time: trigger.create_time.0,
        update_time: trigger.update_time.0,
    }
}

/// Triggers with their secrets, in the order of the rows.
pub(crate) async fn triggers_of(db: &impl ConnectionTrait, rows: Vec<trigger::Model>) -> Result<Vec<Trigger>> {
    let secrets = trigger_secret::Entity::find()
        .filter(trigger_secret::Column::TriggerId.is_in(rows.iter().map(|row| row.id)))
        .order_by_asc(trigger_secret::Column::Id)
        .all(db)
        .await?;
    let mut by_trigger: HashMap<Uuid, Vec<trigger_secret::Model>> = HashMap::new();
    for secret in secrets {
        by_trigger.entry(secret.trigger_id).or_default().push(secret);
    }
    rows.into_iter()
        .map(|row| {
            let secrets = by_trigger.remove(&row.id).unwrap_or_default();
            trigger_of(row, &secrets)
        })
        .collect()
}

/// The settings.
pub(crate) fn settings_of(row: &setting::Model) -> Result<Settings> {
    Ok(Settings {
        version: row.version,
        update_time: UnixMicros(row.update_time),
        updated_by: row.updated_by.clone(),
        ..settings_from(&row.value)?
    })
}
