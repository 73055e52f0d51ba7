//! How many refused webhooks are listed: enough to see what is wrong, too few to fill a disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::{TriggerId, UnixMicros};

const PER_TRIGGER: u32 = 10;
const IN_ALL: u32 = 60;
const MINUTE: i64 = 60_000_000;

/// Counts what was listed in this minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    minute: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    in_all: u32,
    /// Webhooks without a trigger share the place of none.
    by_trigger: HashMap<Option<TriggerId>, u32>,
}

impl Refusals {
    /// Whether one more may be listed now; counts it if so.
    pub(super) fn admit(&self, trigger: Option<TriggerId>, now: UnixMicros) -> bool {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.0.div_euclid(MINUTE);
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        let listed = minute.by_trigger.get(&trigger).copied().unwrap_or(0);
        let admitted = minute.in_all < IN_ALL && listed < PER_TRIGGER;
        if admitted {
            minute.in_all += 1;
            minute.by_trigger.insert(trigger, listed + 1);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_for_each_trigger_and_sixty_in_all() {
        let refusals = Refusals::default();
        let listed = |trigger, second: i64, tries| (0..tries).filter(|_| refusals.admit(trigger, UnixMicros(second * 1_000_000))).count();
        assert_eq!(listed(None, 0, 100), 10);
        assert_eq!(listed(None, 59, 100), 0);
        let others: usize = (0..10).map(|_| listed(Some(TriggerId::new()), 30, 20)).sum();
        assert_eq!(others, 50);
        assert_eq!(listed(None, 60, 100), 10, "the next minute");
    }
}
