//! Signed webhooks of many threads against servers that may die at any moment, and the judge of what came of them: the
//! test double's own journal, never the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reprise::proto::v1;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::claude::Spawn;
use super::client::Client;
use super::hook;
use super::server::Server;
use crate::threads::{assert_no_overlap, event_of};

/// Run ids by thread and event, of what was acked.
pub(crate) type Acked = BTreeMap<(u32, u32), BTreeSet<String>>;

/// Webhooks of a trigger, to servers whose addresses may change.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Base URLs of the servers that take webhooks now.
    pub(crate) targets: Arc<Mutex<Vec<String>>>,
    /// The hook's path.
    path: String,
    secret: String,
    /// How many threads send at the same time.
    pub(crate) threads: u32,
    /// The most of each thread, one after the other's ack.
    pub(crate) events: u32,
    /// About how long a thread waits before its next event.
    pub(crate) pause: Duration,
    /// Marks for the test double.
    pub(crate) marks: String,
    /// No thread begins another event.
    pub(crate) enough: CancellationToken,
    /// Told of each ack.
    pub(crate) acks: Arc<Notify>,
}

impl Load {
    /// A load on a new trigger of this server, whose runs nothing bounds but what happens to them.
    pub(crate) async fn on(server: &Server, threads: u32, events: u32, marks: &str) -> Self {
        let mut client = Client::connect(server).await;
        let limits = v1::LimitSettings { max_concurrent_runs: Some(8), ..Default::default() };
        let update = v1::UpdateSettingsRequest {
            settings: Some(v1::Settings { limits: Some(limits), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["limits.max_concurrent_runs".to_owned()] }),
            ..Default::default()
        };
        client.settings.update_settings(update).await.expect("updated");
        let (url, secret) = client
            .github_trigger("load", |trigger| {
                trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
                trigger.retry = Some(v1::RetryPolicy { max_attempts: Some(10), ..Default::default() });
            })
            .await;
        Self {
            targets: Arc::new(Mutex::new(vec![server.url.clone()])),
            path: url[url.find("/hooks").expect("a path")..].to_owned(),
            secret,
            threads,
            events,
            pause: Duration::ZERO,
            marks: marks.to_owned(),
            enough: CancellationToken::new(),
            acks: Arc::default(),
        }
    }

    /// Sends all of it, each thread by a sender of its own.
    pub(crate) fn send(&self) -> Vec<JoinHandle<Acked>> {
        (0..self.threads).map(|thread| tokio::spawn(self.clone().send_thread(thread))).collect()
    }

    /// Sends the events of a thread in order, until it is enough.
    async fn send_thread(self, thread: u32) -> Acked {
        let mut acked = Acked::new();
        for event in 0..self.events {
            if self.enough.is_cancelled() {
                break;
            }
            // Between nothing and twice the pause, the same in each test run.
            tokio::time::sleep(self.pause * ((thread * 7 + event * 13) % 10) / 5).await;
            // Of twenty one is sent twice at once, and one again when the next is through.
            let mut runs = if event % 20 == 3 {
                let (one, other) = tokio::join!(self.send_event(thread, event), self.send_event(thread, event));
                BTreeSet::from([one, other])
            } else {
                BTreeSet::from([self.send_event(thread, event).await])
            };
            acked.entry((thread, event)).or_default().append(&mut runs);
            if event % 20 == 14 {
                acked.entry((thread, event - 1)).or_default().insert(self.send_event(thread, event - 1).await);
            }
        }
        acked
    }

    /// Sends an event again and again until it is acked, as providers do; gives its run.
    async fn send_event(&self, thread: u32, event: u32) -> String {
        let delivery = format!("{thread}-{event}");
        let orphan = if event % 9 == 5 { "[[orphan]]" } else { "" };
        let payload = hook::comment(i64::from(thread), &format!("event {event} of thread {thread} {} {orphan}", self.marks));
        for turn in (thread + event) as usize.. {
            let base = {
                let targets = self.targets.lock().await;
                targets.get(turn % targets.len().max(1)).cloned().unwrap_or_default()
            };
            let url = format!("{base}{}", self.path);
            let sent = hook::github(&url, &self.secret, "issue_comment", &delivery, &payload);
            match tokio::time::timeout(Duration::from_secs(10), sent).await {
                Ok(Ok(answer)) if answer.status == 200 => {
                    self.acks.notify_waiters();
                    return answer.run_id();
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        unreachable!("it is sent until it is acked")
    }

    /// Every ack of the senders.
    pub(crate) async fn acked(senders: Vec<JoinHandle<Acked>>) -> Acked {
        let mut all = Acked::new();
        for sender in senders {
            all.extend(sender.await.expect("sent"));
        }
        all
    }

    /// Judges what really ran: nothing acked is lost, one run per delivery id, no two live turns of a conversation, first
    /// starts in the order of the events, no attempt that nothing ended under the same worker.
    pub(crate) fn judge(spawns: &[Spawn], acked: &Acked) {
        for (delivery, runs) in acked {
            assert_eq!(runs.len(), 1, "one run id per delivery id: {delivery:?} has {runs:?}");
        }
        assert_no_overlap(spawns);
        let done: BTreeSet<&str> = spawns.iter().filter(|spawn| spawn.end_us.is_some()).map(Spawn::run_id).collect();
        for (delivery, runs) in acked {
            assert!(runs.iter().all(|run| done.contains(run.as_str())), "{delivery:?} was acked and never ran to its end");
        }
        let ran: BTreeSet<&str> = spawns.iter().map(Spawn::run_id).collect();
        assert_eq!(ran.len(), acked.len(), "no run without an acked delivery");
        let mut order: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        // A long conversation is compacted first, by a process of the same attempt that does not hear the event.
        let turns = || spawns.iter().filter(|spawn| spawn.prompt.trim() != "/compact");
        for spawn in turns() {
            if seen.insert(spawn.run_id()) {
                let (thread, event) = event_of(spawn);
                order.entry(thread).or_default().push(event);
            }
        }
        for (thread, events) in order {
            assert!((0..).zip(&events).all(|(due, event)| due == *event), "order of thread {thread}: {events:?}");
        }
        let mut boots: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for spawn in turns() {
            boots.entry(spawn.run_id()).or_default().push(spawn.mark.split('.').next().unwrap_or_default());
        }
        for (run, boots) in boots {
            assert_eq!(boots.iter().collect::<BTreeSet<_>>().len(), boots.len(), "{run} was tried twice by one worker");
        }
    }
}
