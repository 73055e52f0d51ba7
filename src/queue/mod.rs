//! The queue: deliveries become runs, runs are claimed, worked on under a lease, and finished.
//!
//! The session row is the unit of scheduling: FIFO is its `head` cursor, "one live turn" is its state. Every write of a
//! worker is fenced by the random lease of its claim. See ARCHITECTURE.md for the transactions and invariants.

mod assignment;
mod delivery;

pub use assignment::{
    Assignment, ConversationStart, ConversationUpdate, CustodyFile, EarlierAttempt, Finish, Lease, Manifest, RunEnd, SpawnUsage, TranscriptPart,
    WorkedDelivery,
};
pub use delivery::{Accepted, DedupeKey, Disposition, NewDelivery, RunRequest, RunThread};
