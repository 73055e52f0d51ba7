//! The fence: the time until which this process may have agents, on a clock that nobody sets.
//!
//! It lies well before the end of the worker's lease. A worker that cannot prolong its lease ends its agents there, by
//! itself, so that none of them is alive when another server takes their runs over.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at: timers stand still while the machine sleeps.
const LOOK: Duration = Duration::from_millis(100);

/// Which clock counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Goes on while the machine sleeps: others may take over meanwhile.
    Boot,
    /// Stands still while the machine sleeps: nobody else can take over.
    Awake,
}

impl Clock {
    /// Milliseconds on this clock, the same in every process of the machine.
    pub(super) fn now(self) -> i64 {
        let id = match self {
            Self::Boot => ClockId::CLOCK_BOOTTIME,
            Self::Awake => ClockId::CLOCK_MONOTONIC,
        };
        // Both clocks are there on every Linux that this runs on; a clock at its end means: no time is left.
        clock_gettime(id).map_or(i64::MAX, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
    }

    /// Its name for the watchdog's command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Awake => "awake",
        }
    }

    /// The clock of that name; the stricter one if there is none.
    pub(super) fn named(name: &str) -> Self {
        if name == "awake" { Self::Awake } else { Self::Boot }
    }
}

/// Until when this worker may have agents. Once passed it stays so.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) clock: Clock,
    until: AtomicI64,
    /// Until when the watchdog lets them live, by what it was told last.
    told: AtomicI64,
    moved: Notify,
    passed: CancellationToken,
}

impl Fence {
    /// A fence `span` from now on.
    pub(super) fn new(clock: Clock, span: Duration) -> Self {
        Self {
            clock,
            until: AtomicI64::new(clock.now().saturating_add(millis(span))),
            told: AtomicI64::new(i64::MAX),
            moved: Notify::new(),
            passed: CancellationToken::new(),
        }
    }

    /// Moves the fence to `span` after `asked`, when the sign of life was asked for. False: it had been passed before.
    pub(super) fn extend(&self, asked: i64, span: Duration) -> bool {
        if self.is_passed() {
            return false;
        }
        self.until.fetch_max(asked.saturating_add(millis(span)), Ordering::SeqCst);
        self.moved.notify_one();
        true
    }

    /// Completes when the fence was moved: the watchdog is to hear of it at once.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// The watchdog was told to let agents live until then. If that came within `slack` of what it was told before, or later,
    /// it may have ended them already, and the fence is passed: their death is no end of their runs.
    pub(super) fn told(&self, until: i64, slack: i64) {
        if self.clock.now() >= self.told.load(Ordering::SeqCst).saturating_sub(slack) {
            self.give_up();
        }
        self.told.store(until, Ordering::SeqCst);
    }

    /// Where it is, on its clock.
    pub(super) fn until(&self) -> i64 {
        self.until.load(Ordering::SeqCst)
    }

    /// Whether it lies behind us, or what the watchdog was told does.
    pub(super) fn is_passed(&self) -> bool {
        if !self.passed.is_cancelled() && self.clock.now() >= self.until().min(self.told.load(Ordering::SeqCst)) {
            self.passed.cancel();
        }
        self.passed.is_cancelled()
    }

    /// Passes it now: the lease is known to be lost.
    pub(super) fn give_up(&self) {
        self.passed.cancel();
    }

    /// Completes when it is passed.
    pub(super) async fn passed(&self) {
        while !self.is_passed() {
            tokio::select! { () = self.passed.cancelled() => {}, () = tokio::time::sleep(LOOK) => {} }
        }
    }
}

pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fence_that_was_passed_cannot_be_moved() {
        let fence = Fence::new(Clock::Boot, Duration::from_millis(30));
        assert!(fence.extend(Clock::Boot.now(), Duration::from_millis(60)));
        assert!(!fence.is_passed());
        fence.passed().await;
        assert!(!fence.extend(Clock::Boot.now(), Duration::from_secs(60)));
        assert!(fence.is_passed());
    }

    #[test]
    fn an_older_answer_does_not_move_it_back() {
        let fence = Fence::new(Clock::Awake, Duration::from_secs(60));
        let until = fence.until();
        assert!(fence.extend(0, Duration::from_secs(1)));
        assert_eq!(fence.until(), until);
        fence.give_up();
        assert!(fence.is_passed());
    }

    #[test]
    fn what_the_watchdog_was_told_bounds_it_too() {
        let fence = Fence::new(Clock::Boot, Duration::from_secs(60));
        let now = Clock::Boot.now();
        fence.told(now + 30_000, 500);
        fence.told(now + 40_000, 500);
        assert!(!fence.is_passed());
        fence.told(now + 400, 500);
        assert!(!fence.is_passed(), "it was told in time");
        fence.told(now + 40_000, 500);
        assert!(fence.is_passed(), "it may have acted before it heard that");

        let fence = Fence::new(Clock::Boot, Duration::from_secs(60));
        fence.told(now - 1, 500);
        assert!(fence.is_passed(), "it acts now");
    }

    #[test]
    fn clocks_are_found_by_their_names() {
        for clock in [Clock::Boot, Clock::Awake] {
            assert_eq!(Clock::named(clock.name()), clock);
            assert!(clock.now() > 0);
        }
    }
}
