//! Triggers, their secrets, and the row of limits that belongs to each.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::entity::{limit, trigger, trigger_secret};
use super::page::page_by_id;
use super::rows::{trigger_row, triggers_of};
use super::{Store, payload};
use crate::domain::{Error, Page, PageRequest, Result, SecretId, Trigger, TriggerFilter, TriggerId, TriggerSpec, UnixMicros};

/// A sealed secret, to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewSecret {
    pub(crate) id: SecretId,
    pub(crate) sealed: Vec<u8>,
    /// The last four characters.
    pub(crate) hint: String,
    pub(crate) create_time: UnixMicros,
}

/// A sealed secret that counts now.
#[derive(Debug, Clone)]
pub(crate) struct ActiveSecret {
    pub(crate) id: SecretId,
    pub(crate) sealed: Vec<u8>,
    pub(crate) last_match_time: Option<UnixMicros>,
}

fn cap(spec: &TriggerSpec) -> i32 {
    spec.caps.concurrent_runs.unwrap_or(i32::MAX)
}

fn not_found(id: impl std::fmt::Display) -> Error {
    Error::NotFound { kind: "trigger", id: id.to_string() }
}

fn active(now: UnixMicros) -> Condition {
    Condition::any().add(trigger_secret::Column::ExpireTime.is_null()).add(trigger_secret::Column::ExpireTime.gt(now.0))
}

impl Store {
    /// Stores a new trigger with its secrets and limits. Errors: `SlugTaken`.
    pub(crate) async fn create_trigger(&self, trigger: &Trigger, secrets: &[NewSecret]) -> Result<Trigger> {
        let tx = self.begin().await?;
        let holder = trigger::Entity::find().filter(trigger::Column::Slug.eq(&trigger.slug)).one(&tx).await?;
        if let Some(holder) = holder {
            return Err(Error::SlugTaken { slug: trigger.slug.clone(), trigger_id: TriggerId(holder.id).to_string() });
        }
        trigger::Entity::insert(trigger_row(trigger).into_active_model().reset_all()).exec_without_returning(&tx).await?;
        for secret in secrets {
            insert_secret(&tx, trigger.id, secret).await?;
        }
        let limits = limit::ActiveModel {
            trigger_id: Set(trigger.id.0),
            cap: Set(cap(&trigger.spec)),
            used: Set(0),
            open: Set(trigger.spec.enabled),
            last_claimed_time: Set(0),
        };
        limit::Entity::insert(limits).exec_without_returning(&tx).await?;
        tx.commit().await?;
        self.trigger(trigger.id).await?.ok_or_else(|| not_found(trigger.id))
    }

    /// The trigger of this id.
    pub(crate) async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>> {
        let row = trigger::Entity::find_by_id(id.0).all(self.read()).await?;
        Ok(triggers_of(self.read(), row).await?.pop())
    }

    /// The trigger of this slug.
    pub(crate) async fn trigger_by_slug(&self, slug: &str) -> Result<Option<Trigger>> {
        let row = trigger::Entity::find().filter(trigger::Column::Slug.eq(slug)).all(self.read()).await?;
        Ok(triggers_of(self.read(), row).await?.pop())
    }

    /// Triggers, newest first.
    pub(crate) async fn list_triggers(&self, filter: &TriggerFilter, page: PageRequest) -> Result<Page<Trigger>> {
        let mut query = trigger::Entity::find().order_by_desc(trigger::Column::Id).limit(u64::from(page.size) + 1);
        if let Some(source) = filter.source {
            query = query.filter(trigger::Column::Source.eq(source.as_str()));
        }
        if let Some(enabled) = filter.enabled {
            query = query.filter(trigger::Column::Enabled.eq(enabled));
        }
        if let Some(after) = page.after {
            query = query.filter(trigger::Column::Id.lt(after.id));
        }
        let (rows, next) = page_by_id(query.all(self.read()).await?, page, |row| row.id);
        Ok(Page { items: triggers_of(self.read(), rows).await?, next })
    }

    /// Replaces what a caller may set, and the limits with it, if the trigger still has this version. Errors: `NotFound`, `EtagMismatch`.
    pub(crate) async fn update_trigger(&self, id: TriggerId, version: i64, spec: &TriggerSpec) -> Result<Trigger> {
        let tx = self.begin().await?;
        let written = trigger::Entity::update_many()
            .set(trigger::ActiveModel {
                enabled: Set(spec.enabled),
                spec: Set(payload::spec_to(spec)),
                version: Set(version + 1),
                update_time: Set(UnixMicros::now().0),
                ..Default::default()
            })
            .filter(trigger::Column::Id.eq(id.0))
            .filter(trigger::Column::Version.eq(version))
            .exec(&tx)
            .await?;
        if written.rows_affected == 0 {
            let present = trigger::Entity::find_by_id(id.0).one(&tx).await?.ok_or_else(|| not_found(id))?;
            return Err(Error::EtagMismatch { etag: present.version.to_string() });
        }
        limit::Entity::update_many()
            .set(limit::ActiveModel { cap: Set(cap(spec)), open: Set(spec.enabled), ..Default::default() })
            .filter(limit::Column::TriggerId.eq(id.0))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        self.trigger(id).await?.ok_or_else(|| not_found(id))
    }

    /// Adds a secret and lets the active one end at `old_ends`; with a hook token, the URL changes too. Secrets that ended
    /// are forgotten. Errors: `NotFound`, `TooManySecrets`.
    pub(crate) async fn rotate_secret(
        &self,
        id: TriggerId,
        secret: &NewSecret,
        old_ends: UnixMicros,
        hook_token: Option<String>,
    ) -> Result<Trigger> {
        let now = secret.create_time;
        let tx = self.begin().await?;
        let row = trigger::Entity::find_by_id(id.0).one(&tx).await?.ok_or_else(|| not_found(id))?;
        let mine = || trigger_secret::Column::TriggerId.eq(id.0);
        let olds = trigger_secret::Entity::find().filter(mine()).filter(active(now)).all(&tx).await?;
        if old_ends > now && olds.len() > 1 {
            return Err(Error::TooManySecrets);
        }
        for old in olds.iter().filter(|old| old.expire_time.is_none_or(|ends| ends > old_ends.0)) {
            trigger_secret::Entity::update_many()
                .col_expr(trigger_secret::Column::ExpireTime, Expr::val(old_ends.0))
                .filter(trigger_secret::Column::Id.eq(old.id))
                .exec(&tx)
                .await?;
        }
        trigger_secret::Entity::delete_many().filter(mine()).filter(trigger_secret::Column::ExpireTime.lte(now.0)).exec(&tx).await?;
        insert_secret(&tx, id, secret).await?;
        trigger::Entity::update_many()
            .set(trigger::ActiveModel {
                hook_token: Set(hook_token.unwrap_or(row.hook_token)),
                version: Set(row.version + 1),
                update_time: Set(now.0),
                ..Default::default()
            })
            .filter(trigger::Column::Id.eq(id.0))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        self.trigger(id).await?.ok_or_else(|| not_found(id))
    }

    /// The secrets that count now, newest first.
    pub(crate) async fn active_secrets(&self, trigger: TriggerId, now: UnixMicros) -> Result<Vec<ActiveSecret>> {
        let rows = trigger_secret::Entity::find()
            .filter(trigger_secret::Column::TriggerId.eq(trigger.0))
            .filter(active(now))
            .order_by_desc(trigger_secret::Column::Id)
            .all(self.read())
            .await?;
        let open = |row: trigger_secret::Model| ActiveSecret {
            id: SecretId(row.id),
            sealed: row.sealed,
            last_match_time: row.last_match_time.map(UnixMicros),
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// Keeps that a delivery matched this secret; ask at most once a minute.
    pub(crate) async fn touch_secret(&self, secret: SecretId, now: UnixMicros) -> Result<()> {
        let tx = self.begin().await?;
        trigger_secret::Entity::update_many()
            .col_expr(trigger_secret::Column::LastMatchTime, Expr::val(now.0))
            .filter(trigger_secret::Column::Id.eq(secret.0))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

async fn insert_secret(tx: &DatabaseTransaction, trigger: TriggerId, secret: &NewSecret) -> Result<()> {
    let row = trigger_secret::ActiveModel {
        id: Set(secret.id.0),
        trigger_id: Set(trigger.0),
        sealed: Set(secret.sealed.clone()),
        hint: Set(secret.hint.clone()),
        create_time: Set(secret.create_time.0),
        expire_time: Set(None),
        last_match_time: Set(None),
    };
    trigger_secret::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
