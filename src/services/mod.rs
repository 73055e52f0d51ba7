//! The rpcs. Each method decodes, makes one call, and encodes; what it calls are the rooms below.

mod access;
mod archive;
mod directories;
mod explain;
mod facts;
mod fire;
mod journal;
mod lists;
mod once;
mod replay;
mod run;
mod run_file;
mod session;
mod settings;
mod trigger;
mod usage;
mod watch;
mod write;

use std::sync::Arc;

use futures::stream::BoxStream;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

pub use directories::remove as remove_directories;
pub use facts::{AgentFound, Facts};

use crate::access::{Access, Principal};
use crate::changes::Changes;
use crate::domain::{Delivery, DeliveryId, Error, Requester, RequesterKind, Result, Run, RunId, Session, SessionId, Trigger, TriggerId};
use crate::intake::Intake;
use crate::journal::Journal;
use crate::proto::v1::{
    access_service_server::AccessServiceServer, run_service_server::RunServiceServer, session_service_server::SessionServiceServer,
    settings_service_server::SettingsServiceServer, trigger_service_server::TriggerServiceServer,
};
use crate::queue::Queue;
use crate::rpc::convert::{TriggerRef, trigger_ref};
use crate::secrets::Cipher;
use crate::settings::SettingsCache;
use crate::store::Store;

/// The largest request that these services read, in bytes.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

type Answer<T> = std::result::Result<Response<T>, Status>;
type Streamed<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// What the services are made over.
#[derive(Debug)]
pub struct Rooms {
    /// The database, for reading and for what belongs to no other room.
    pub store: Arc<Store>,
    /// Runs and sessions.
    pub queue: Queue,
    /// What happens in runs.
    pub journal: Journal,
    /// Lists that are watched.
    pub changes: Changes,
    /// The settings in force.
    pub settings: SettingsCache,
    /// The front door, for firing by hand.
    pub intake: Intake,
    /// Keys of callers.
    pub access: Access,
    /// Seals signing secrets.
    pub cipher: Cipher,
    /// What is fixed at start.
    pub facts: Facts,
}

/// All services but that of gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    rooms: Arc<Rooms>,
    once: Arc<once::Turns>,
}

impl Services {
    /// The services over these rooms.
    #[must_use]
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms: Arc::new(rooms), once: Arc::default() }
    }

    /// Adds their routes.
    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        macro_rules! served {
            ($server:ident) => {
                $server::new(self.clone()).accept_compressed(Gzip).max_decoding_message_size(MAX_REQUEST)
            };
        }
        routes
            .add_service(served!(TriggerServiceServer))
            .add_service(watch::Watched::new(self.clone(), served!(RunServiceServer)))
            .add_service(served!(SessionServiceServer))
            .add_service(served!(SettingsServiceServer))
            .add_service(served!(AccessServiceServer));
    }

    /// Waits for calls that go on although their caller is gone. For the end of the server.
    pub async fn finished(&self) {
        self.once.finished().await;
    }

    /// The trigger that a field names by id or slug.
    async fn find_trigger(&self, field: &str, text: &str) -> Result<Trigger> {
        let found = match trigger_ref(field, text)? {
            TriggerRef::Id(id) => self.rooms.store.trigger(id).await?,
            TriggerRef::Slug(slug) => self.rooms.store.trigger_by_slug(&slug).await?,
        };
        found.ok_or_else(|| not_found("trigger", text))
    }

    /// The trigger that a filter names. One that is deleted still has history under its id.
    async fn filter_trigger(&self, text: &str) -> Result<Option<TriggerId>> {
        if text.is_empty() {
            return Ok(None);
        }
        match trigger_ref("trigger_id", text)? {
            TriggerRef::Id(id) => Ok(Some(id)),
            TriggerRef::Slug(_) => self.find_trigger("trigger_id", text).await.map(|trigger| Some(trigger.id)),
        }
    }

    async fn find_run(&self, id: RunId) -> Result<Run> {
        self.rooms.store.run(id).await?.ok_or_else(|| not_found("run", id))
    }

    async fn find_session(&self, id: SessionId) -> Result<Session> {
        self.rooms.store.session(id).await?.ok_or_else(|| not_found("session", id))
    }

    async fn find_delivery(&self, id: DeliveryId) -> Result<Delivery> {
        self.rooms.store.delivery(id).await?.ok_or_else(|| not_found("delivery", id))
    }
}

fn not_found(kind: &'static str, id: impl ToString) -> Error {
    Error::NotFound { kind, id: id.to_string() }
}

/// Who calls, as the wall before the routes found out.
fn caller<T>(request: &Request<T>) -> Result<Principal> {
    request.extensions().get::<Principal>().cloned().ok_or(Error::KeyMissing)
}

fn requester(principal: &Principal) -> Requester {
    Requester { kind: RequesterKind::Key, id: principal.api_key_id.to_string(), display_name: principal.display_name.clone() }
}

fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}
