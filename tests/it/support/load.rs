//! Signed webhooks of many threads against servers that may die at any moment, and the judge of what came of them: the
//! test double's own journal, never the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::claude::Spawn;
use super::hook;
use crate::threads::{assert_no_overlap, event_of};

/// Run ids by delivery id, of what was acked.
pub(crate) type Acked = BTreeMap<String, BTreeSet<String>>;

/// Webhooks of a trigger, to servers whose addresses may change.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Base URLs of the servers that take webhooks now.
    pub(crate) targets: Arc<Mutex<Vec<String>>>,
    /// The hook's path.
    pub(crate) path: String,
    pub(crate) secret: String,
    pub(crate) threads: u32,
    /// Of each thread, one after the other's ack.
    pub(crate) events: u32,
    /// Marks for the test double.
    pub(crate) marks: String,
}

impl Load {
    /// Sends all of it, each thread by a sender of its own.
    pub(crate) fn send(&self) -> Vec<JoinHandle<Acked>> {
        (0..self.threads).map(|thread| tokio::spawn(self.clone().send_thread(thread))).collect()
    }

    /// Sends every event of a thread in order, again and again until each is acked, as providers do.
    async fn send_thread(self, thread: u32) -> Acked {
        let mut acked = Acked::new();
        let mut turn = thread as usize;
        for event in 0..self.events {
            let delivery = format!("{thread}-{event}");
            let payload = hook::comment(i64::from(thread), &format!("event {event} of thread {thread} {}", self.marks));
            // Every tenth is sent twice on purpose.
            let mut wanted = 1 + u32::from(event % 10 == 3);
            while wanted > 0 {
                let base = {
                    let targets = self.targets.lock().await;
                    turn += 1;
                    targets[turn % targets.len()].clone()
                };
                let url = format!("{base}{}", self.path);
                let sent = hook::github(&url, &self.secret, "issue_comment", &delivery, &payload);
                match tokio::time::timeout(Duration::from_secs(10), sent).await {
                    Ok(Ok(answer)) if answer.status == 200 => {
                        acked.entry(delivery.clone()).or_default().insert(answer.run_id());
                        wanted -= 1;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
        acked
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
    pub(crate) fn judge(&self, spawns: &[Spawn], acked: &Acked) {
        assert_eq!(acked.len(), usize::try_from(self.threads * self.events).expect("fits"), "every delivery was acked");
        for (delivery, runs) in acked {
            assert_eq!(runs.len(), 1, "one run id per delivery id: {delivery} has {runs:?}");
        }
        assert_no_overlap(spawns);
        let ran: BTreeSet<&str> = spawns.iter().map(Spawn::run_id).collect();
        for (delivery, runs) in acked {
            assert!(runs.iter().all(|run| ran.contains(run.as_str())), "{delivery} was acked and never ran");
        }
        assert_eq!(ran.len(), acked.len(), "no run without an acked delivery");
        let mut order: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for spawn in spawns {
            if seen.insert(spawn.run_id()) {
                let (thread, event) = event_of(spawn);
                order.entry(thread).or_default().push(event);
            }
        }
        for (thread, events) in order {
            assert_eq!(events, (0..self.events).collect::<Vec<_>>(), "order of thread {thread}");
        }
        let mut boots: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for spawn in spawns {
            boots.entry(spawn.run_id()).or_default().push(spawn.mark.split('.').next().unwrap_or_default());
        }
        for (run, boots) in boots {
            assert_eq!(boots.iter().collect::<BTreeSet<_>>().len(), boots.len(), "{run} was tried twice by one worker");
        }
    }
}
