//! Calls that happen once, however often they are repeated with the same `request_id`.

use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::Services;
use crate::access::Principal;
use crate::domain::{ApiKeyId, Error, Result};
use crate::rpc::Fields;

/// Repeats that come while the first call is still at work wait here for its answer.
#[derive(Debug, Default)]
pub(super) struct Turns {
    stripes: [Mutex<()>; 32],
    tasks: TaskTracker,
}

impl Turns {
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A call that may be repeated: whose, which, and a hash of what it asks for.
struct Call {
    api_key: ApiKeyId,
    rpc: &'static str,
    request_id: String,
    content: [u8; 32],
}

impl Call {
    /// None without a request id: then a repeat is a new call.
    fn read<Q: Message>(principal: &Principal, rpc: &'static str, request_id: &str, request: &Q) -> Result<Option<Self>> {
        let mut fields = Fields::new();
        let request_id = fields.request_id(request_id);
        let content = Sha256::digest(request.encode_to_vec()).into();
        Ok(fields.finish(request_id)?.map(|request_id| Self { api_key: principal.api_key_id, rpc, request_id, content }))
    }

    fn stripe(&self, of: usize) -> usize {
        let place = Sha256::new().chain_update(self.api_key.0).chain_update(self.rpc).chain_update(&self.request_id).finalize();
        usize::from(place[0]) % of
    }
}

impl Services {
    /// Does `work`, or gives the answer of the first call with this key, rpc and request id. `kept` is what a repeat gets:
    /// the answer without its secrets. Errors are not kept: the caller may repeat such a call. Errors: `RequestIdReused`.
    pub(super) async fn once<Q, R, W>(
        &self,
        (principal, rpc): (&Principal, &'static str),
        (request_id, request): (&str, &Q),
        kept: fn(&R) -> R,
        work: W,
    ) -> Result<R>
    where
        Q: Message,
        R: Message + Default + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        let Some(call) = Call::read(principal, rpc, request_id, request)? else { return work.await };
        let services = self.clone();
        // A caller that loses patience and repeats must find the answer: the work does not end with its request.
        let task = self.once.tasks.spawn(async move { services.first(call, kept, work).await });
        task.await.map_err(Error::internal)?
    }

    async fn first<R: Message + Default>(&self, call: Call, kept: fn(&R) -> R, work: impl Future<Output = Result<R>>) -> Result<R> {
        let _turn = self.once.stripes[call.stripe(self.once.stripes.len())].lock().await;
        let store = &self.rooms.store;
        let Call { api_key, rpc, request_id, content } = call;
        if let Some((first, response)) = store.remembered_request(api_key, rpc, &request_id).await? {
            if first != content {
                return Err(Error::RequestIdReused { request_id });
            }
            return R::decode(response.as_slice()).map_err(Error::internal);
        }
        let response = work.await?;
        store.remember_request(api_key, rpc, &request_id, content, kept(&response).encode_to_vec()).await?;
        Ok(response)
    }
}
