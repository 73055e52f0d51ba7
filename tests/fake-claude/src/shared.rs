//! What the turn and the signal thread share: standard output, and the one way to end.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::journal::Journal;
use crate::lines;

/// The process as a whole.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) session: String,
    /// Cost of the session before this turn.
    pub(crate) before_usd: f64,
    /// SIGINT is not heard.
    pub(crate) deaf: AtomicBool,
    /// SIGINT ends the turn without a result line.
    pub(crate) mute: AtomicBool,
    /// A tool is running.
    pub(crate) in_tool: AtomicBool,
    /// Bytes written to stdout.
    pub(crate) written: AtomicU64,
    out: Mutex<()>,
    ended: AtomicBool,
}

impl Shared {
    /// The process, before anything was written.
    pub(crate) fn new(journal: Journal, session: String, before_usd: f64) -> Self {
        Self {
            journal,
            session,
            before_usd,
            deaf: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            in_tool: AtomicBool::new(false),
            written: AtomicU64::new(0),
            out: Mutex::new(()),
            ended: AtomicBool::new(false),
        }
    }

    /// Writes one line.
    pub(crate) fn line(&self, value: &Value) {
        self.raw(&[format!("{value}\n").as_bytes()]);
    }

    /// Writes bytes as they are, nothing of anybody else's in between. A reader that has gone away
    /// does not stop the real CLI, and not this.
    pub(crate) fn raw(&self, pieces: &[&[u8]]) {
        let _held = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(pieces);
    }

    /// Ends the process; only the first call has its way.
    pub(crate) fn finish(&self, code: i32) -> ! {
        if self.ended.swap(true, Ordering::SeqCst) {
            loop {
                std::thread::park();
            }
        }
        self.journal.end(&self.session, code);
        std::process::exit(code)
    }

    fn write(&self, pieces: &[&[u8]]) {
        let mut stdout = std::io::stdout().lock();
        for piece in pieces {
            let _ = stdout.write_all(piece);
            self.written.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        let _ = stdout.flush();
    }

    /// The output lock, unless the turn is stuck in a write that nobody reads.
    fn try_hold(&self) -> Option<MutexGuard<'_, ()>> {
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            match self.out.try_lock() {
                Ok(held) => return Some(held),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        None
    }

    fn interrupted(&self) -> ! {
        if let Some(_held) = self.try_hold() {
            let tool = self.in_tool.load(Ordering::SeqCst);
            let note = if tool { "[Request interrupted by user for tool use]" } else { "[Request interrupted by user]" };
            let told = lines::user(&self.session, &json!([{"type": "text", "text": note}]));
            self.write(&[format!("{told}\n").as_bytes()]);
            if !self.mute.load(Ordering::SeqCst) {
                let result = lines::aborted(&self.session, tool, self.before_usd);
                self.write(&[format!("{result}\n").as_bytes()]);
            }
            self.finish(0);
        }
        self.finish(0)
    }
}

/// Takes SIGINT, SIGTERM and SIGHUP away from the process and gives them to a thread. Must come
/// before any other thread is started.
pub(crate) fn listen(shared: &Arc<Shared>) {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGHUP);
    if set.thread_block().is_err() {
        return;
    }
    let shared = Arc::clone(shared);
    let heard = move || {
        loop {
            match set.wait() {
                Ok(Signal::SIGINT) if shared.deaf.load(Ordering::SeqCst) => {}
                Ok(Signal::SIGINT) => shared.interrupted(),
                Ok(Signal::SIGHUP) => shared.finish(129),
                Ok(_) => shared.finish(143),
                Err(_) => return,
            }
        }
    };
    let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(heard);
}
