//! The one row of settings, and the limit of all runs together, which belongs to it.

use std::time::Duration;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;

use super::entity::{limit, setting, trigger_secret};
use super::rows::{SETTINGS_ROW, settings_of};
use super::{Store, payload};
use crate::domain::{Error, Result, Settings, UnixMicros};

/// Where the fingerprint of the master key is.
const MASTER_KEY_ROW: &str = "master_key";

impl Store {
    /// The settings; none in a new database.
    pub(crate) async fn settings(&self) -> Result<Option<Settings>> {
        let row = setting::Entity::find_by_id(SETTINGS_ROW).one(self.read()).await?;
        row.as_ref().map(settings_of).transpose()
    }

    /// Stores the first settings, unless somebody else did; returns those that count.
    pub(crate) async fn create_settings(&self, settings: &Settings) -> Result<Settings> {
        let tx = self.begin().await?;
        let row = setting::ActiveModel { last_cleanup_date: Set(None), ..row(settings) };
        let keep = OnConflict::column(setting::Column::Name).do_nothing().to_owned();
        setting::Entity::insert(row).on_conflict(keep).exec_without_returning(&tx).await?;
        let limits = limit::ActiveModel {
            trigger_id: Set(Uuid::nil()),
            cap: Set(settings.limits.max_concurrent_runs),
            used: Set(0),
            open: Set(true),
            last_claimed_time: Set(0),
        };
        let keep = OnConflict::column(limit::Column::TriggerId).do_nothing().to_owned();
        limit::Entity::insert(limits).on_conflict(keep).exec_without_returning(&tx).await?;
        tx.commit().await?;
        self.settings().await?.ok_or_else(|| Error::internal("the settings were not stored"))
    }

    /// Replaces the settings and the limit of all runs, if they still have this version; false: they have not.
    pub(crate) async fn replace_settings(&self, version: i64, settings: &Settings) -> Result<bool> {
        let tx = self.begin().await?;
        let written = setting::Entity::update_many()
            .set(row(settings))
            .filter(setting::Column::Name.eq(SETTINGS_ROW))
            .filter(setting::Column::Version.eq(version))
            .exec(&tx)
            .await?;
        if written.rows_affected == 0 {
            return Ok(false);
        }
        limit::Entity::update_many()
            .set(limit::ActiveModel { cap: Set(settings.limits.max_concurrent_runs), ..Default::default() })
            .filter(limit::Column::TriggerId.eq(Uuid::nil()))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether secrets are sealed with the master key of this fingerprint, as those of the first server were. Where nothing
    /// is sealed yet, it is from now on.
    pub(crate) async fn agree_on_master_key(&self, fingerprint: &str) -> Result<bool> {
        use setting::Column::{Name, Value};
        let tx = self.begin().await?;
        let row = setting::ActiveModel {
            name: Set(MASTER_KEY_ROW.to_owned()),
            value: Set(fingerprint.to_owned()),
            version: Set(1),
            update_time: Set(UnixMicros::now().0),
            updated_by: Set(String::new()),
            last_cleanup_date: Set(None),
        };
        let keep = OnConflict::column(Name).do_nothing().to_owned();
        setting::Entity::insert(row).on_conflict(keep).exec_without_returning(&tx).await?;
        let agreed = setting::Entity::find_by_id(MASTER_KEY_ROW).lock_exclusive().one(&tx).await?;
        let mut agrees = agreed.is_some_and(|row| row.value == fingerprint);
        if !agrees && trigger_secret::Entity::find().one(&tx).await?.is_none() {
            let change = setting::ActiveModel { value: Set(fingerprint.to_owned()), ..Default::default() };
            setting::Entity::update_many().set(change).filter(Name.eq(MASTER_KEY_ROW)).filter(Value.ne(fingerprint)).exec(&tx).await?;
            agrees = true;
        }
        tx.commit().await?;
        Ok(agrees)
    }

    /// Takes the turn at something that one of several servers does, at most once in `every`; false: another did it. One that
    /// was taken while the clock was wrong holds nobody up.
    pub(crate) async fn take_turn(&self, what: &str, every: Duration) -> Result<bool> {
        use setting::Column::{Name, UpdateTime};
        let now = UnixMicros::now();
        let row = setting::ActiveModel {
            name: Set(what.to_owned()),
            value: Set(String::new()),
            version: Set(1),
            update_time: Set(0),
            updated_by: Set(String::new()),
            last_cleanup_date: Set(None),
        };
        let keep = OnConflict::column(Name).do_nothing().to_owned();
        setting::Entity::insert(row).on_conflict(keep).exec_without_returning(self.write()).await?;
        let taken = setting::Entity::update_many()
            .set(setting::ActiveModel { update_time: Set(now.0), ..Default::default() })
            .filter(Name.eq(what))
            .filter(Condition::any().add(UpdateTime.lte(now.minus(every).0)).add(UpdateTime.gt(now.plus(every).0)))
            .exec(self.write())
            .await?;
        Ok(taken.rows_affected == 1)
    }

    /// The local date of the last daily clean-up.
    pub(crate) async fn last_cleanup_date(&self) -> Result<Option<String>> {
        let date = setting::Entity::find_by_id(SETTINGS_ROW)
            .select_only()
            .column(setting::Column::LastCleanupDate)
            .into_tuple()
            .one(self.read())
            .await?;
        Ok(date.flatten())
    }

    /// Takes a date (`2026-01-31`) for its clean-up; false: it or a later one was taken before. One after `latest` was taken
    /// while the clock was wrong, and does not count.
    pub(crate) async fn take_cleanup_date(&self, date: &str, latest: &str) -> Result<bool> {
        use setting::Column::{LastCleanupDate, Name};
        let tx = self.begin().await?;
        let taken = setting::Entity::update_many()
            .set(setting::ActiveModel { last_cleanup_date: Set(Some(date.to_owned())), ..Default::default() })
            .filter(Name.eq(SETTINGS_ROW))
            .filter(Condition::any().add(LastCleanupDate.is_null()).add(LastCleanupDate.lt(date)).add(LastCleanupDate.gt(latest)))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(taken.rows_affected == 1)
    }
}

fn row(settings: &Settings) -> setting::ActiveModel {
    setting::ActiveModel {
        name: Set(SETTINGS_ROW.to_owned()),
        value: Set(payload::settings_to(settings)),
        version: Set(settings.version),
        update_time: Set(settings.update_time.0),
        updated_by: Set(settings.updated_by.clone()),
        ..Default::default()
    }
}
