//! Calls that happen once, however often they are repeated with the same `request_id`.

use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use uuid::{Builder, Uuid};

use super::Services;
use crate::access::Principal;
use crate::domain::{ApiKeyId, Code, Error, Result, UnixMicros, new_id};
use crate::rpc::Fields;
use crate::store::Remembered;

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

/// What a call that happens once is to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    /// The id of what it makes: the same in every try of one call.
    pub(super) id: Uuid,
    /// A try before this one may have made it, and been cut off before its answer was kept.
    pub(super) again: bool,
}

impl Making {
    /// For a call that no repeat will be told from.
    pub(super) fn new() -> Self {
        Self { id: new_id(), again: false }
    }

    /// When the call was first made.
    pub(super) fn time(self) -> Option<UnixMicros> {
        let (seconds, nanos) = self.id.get_timestamp()?.to_unix();
        Some(UnixMicros(i64::try_from(seconds).ok()? * 1_000_000 + i64::from(nanos) / 1000))
    }

    /// The id of one of many things that it makes: the one for `part`.
    pub(super) fn part(self, part: Uuid) -> Uuid {
        Self::derive(self.time().unwrap_or_else(UnixMicros::now), &[self.id.as_bytes(), part.as_bytes()])
    }

    /// An id of that time, and otherwise of this content.
    fn derive(time: UnixMicros, content: &[&[u8]]) -> Uuid {
        let hash = content.iter().fold(Sha256::new(), |hash, piece| hash.chain_update(piece)).finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        Builder::from_unix_timestamp_millis(u64::try_from(time.0 / 1000).unwrap_or(0), &random).into_uuid()
    }
}

impl Services {
    /// Does `work`, or gives the answer of the first call with this key, rpc and request id. `kept` is what a repeat gets:
    /// the answer without its secrets. What the work makes has an id that is settled before, so that a server that dies
    /// between the work and the keeping of its answer does not let a repeat do it twice. Errors are not kept: the caller may
    /// repeat such a call. Errors: `RequestIdReused`.
    pub(super) async fn once<Q, R, F, W>(
        &self,
        (principal, rpc): (&Principal, &'static str),
        (request_id, request): (&str, &Q),
        kept: fn(&R) -> R,
        work: F,
    ) -> Result<R>
    where
        Q: Message,
        R: Message + Default + 'static,
        F: FnOnce(Making) -> W + Send + 'static,
        W: Future<Output = Result<R>> + Send + 'static,
    {
        let Some(call) = Call::read(principal, rpc, request_id, request)? else { return work(Making::new()).await };
        let services = self.clone();
        // A caller that loses patience and repeats must find the answer: the work does not end with its request.
        let task = self.once.tasks.spawn(async move { services.first(call, kept, work).await });
        task.await.map_err(Error::internal)?
    }

    async fn first<R, F, W>(&self, call: Call, kept: fn(&R) -> R, work: F) -> Result<R>
    where
        R: Message + Default,
        F: FnOnce(Making) -> W,
        W: Future<Output = Result<R>>,
    {
        let _turn = self.once.stripes[call.stripe(self.once.stripes.len())].lock().await;
        let store = &self.rooms.store;
        let Call { api_key, rpc, request_id, content } = call;
        let (began, again) = match store.remembered_request(api_key, rpc, &request_id).await? {
            Some((first, _)) if first != content => return Err(Error::RequestIdReused { request_id }),
            Some((_, Remembered::Answered(response))) => return R::decode(response.as_slice()).map_err(Error::internal),
            Some((_, Remembered::Begun(began))) => (began, true),
            None => (store.begin_request(api_key, rpc, &request_id, content).await?, false),
        };
        let id = Making::derive(began, &[api_key.0.as_bytes(), rpc.as_bytes(), request_id.as_bytes(), &content]);
        match work(Making { id, again }).await {
            Ok(response) => {
                store.remember_request(api_key, rpc, &request_id, kept(&response).encode_to_vec()).await?;
                Ok(response)
            }
            // It may have come about all the same: a repeat looks for what it makes.
            Err(error) if matches!(error.code(), Code::Unavailable | Code::Internal) => Err(error),
            Err(error) => {
                store.forget_request(api_key, rpc, &request_id).await?;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_makes_the_same_ids_as_the_one_before_it() {
        let time = UnixMicros(1_763_890_302_123_000);
        let first = Making { id: Making::derive(time, &[b"key", b"rpc"]), again: false };
        assert_eq!(first.id, Making::derive(time, &[b"key", b"rpc"]));
        assert_ne!(first.id, Making::derive(time, &[b"key", b"rpd"]));
        assert_eq!((first.time(), first.id.get_version_num()), (Some(time), 7));
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(first.part(one), first.part(one));
        assert_ne!(first.part(one), first.part(other));
    }
}
