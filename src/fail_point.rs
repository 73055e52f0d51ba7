//! Places where a test may end this process at once, as a power cut would. In release builds they are nothing.
//!
//! `REPRISE_FAIL_POINT=finish.written:3` ends it by SIGKILL when it passes that place for the third time. Every transaction has
//! three: `begun`, `written` (before its commit) and `committed`; the others are named where they are passed.

/// Ends the process here, if this is the place and the time.
#[cfg(debug_assertions)]
pub fn pass(what: &str, moment: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("REPRISE_FAIL_POINT").ok()?;
        let (place, count) = text.split_once(':')?;
        Some((place.to_owned(), count.parse().ok()?))
    });
    let Some((place, count)) = wanted else { return };
    if place.strip_prefix(what).and_then(|rest| rest.strip_prefix('.')) == Some(moment)
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        let _dead = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub const fn pass(_what: &str, _moment: &str) {}
