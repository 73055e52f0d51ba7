//! Calls that happen once, however often they are repeated with the same `request_id`.

use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::Services;
use crate::access::Principal;
use crate::domain::{Error, Result};
use crate::rpc::Fields;

/// Repeats that come while the first call is still at work wait here for its answer.
#[derive(Debug, Default)]
pub(super) struct Turns {
    stripes: [Mutex<()>; 32],
}

/// A call that may be repeated.
pub(super) struct Call<'a, Q> {
    pub(super) rpc: &'static str,
    pub(super) principal: &'a Principal,
    pub(super) request_id: &'a str,
    pub(super) request: &'a Q,
}

impl Services {
    /// Does `work`, or gives the answer of the first call with this key, rpc and request id. `kept` is what a repeat gets:
    /// the answer without its secrets. Errors are not kept: the caller may repeat such a call. Errors: `RequestIdReused`.
    pub(super) async fn once<Q, R, W>(&self, call: Call<'_, Q>, kept: fn(&R) -> R, work: W) -> Result<R>
    where
        Q: Message,
        R: Message + Default,
        W: Future<Output = Result<R>>,
    {
        let mut fields = Fields::new();
        let request_id = fields.request_id(call.request_id);
        let Some(request_id) = fields.finish(request_id)? else { return work.await };
        let content: [u8; 32] = Sha256::digest(call.request.encode_to_vec()).into();
        let place = Sha256::new().chain_update(call.principal.api_key_id.0).chain_update(call.rpc).chain_update(&request_id).finalize();
        let _turn = self.once.stripes[usize::from(place[0]) % self.once.stripes.len()].lock().await;
        let (store, key) = (&self.rooms.store, call.principal.api_key_id);
        if let Some((first, response)) = store.remembered_request(key, call.rpc, &request_id).await? {
            if first != content {
                return Err(Error::RequestIdReused { request_id });
            }
            return R::decode(response.as_slice()).map_err(Error::internal);
        }
        let response = work.await?;
        store.remember_request(key, call.rpc, &request_id, content, kept(&response).encode_to_vec()).await?;
        Ok(response)
    }
}
