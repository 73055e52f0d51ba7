//! Everything that the runner needs for an attempt: small rows within the claim, bodies after it.

use std::collections::HashMap;

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::claim::Started;
use super::figures::settings;
use super::transaction::Step;
use super::{Assignment, EarlierAttempt, Lease, Queue, WorkedDelivery};
use crate::domain::{
    CostBasis, DeliveryId, DeliveryPayload, Error, LeaseId, NanoUsd, Result, RunId, Session, SessionId, UnixMicros, WorkerId,
};
use crate::store::entity::{attempt, delivery, delivery_payload, run, run_delivery, session, trigger};
use crate::store::payload::{manifest_from, word};
use crate::store::rows::{delivery_of, payload_of, runs_of, session_of, triggers_of};

/// A claimed run and the rows around it.
pub(super) struct Taken {
    assignment: Assignment,
}

/// Writes the attempts, and reads what is small.
pub(super) async fn taken(tx: &DatabaseTransaction, started: Vec<Started>, worker: WorkerId) -> Step<Vec<Taken>> {
    let runs = run::Entity::find().filter(run::Column::Id.is_in(started.iter().map(|one| one.id))).all(tx).await?;
    let sessions = session::Entity::find().filter(session::Column::Id.is_in(started.iter().map(|one| one.session_id))).all(tx).await?;
    let triggers = trigger::Entity::find().filter(trigger::Column::Id.is_in(started.iter().map(|one| one.trigger_id))).all(tx).await?;
    let triggers: HashMap<Uuid, _> = triggers_of(tx, triggers).await?.into_iter().map(|one| (one.id.0, one)).collect();
    let versions = triggers.iter().map(|(id, trigger)| (*id, trigger.version)).collect();
    insert_attempts(tx, &started, worker, &versions).await?;
    let mut earlier = earlier(tx, &started).await?;
    let settings = settings(tx).await?;

    let mut sessions: HashMap<Uuid, session::Model> = sessions.into_iter().map(|row| (row.id, row)).collect();
    let mut rows: HashMap<Uuid, run::Model> = runs.iter().map(|row| (row.id, row.clone())).collect();
    let mut runs: HashMap<Uuid, _> = runs_of(tx, runs, true).await?.into_iter().map(|one| (one.id.0, one)).collect();
    let mut all = Vec::with_capacity(started.len());
    for one in started {
        let gone = || Error::internal(format!("run {} lost its rows while it was claimed", RunId(one.id)));
        let row = rows.remove(&one.id).ok_or_else(gone)?;
        let session = sessions.remove(&one.session_id).ok_or_else(gone)?;
        let trigger = triggers.get(&one.trigger_id).cloned().ok_or_else(gone)?;
        let stored_prompt = match (&row.prompt_kind, row.prompt) {
            (Some(kind), Some(prompt)) => Some((word(kind)?, prompt)),
            _ => None,
        };
        all.push(Taken {
            assignment: Assignment {
                lease: Lease {
                    id: LeaseId(one.lease_id),
                    session_id: SessionId(one.session_id),
                    run_id: RunId(one.id),
                    attempt: one.attempt,
                },
                run: runs.remove(&one.id).ok_or_else(gone)?,
                trigger,
                settings: settings.clone(),
                deliveries: Vec::new(),
                session_mode: word(&row.session_mode)?,
                prompt_override: row.prompt_override,
                stored_prompt,
                earlier: earlier.remove(&one.id).unwrap_or_default(),
                manifest: manifest_from(&session.manifest)?,
                agent_total_cost: NanoUsd(session.agent_total_cost_nano),
                last_agent_version: session.agent_version.clone(),
                session: Session {
                    last_use_time: UnixMicros(one.last_use_time),
                    last_run_id: one.last_run.map(RunId),
                    ..session_of(session)?
                },
            },
        });
    }
    Ok(all)
}

async fn insert_attempts(tx: &DatabaseTransaction, started: &[Started], worker: WorkerId, versions: &HashMap<Uuid, i64>) -> Step<()> {
    let now = UnixMicros::now().0;
    let rows = started.iter().map(|one| attempt::ActiveModel {
        run_id: Set(one.id),
        number: Set(one.attempt),
        lease_id: Set(one.lease_id),
        worker_id: Set(worker.0),
        trigger_version: Set(versions.get(&one.trigger_id).copied().unwrap_or(0)),
        start_time: Set(now),
        cost_basis: Set(CostBasis::Reported.to_string()),
        ..Default::default()
    });
    attempt::Entity::insert_many(rows).exec_without_returning(tx).await?;
    Ok(())
}

async fn earlier(tx: &DatabaseTransaction, started: &[Started]) -> Step<HashMap<Uuid, Vec<EarlierAttempt>>> {
    let again: Vec<Uuid> = started.iter().filter(|one| one.attempt > 1).map(|one| one.id).collect();
    let mut found: HashMap<Uuid, Vec<EarlierAttempt>> = HashMap::new();
    if again.is_empty() {
        return Ok(found);
    }
    let rows = attempt::Entity::find().filter(attempt::Column::RunId.is_in(again)).order_by_asc(attempt::Column::Number).all(tx).await?;
    // The attempt that begins now has not ended.
    for row in rows.into_iter().filter(|row| row.end_time.is_some()) {
        let agent_session_id = Uuid::try_parse(&row.agent_session_id).ok();
        found.entry(row.run_id).or_default().push(EarlierAttempt { number: row.number, agent_session_id, exit: row.exit });
    }
    Ok(found)
}

/// Adds the deliveries. When they cannot be read the claims are given back, so that no run is held by nobody.
pub(super) async fn assignments(queue: &Queue, taken: Vec<Taken>) -> Result<Vec<Assignment>> {
    let mut all: Vec<Assignment> = taken.into_iter().map(|one| one.assignment).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let found = match deliveries(queue, &all).await {
        Ok(found) => Ok(found),
        Err(_) => deliveries(queue, &all).await,
    };
    match found {
        Ok(mut found) => {
            for one in &mut all {
                one.deliveries = found.remove(&one.run.id.0).unwrap_or_default();
            }
            Ok(all)
        }
        Err(error) => {
            for one in &all {
                if let Err(again) = queue.interrupt(&one.lease).await {
                    tracing::error!(run.id = %one.run.id, error = %again, "claimed run cannot be given back");
                }
            }
            Err(error)
        }
    }
}

async fn deliveries(queue: &Queue, all: &[Assignment]) -> Result<HashMap<Uuid, Vec<WorkedDelivery>>> {
    let db = queue.store().read();
    let links = run_delivery::Entity::find()
        .filter(run_delivery::Column::RunId.is_in(all.iter().map(|one| one.run.id.0)))
        .order_by_asc(run_delivery::Column::RunId)
        .order_by_asc(run_delivery::Column::Ordinal)
        .all(db)
        .await?;
    let ids: Vec<Uuid> = links.iter().map(|link| link.delivery_id).collect();
    let rows = delivery::Entity::find().filter(delivery::Column::Id.is_in(ids.iter().copied())).all(db).await?;
    let rows: HashMap<Uuid, delivery::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    let payloads = payloads(db, ids).await?;
    let mut found: HashMap<Uuid, Vec<WorkedDelivery>> = HashMap::new();
    for link in links {
        // One that retention took is no longer part of the prompt.
        let Some(row) = rows.get(&link.delivery_id) else { continue };
        let payload =
            payloads.get(&link.delivery_id).cloned().unwrap_or(DeliveryPayload { headers: Vec::new(), body: Vec::new(), walk: Vec::new() });
        found.entry(link.run_id).or_default().push(WorkedDelivery { delivery: delivery_of(row.clone())?, payload });
    }
    Ok(found)
}

async fn payloads(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<HashMap<Uuid, DeliveryPayload>> {
    let rows = delivery_payload::Entity::find().filter(delivery_payload::Column::DeliveryId.is_in(ids)).all(db).await?;
    // A body that cannot be read must not hold the queue up: its run goes on without it.
    let read = |row: &delivery_payload::Model| match payload_of(row) {
        Ok(payload) => Some((row.delivery_id, payload)),
        Err(error) => {
            tracing::error!(delivery.id = %DeliveryId(row.delivery_id), %error, "stored body of delivery cannot be read");
            None
        }
    };
    Ok(rows.iter().filter_map(read).collect())
}
