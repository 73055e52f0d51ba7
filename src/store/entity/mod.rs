//! The rows, as sea-orm entities. What they mean is told by `migration` and by the domain.

pub(crate) mod api_key;
pub(crate) mod attempt;
pub(crate) mod conversation;
pub(crate) mod delivery;
pub(crate) mod delivery_payload;
pub(crate) mod journal_chunk;
pub(crate) mod limit;
pub(crate) mod remembered_request;
pub(crate) mod run;
pub(crate) mod run_delivery;
pub(crate) mod session;
pub(crate) mod setting;
pub(crate) mod transcript_part;
pub(crate) mod trigger;
pub(crate) mod trigger_secret;
pub(crate) mod worker;
