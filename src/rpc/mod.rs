//! The wire: proto ↔ domain, errors → status, pages, masks and trace ids. No rpc is answered here.

pub mod convert;
mod fields;
mod mask;
mod page;
mod status;
mod trace;

pub use fields::{Fields, MAX_REQUEST_ID, MAX_TEXT, MAX_THREAD_KEY};
pub use mask::merge;
pub use page::{PageTokens, Paged};
pub use status::{ERROR_DOMAIN, http_status, status};
pub use trace::{TRACE_HEADER, TraceId, TraceLayer, TraceService};
