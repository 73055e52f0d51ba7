//! T1 to T6 in any order, against a model of what must come of it.

use std::collections::BTreeMap;

use super::bed::Bed;
use super::on_every_database;
use crate::domain::{Error, OnInterrupt, RetryPolicy, RunId, RunStatus, SessionId, TriggerId};
use crate::queue::{Assignment, RunEnd};

const STEPS: usize = 400;
const CAPS: [i32; 2] = [3, 2];
const CAP_OF_ALL: usize = 4;

/// The same numbers each time, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).expect("small")
    }
}

/// What must hold of one run.
#[derive(Debug, Clone)]
struct Known {
    id: RunId,
    cancelled: bool,
    live: bool,
    end: Option<RunStatus>,
    attempts: i32,
}

/// What must hold of all: per session the runs in the order of their deliveries.
#[derive(Default)]
struct Model {
    sessions: BTreeMap<SessionId, Vec<Known>>,
}

impl Model {
    fn of(&mut self, run: RunId) -> &mut Known {
        self.sessions.values_mut().flatten().find(|known| known.id == run).expect("known")
    }

    fn all(&self) -> Vec<Known> {
        self.sessions.values().flatten().cloned().collect()
    }

    /// A claim may only begin the first run of its session that has not ended.
    fn claimed(&mut self, one: &Assignment) {
        let runs = self.sessions.get_mut(&one.session.id).expect("known");
        let head = runs.iter_mut().find(|known| known.end.is_none()).expect("something waits");
        assert_eq!(head.id, one.run.id, "in the order of deliveries");
        assert!(!head.live && !head.cancelled, "{head:?}");
        head.live = true;
        head.attempts += 1;
        assert_eq!(one.lease.attempt, head.attempts);
    }

    /// An attempt ended early: its run waits at its place, or is cancelled as was asked.
    fn interrupted(&mut self, run: RunId) {
        let known = self.of(run);
        known.live = false;
        known.end = known.cancelled.then_some(RunStatus::Cancelled);
    }

    fn ended(&mut self, run: RunId, end: RunStatus) {
        let known = self.of(run);
        (known.live, known.end) = (false, Some(end));
    }

    async fn holds(&self, bed: &Bed) {
        for known in self.all() {
            let run = bed.run(known.id).await;
            let status = match (known.end, known.live, known.cancelled) {
                (Some(end), _, _) => end,
                (None, true, true) => RunStatus::Cancelling,
                (None, true, false) => RunStatus::Starting,
                (None, false, _) => RunStatus::Queued,
            };
            assert_eq!((run.status, run.attempt), (status, known.attempts), "{known:?}");
        }
    }
}

struct World {
    bed: Bed,
    dice: Dice,
    model: Model,
    triggers: Vec<TriggerId>,
    live: Vec<Assignment>,
    /// Claims whose lease is over.
    zombies: Vec<Assignment>,
}

impl World {
    async fn new(bed: Bed, seed: u64) -> Self {
        bed.cap(None, i32::try_from(CAP_OF_ALL).expect("small")).await;
        let mut triggers = Vec::new();
        for cap in CAPS {
            triggers.push(bed.trigger_with(cap, RetryPolicy { on_interrupt: OnInterrupt::Resume, max_attempts: 1000 }).await);
        }
        Self { bed, dice: Dice(seed), model: Model::default(), triggers, live: Vec::new(), zombies: Vec::new() }
    }

    async fn step(&mut self) {
        match self.dice.roll(12) {
            0..=3 => self.deliver().await,
            4..=6 => self.claim().await,
            7 | 8 => self.finish().await,
            9 => self.interrupt().await,
            10 => self.cancel().await,
            _ if self.dice.roll(4) == 0 => self.die().await,
            _ => self.wake_a_zombie().await,
        }
    }

    async fn deliver(&mut self) {
        let trigger = self.triggers[self.dice.roll(2)];
        let accepted = self.bed.deliver(trigger, ["a", "b", "c", "d"][self.dice.roll(4)]).await;
        let known = Known { id: accepted.run_id.expect("a run"), cancelled: false, live: false, end: None, attempts: 0 };
        self.model.sessions.entry(accepted.session_id.expect("a session")).or_default().push(known);
    }

    async fn claim(&mut self) {
        let places = 1 + self.dice.roll(3);
        let claimed = self.bed.claim(places).await;
        assert!(claimed.len() <= places);
        for one in claimed {
            self.model.claimed(&one);
            self.live.push(one);
        }
        assert!(self.live.len() <= CAP_OF_ALL);
        for (trigger, cap) in self.triggers.iter().zip(CAPS) {
            let used = self.live.iter().filter(|one| one.trigger.id == *trigger).count();
            assert!(used <= usize::try_from(cap).expect("small"), "{used} of {cap}");
        }
        let waits = self.model.sessions.values().any(|runs| runs.iter().find(|run| run.end.is_none()).is_some_and(|run| !run.live));
        assert!(!self.live.is_empty() || !waits, "nothing is claimed although something waits and there is room");
    }

    fn one_live(&mut self) -> Option<Assignment> {
        (!self.live.is_empty()).then(|| self.live.remove(self.dice.roll(self.live.len())))
    }

    async fn finish(&mut self) {
        let Some(one) = self.one_live() else { return };
        self.bed.succeed(&one).await;
        self.model.ended(one.run.id, RunStatus::Succeeded);
        self.zombies.push(one);
    }

    async fn interrupt(&mut self) {
        let Some(one) = self.one_live() else { return };
        self.bed.queue.interrupt(&one.lease).await.expect("interrupted");
        self.model.interrupted(one.run.id);
        self.zombies.push(one);
    }

    async fn cancel(&mut self) {
        let all = self.model.all();
        if all.is_empty() {
            return;
        }
        let id = all[self.dice.roll(all.len())].id;
        self.bed.queue.request_cancel(id, "").await.expect("asked");
        let known = self.model.of(id);
        if known.end.is_none() {
            known.cancelled = true;
            known.end = (!known.live).then_some(RunStatus::Cancelled);
        }
    }

    async fn die(&mut self) {
        let recovered = self.bed.reboot().await;
        assert_eq!(recovered.requeued.len() + recovered.ended.len(), self.live.len());
        for one in std::mem::take(&mut self.live) {
            self.model.interrupted(one.run.id);
            self.zombies.push(one);
        }
    }

    async fn wake_a_zombie(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let zombie = self.zombies[self.dice.roll(self.zombies.len())].clone();
        let written = match self.dice.roll(3) {
            0 => self.bed.finish(&zombie, RunEnd::Succeeded("too late".to_owned())).await,
            1 => self.bed.queue.interrupt(&zombie.lease).await,
            _ => self.bed.queue.agent_up(&zombie.lease, "m", "2", "s").await,
        };
        assert!(matches!(written, Err(Error::Fenced)), "{written:?}");
    }

    /// Everything that waits comes to its end.
    async fn drain(&mut self) {
        loop {
            self.claim().await;
            if self.live.is_empty() {
                break;
            }
            while !self.live.is_empty() {
                self.finish().await;
            }
        }
        assert!(self.model.all().iter().all(|known| known.end.is_some()));
    }
}

on_every_database! {
    async fn any_order_of_events_comes_to_what_the_model_says(bed: Bed) {
        let mut world = World::new(bed, 20_261_126).await;
        for step in 0..STEPS {
            world.step().await;
            if step % 40 == 0 {
                world.model.holds(&world.bed).await;
                world.bed.healthy().await;
            }
        }
        world.drain().await;
        world.model.holds(&world.bed).await;
    }
}
