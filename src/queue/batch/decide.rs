//! What becomes of one delivery. Pure: it changes the plan alone, and an error changes nothing.

use std::time::Duration;

use uuid::Uuid;

use super::plan::{DeliveryPlan, Holder, Merge, Plan, RunPlan, SameKey, SessionPlan, TailRun};
use crate::domain::{
    BusyPolicy, DeliveryId, DeliveryOutcome, DeliveryReason, Error, Result, RunId, RunKind, SessionId, SessionKind, SessionMode,
    SessionState, UnixMicros, WaitReason,
};
use crate::queue::{Accepted, Disposition, NewDelivery, RunRequest, RunThread};
use crate::store::rows::LISTED_DUPLICATES;

const HOUR: Duration = Duration::from_secs(3600);

impl Plan {
    /// Decides on the delivery at `index` of the batch.
    pub(super) fn decide(&mut self, index: usize, delivery: &NewDelivery) -> Result<Accepted> {
        if let Some(trigger) = delivery.trigger_id.filter(|id| !self.triggers.contains(&id.0)) {
            return Err(Error::NotFound { kind: "trigger", id: trigger.to_string() });
        }
        let key = same_key(delivery);
        let holder = key.and_then(|key| self.holders.get(&key).cloned());
        let mut row = DeliveryPlan {
            index,
            key: key.map(|(_, hash)| hash),
            outcome: DeliveryOutcome::Queued,
            reason: None,
            message: String::new(),
            session_id: None,
            run_id: None,
            duplicate_of: None,
            redelivery_of: None,
            duplicates: 0,
        };
        if let Some(holder) = &holder {
            let window = delivery.dedupe.and_then(|dedupe| dedupe.window);
            // One from the future came while the clock was wrong: it says nothing of what comes now.
            let (this, that) = (delivery.receive_time, UnixMicros(holder.receive_time));
            let too_old = window.is_some_and(|window| this.since(that) > window || that.since(this) > window);
            if !too_old && !holder.failed {
                return Ok(self.duplicate(row, delivery, holder.clone(), window.is_some()));
            }
            row.redelivery_of = (!too_old).then_some(holder.id);
        }
        match &delivery.disposition {
            Disposition::Stop { outcome, reason, message } => {
                row.outcome = *outcome;
                row.reason = Some(*reason);
                row.message.clone_from(message);
            }
            Disposition::Run(request) => self.run(&mut row, delivery, request)?,
        }
        if let (Some(key), Some(holder)) = (key, &holder) {
            self.free(key, holder);
        }
        if let Some(key) = key {
            let failed = row.outcome == DeliveryOutcome::Rejected;
            let holder = Holder {
                id: delivery.id.0,
                planned: Some(self.deliveries.len()),
                receive_time: delivery.receive_time.0,
                run_id: row.run_id,
                session_id: row.session_id,
                duplicates: 0,
                failed,
            };
            self.holders.insert(key, holder);
        }
        Ok(self.push(row, delivery))
    }

    fn push(&mut self, row: DeliveryPlan, delivery: &NewDelivery) -> Accepted {
        let accepted = Accepted {
            delivery_id: delivery.id,
            outcome: row.outcome,
            reason: row.reason,
            message: row.message.clone(),
            session_id: row.session_id.map(SessionId),
            run_id: row.run_id.map(RunId),
            duplicate_of: row.duplicate_of.map(DeliveryId),
        };
        self.deliveries.push(row);
        accepted
    }

    /// A delivery that was here before: a row of its own, or past the listed ones only a count.
    fn duplicate(&mut self, mut row: DeliveryPlan, delivery: &NewDelivery, holder: Holder, by_body: bool) -> Accepted {
        let listed = holder.duplicates < LISTED_DUPLICATES;
        if let Some(held) = same_key(delivery).and_then(|key| self.holders.get_mut(&key)) {
            held.duplicates += 1;
        }
        match holder.planned {
            Some(place) => self.deliveries[place].duplicates += 1,
            None => *self.counted.entry(holder.id).or_default() += 1,
        }
        row.key = None;
        row.outcome = DeliveryOutcome::Duplicate;
        row.reason = Some(if by_body { DeliveryReason::SameBody } else { DeliveryReason::SameDeliveryId });
        row.session_id = holder.session_id;
        row.run_id = holder.run_id;
        row.duplicate_of = Some(holder.id);
        if listed {
            return self.push(row, delivery);
        }
        Accepted {
            delivery_id: DeliveryId(holder.id),
            outcome: row.outcome,
            reason: row.reason,
            message: String::new(),
            session_id: row.session_id.map(SessionId),
            run_id: row.run_id.map(RunId),
            duplicate_of: row.duplicate_of.map(DeliveryId),
        }
    }

    /// Takes the key from its holder.
    fn free(&mut self, key: SameKey, holder: &Holder) {
        self.holders.remove(&key);
        match holder.planned {
            Some(place) => self.deliveries[place].key = None,
            None => self.freed.push(holder.id),
        }
    }

    /// A delivery that may run: a new run, a merge, or a stop that only its session can tell.
    fn run(&mut self, row: &mut DeliveryPlan, delivery: &NewDelivery, request: &RunRequest) -> Result<()> {
        let known = self.place(delivery, request);
        if let (RunThread::Session(id), None) = (&request.thread, known) {
            return Err(Error::NotFound { kind: "session", id: id.to_string() });
        }
        let session = known.map(|place| &self.sessions[place]);
        row.session_id = session.map(|session| session.id);
        let busy = session.is_some_and(|session| session.state != SessionState::Idle);
        let continues = session.is_some_and(|session| session.has_conversation) || busy;
        if !request.may_start && !continues {
            row.outcome = DeliveryOutcome::Filtered;
            row.reason = Some(DeliveryReason::NoSessionToContinue);
            row.session_id = None;
            return Ok(());
        }
        if matches!(request.session_mode, SessionMode::Resume | SessionMode::Fork) && !continues {
            return Err(Error::SessionModeImpossible { why: "the thread has no conversation to continue".to_owned() });
        }
        if busy && request.busy == BusyPolicy::Drop {
            row.outcome = DeliveryOutcome::Dropped;
            row.reason = Some(DeliveryReason::SessionBusy);
            return Ok(());
        }
        if let Some(place) = known
            && let Some(run) = self.merge(place, delivery, request)
        {
            row.outcome = DeliveryOutcome::Coalesced;
            row.reason = Some(DeliveryReason::MergedIntoWaiting);
            row.run_id = Some(run);
            return Ok(());
        }
        self.check_room(known)?;
        let place = known.unwrap_or_else(|| self.new_session(delivery, request));
        row.session_id = Some(self.sessions[place].id);
        row.run_id = Some(self.enqueue(row.index, place, delivery, request));
        Ok(())
    }

    /// The session that a delivery finds, by its place in the plan.
    pub(super) fn place(&self, delivery: &NewDelivery, request: &RunRequest) -> Option<usize> {
        match &request.thread {
            RunThread::Key(key) => delivery.trigger_id.and_then(|trigger| self.threads.get(&(trigger.0, key.clone())).copied()),
            RunThread::Session(id) => self.named.get(&id.0).copied(),
            RunThread::Once => None,
        }
    }

    fn check_room(&self, session: Option<usize>) -> Result<()> {
        let limit = i64::from(self.limits.max_queued_runs);
        if self.queued >= limit {
            return Err(Error::QueueFull { scope: "server", limit });
        }
        let limit = self.limits.max_queued_per_session;
        if session.is_some_and(|place| self.sessions[place].queued >= limit) {
            return Err(Error::QueueFull { scope: "session", limit: i64::from(limit) });
        }
        Ok(())
    }

    /// Lets a delivery join the run that waits at the session's tail, if one does and it is not full.
    fn merge(&mut self, place: usize, delivery: &NewDelivery, request: &RunRequest) -> Option<Uuid> {
        let BusyPolicy::Coalesce { quiet_period, max_wait, max_batch } = request.busy else { return None };
        if !joinable(request) {
            return None;
        }
        let now = self.now;
        let session = &mut self.sessions[place];
        let tail = session.open_tail.as_mut().filter(|tail| tail.deliveries < max_batch)?;
        let ordinal = tail.deliveries;
        tail.deliveries += 1;
        let full = tail.deliveries >= max_batch;
        let quiet = if full { now } else { now.plus(quiet_period).min(UnixMicros(tail.create_time).plus(max_wait)) };
        tail.not_before = quiet.0.max(tail.breaker_until);
        let (id, wait_reason) = (tail.id, wait_reason(tail.not_before, tail.breaker_until, now));
        let merge = Merge { deliveries: tail.deliveries, not_before: tail.not_before, wait_reason };
        match tail.planned {
            Some(planned) => {
                let run = &mut self.runs[planned];
                (run.deliveries, run.not_before, run.wait_reason) = (merge.deliveries, merge.not_before, merge.wait_reason);
            }
            None => {
                self.merged.insert(id, merge);
            }
        }
        if session.state == SessionState::Queued && session.head == tail.seq {
            session.ready_time = merge.not_before;
        }
        session.see(delivery);
        self.links.push((id, ordinal, delivery.id.0));
        Some(id)
    }

    fn new_session(&mut self, delivery: &NewDelivery, request: &RunRequest) -> usize {
        let trigger_id = delivery.trigger_id.map_or(Uuid::nil(), |id| id.0);
        let (kind, thread_key) = match &request.thread {
            RunThread::Key(key) => (SessionKind::Thread, Some(key.clone())),
            RunThread::Session(_) | RunThread::Once => (SessionKind::Once, None),
        };
        let place = self.sessions.len();
        if let Some(key) = &thread_key {
            self.threads.insert((trigger_id, key.clone()), place);
        }
        self.sessions.push(SessionPlan {
            id: SessionId::new().0,
            trigger_id,
            slug: delivery.trigger_slug.clone(),
            kind,
            thread_key,
            title: String::new(),
            url: String::new(),
            state: SessionState::Idle,
            ready_time: 0,
            head: 1,
            tail: 0,
            queued: 0,
            run_count: 0,
            generation: 1,
            has_conversation: false,
            new: true,
            changed: true,
            open_tail: None,
            starts: Vec::new(),
        });
        place
    }

    /// A new run at the session's tail.
    fn enqueue(&mut self, index: usize, place: usize, delivery: &NewDelivery, request: &RunRequest) -> Uuid {
        let now = self.now;
        let id = RunId::new().0;
        let session = &mut self.sessions[place];
        session.see(delivery);
        let breaker_until = session.breaker_until(request.runs_per_session_per_hour);
        let quiet = match request.busy {
            BusyPolicy::Coalesce { quiet_period, max_wait, max_batch } if joinable(request) && max_batch > 1 => {
                now.plus(quiet_period.min(max_wait))
            }
            _ => now,
        };
        let not_before = quiet.0.max(breaker_until);
        session.tail += 1;
        session.queued += 1;
        session.run_count += 1;
        session.starts.push(not_before.max(session.starts.last().copied().unwrap_or(0)));
        if session.state == SessionState::Idle {
            session.state = SessionState::Queued;
            session.head = session.tail;
            session.ready_time = not_before;
        }
        let planned = self.runs.len();
        session.open_tail = joinable(request).then_some(TailRun {
            id,
            seq: session.tail,
            deliveries: 1,
            not_before,
            breaker_until,
            create_time: now.0,
            planned: Some(planned),
        });
        let wait_reason = wait_reason(not_before, breaker_until, now);
        self.runs.push(RunPlan { id, index, session: place, seq: session.tail, not_before, wait_reason, deliveries: 1 });
        self.links.push((id, 0, delivery.id.0));
        self.queued += 1;
        id
    }
}

impl SessionPlan {
    /// Keeps title and link of the newest event that has them.
    fn see(&mut self, delivery: &NewDelivery) {
        self.changed = true;
        for (kept, seen) in [(&mut self.title, &delivery.event.title), (&mut self.url, &delivery.event.url)] {
            if !seen.is_empty() {
                kept.clone_from(seen);
            }
        }
    }

    /// The loop breaker: when the run that stands `limit` places before a new one leaves the hour.
    fn breaker_until(&self, limit: i32) -> i64 {
        let Ok(limit @ 1..) = usize::try_from(limit) else { return 0 };
        let blocking = self.starts.len().checked_sub(limit).map(|place| self.starts[place]);
        blocking.map_or(0, |start| UnixMicros(start).plus(HOUR).0)
    }
}

/// Whether a run of this request may stand for several deliveries.
fn joinable(request: &RunRequest) -> bool {
    request.kind == RunKind::Turn && request.prompt_override.is_none() && request.session_mode == SessionMode::Default
}

fn wait_reason(not_before: i64, breaker_until: i64, now: UnixMicros) -> &'static str {
    if not_before <= now.0 {
        ""
    } else if breaker_until >= not_before {
        WaitReason::Breaker.as_str()
    } else {
        WaitReason::QuietPeriod.as_str()
    }
}

/// The key that a delivery would hold. What was refused before any rule saw it holds none.
pub(super) fn same_key(delivery: &NewDelivery) -> Option<SameKey> {
    let judged = match &delivery.disposition {
        Disposition::Stop { outcome: DeliveryOutcome::Rejected, reason, .. } => {
            matches!(reason, DeliveryReason::FilterFailed | DeliveryReason::ThreadKeyFailed)
        }
        _ => true,
    };
    let trigger = delivery.trigger_id.filter(|_| judged)?;
    Some((trigger.0, delivery.dedupe?.key))
}
