//! Points in time as whole microseconds since the Unix epoch: one integer that sorts alike in both databases. And the
//! clock of this process, which never goes back.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::{ContextV7, Timestamp, Uuid};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// The time now. Where [`follow`] is called it is that of the database, so that servers agree whatever their own clocks
    /// say, and it does not go back when those are set back: what waits for a time would wait too long, and what is new
    /// would be listed as old.
    #[must_use]
    pub fn now() -> Self {
        pace().map_or_else(Self::system, |pace| pace.now(Instant::now()))
    }

    /// How far [`UnixMicros::now`] is ahead of what the time was last said to be, after a clock was set back: what others
    /// sign, they sign under their own clocks.
    #[must_use]
    pub fn ahead() -> Duration {
        pace().map_or(Duration::ZERO, |pace| pace.ahead(Instant::now()))
    }

    /// The clock of this machine, which anybody may set.
    #[must_use]
    pub fn system() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }

    /// This time plus a span; saturates at the far end.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This time less a span; saturates at the far end.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// The span from `earlier` to this time; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same instant for calendar arithmetic.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A new id, ordered by time of creation.
#[must_use]
pub fn new_id() -> Uuid {
    let now = UnixMicros::now().to_jiff();
    let (seconds, nanos) = (u64::try_from(now.as_second()).unwrap_or(0), u32::try_from(now.subsec_nanosecond()).unwrap_or(0));
    Uuid::new_v7(Timestamp::from_unix(&ORDER, seconds, nanos))
}

/// Sets the clock of this process to `time`, that of the database. A time that is a little earlier than this clock slows it
/// down until the two agree. One that is earlier by more than two hours sets it back: this gives by how much.
pub fn follow(time: UnixMicros) -> Option<Duration> {
    let mut known = PACE.lock().unwrap_or_else(PoisonError::into_inner);
    let at = Instant::now();
    let ahead = known.map_or(Duration::ZERO, |pace| pace.now(at).since(time));
    let back = ahead > MOST_AHEAD;
    if back {
        *ORDER.lock().unwrap_or_else(PoisonError::into_inner) = AssertUnwindSafe(ContextV7::new());
    }
    *known = Some(Pace { at, truth: time, ahead: if back { Duration::ZERO } else { ahead } });
    back.then_some(ahead)
}

/// How far this clock may be ahead. Farther off it was plainly wrong before, and waiting until the world has caught up
/// would be worse than going back.
const MOST_AHEAD: Duration = Duration::from_secs(2 * 3600);

/// None: the clock of the machine counts, as in commands that work on no database.
static PACE: Mutex<Option<Pace>> = Mutex::new(None);
/// What makes ids of one moment differ, in order.
static ORDER: Mutex<AssertUnwindSafe<ContextV7>> = Mutex::new(AssertUnwindSafe(ContextV7::new()));

fn pace() -> Option<Pace> {
    *PACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the clock goes since it was last set.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// When that was, on a clock that nobody sets.
    at: Instant,
    /// What the time was then.
    truth: UnixMicros,
    /// How far ahead this clock was then. It goes at half its speed until that is made up for.
    ahead: Duration,
}

impl Pace {
    fn truth(&self, at: Instant) -> UnixMicros {
        self.truth.plus(at.saturating_duration_since(self.at))
    }

    fn ahead(&self, at: Instant) -> Duration {
        self.ahead.saturating_sub(at.saturating_duration_since(self.at) / 2)
    }

    fn now(&self, at: Instant) -> UnixMicros {
        self.truth(at).plus(self.ahead(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_clock_that_is_ahead_goes_slower_until_it_is_not() {
        let (at, truth) = (Instant::now(), UnixMicros(1_000_000_000_000));
        let pace = Pace { at, truth, ahead: HOUR };
        let mut before = truth;
        for minutes in 0..180 {
            let passed = Duration::from_secs(minutes * 60);
            let now = pace.now(at + passed);
            assert!(now > before || minutes == 0, "it goes on");
            assert!(now >= pace.truth(at + passed));
            before = now;
        }
        assert_eq!(pace.now(at), truth.plus(HOUR));
        assert_eq!(pace.now(at + HOUR), truth.plus(HOUR + HOUR / 2));
        assert_eq!(pace.now(at + 2 * HOUR), truth.plus(2 * HOUR), "it is made up for");
        assert_eq!(pace.now(at + 3 * HOUR), pace.truth(at + 3 * HOUR));
    }

    #[test]
    fn ids_are_in_order_and_have_the_time_of_the_clock() {
        let ids: Vec<Uuid> = (0..1000).map(|_| new_id()).collect();
        assert!(ids.is_sorted());
        let (seconds, _) = ids[0].get_timestamp().expect("a time").to_unix();
        assert!(UnixMicros::now().since(UnixMicros(i64::try_from(seconds).expect("fits") * 1_000_000)) < Duration::from_secs(60));
    }
}
