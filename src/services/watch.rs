//! WatchRun: the journal of a run as a stream, encoded once for all of its readers.
//!
//! The generated server encodes each message for each reader. A run may have a hundred readers, so this one rpc has its own
//! codec, which also takes what another reader has encoded already.

use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use tonic::codec::{Codec, CompressionEncoding::Gzip, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder};
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{Body, BoxFuture, Service, StdError};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};

use super::{MAX_REQUEST, Services, Streamed};
use crate::domain::{Error, JournalEntry, Result, RunId, Sequence};
use crate::journal::{Followed, Position};
use crate::proto::v1::{self, run_service_server::RunServiceServer, watch_run_request, watch_run_response::Event};
use crate::rpc::convert::{delta, entry, run};
use crate::rpc::{Fields, TraceId, status};

const WATCH_RUN: &str = "/reprise.v1.RunService/WatchRun";

/// One message of a watched run.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// A whole `WatchRunResponse`, encoded, shared by all who read the same entry.
    Encoded(Bytes),
    /// What only this reader gets.
    Made(Box<v1::WatchRunResponse>),
}

impl Services {
    /// Follows a run. Errors at once: `NotFound`, `SequenceBeyondEnd`, `FieldInvalid`.
    pub(super) async fn watch(&self, request: v1::WatchRunRequest) -> Result<Streamed<Message>> {
        let id: RunId = Fields::id("run_id", &request.run_id)?;
        let position = position(request.position)?;
        let (raw, trace) = (request.include_raw, TraceId::current());
        let followed = self.rooms.journal.follow(id, position, request.include_partial).await?;
        let told = move |error: Error| status(&error, &trace);
        Ok(followed.map(move |item| item.map(|(sequence, followed)| message(sequence, followed, raw)).map_err(&told)).boxed())
    }
}

fn position(asked: Option<watch_run_request::Position>) -> Result<Position> {
    use watch_run_request::Position::{AfterSequence, Tail};
    match asked {
        None => Ok(Position::After(0)),
        Some(AfterSequence(sequence)) if sequence >= 0 => Ok(Position::After(sequence)),
        Some(AfterSequence(sequence)) => Err(Error::field("after_sequence", format!("is {sequence}; it must not be negative"))),
        Some(Tail(count)) => match u32::try_from(count) {
            Ok(count) => Ok(Position::Tail(count)),
            Err(_) => Err(Error::field("tail", format!("is {count}; it must not be negative"))),
        },
    }
}

fn message(sequence: Sequence, followed: Followed, raw: bool) -> Message {
    let event = match followed {
        Followed::Entry(shared) => return Message::Encoded(shared.encoded(raw, |made| encoded(made, raw))),
        Followed::Run(now) => Event::Run(run(&now)),
        Followed::Delta { block_id, thinking, offset, text } => Event::Delta(delta(&block_id, thinking, offset, text)),
        Followed::Heartbeat => Event::Heartbeat(v1::Heartbeat {}),
    };
    Message::Made(Box::new(v1::WatchRunResponse { sequence, event: Some(event) }))
}

fn encoded(made: &JournalEntry, raw: bool) -> Bytes {
    v1::WatchRunResponse { sequence: made.sequence, event: Some(Event::Entry(entry(made, raw))) }.encode_to_vec().into()
}

impl Message {
    /// The message for callers that want it as such.
    pub(super) fn into_response(self) -> v1::WatchRunResponse {
        match self {
            Self::Made(response) => *response,
            // What was encoded here decodes; an empty message would only be a sign of life.
            Self::Encoded(bytes) => v1::WatchRunResponse::decode(bytes).unwrap_or_default(),
        }
    }
}

/// RunService with WatchRun encoded as above.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    services: Services,
    rest: RunServiceServer<Services>,
}

impl Watched {
    pub(super) fn new(services: Services, rest: RunServiceServer<Services>) -> Self {
        Self { services, rest }
    }
}

impl NamedService for Watched {
    const NAME: &'static str = <RunServiceServer<Services> as NamedService>::NAME;
}

impl<B> Service<HttpRequest<B>> for Watched
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = HttpResponse<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if request.uri().path() != WATCH_RUN {
            return self.rest.call(request);
        }
        let method = WatchRun(self.services.clone());
        let mut accepted = EnabledCompressionEncodings::default();
        accepted.enable(Gzip);
        let mut grpc = Grpc::new(WatchCodec)
            .apply_compression_config(accepted, EnabledCompressionEncodings::default())
            .apply_max_message_size_config(Some(MAX_REQUEST), None);
        async move { Ok(grpc.server_streaming(method, request).await) }.boxed()
    }
}

struct WatchRun(Services);

impl ServerStreamingService<v1::WatchRunRequest> for WatchRun {
    type Response = Message;
    type ResponseStream = Streamed<Message>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<v1::WatchRunRequest>) -> Self::Future {
        let services = self.0.clone();
        async move { Ok(Response::new(services.watch(request.into_inner()).await?)) }.boxed()
    }
}

#[derive(Debug, Clone, Copy)]
struct WatchCodec;

impl Codec for WatchCodec {
    type Encode = Message;
    type Decode = v1::WatchRunRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for WatchCodec {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, buffer: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        match message {
            Message::Encoded(bytes) => buffer.put(bytes),
            Message::Made(response) => response.encode(buffer).map_err(Error::internal)?,
        }
        Ok(())
    }
}

impl Decoder for WatchCodec {
    type Item = v1::WatchRunRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> std::result::Result<Option<v1::WatchRunRequest>, Status> {
        let decoded = v1::WatchRunRequest::decode(buffer).map_err(|_| Error::field("request", "is not a message of this rpc"))?;
        Ok(Some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{EntryKind, UnixMicros};
    use crate::journal::PublishedEntry;

    fn published() -> Arc<PublishedEntry> {
        let kind = EntryKind::Text { block_id: "b".to_owned(), text: "hello".to_owned() };
        let (time, raw) = (UnixMicros(1), "{}".to_owned());
        Arc::new(JournalEntry { sequence: 7, attempt: 1, time, parent_tool_use_id: String::new(), truncated: false, raw, kind }.into())
    }

    #[test]
    fn an_entry_is_encoded_once_for_all_who_want_it_alike() {
        let shared = published();
        let bytes = |raw| match message(7, Followed::Entry(shared.clone()), raw) {
            Message::Encoded(bytes) => bytes,
            Message::Made(made) => panic!("{made:?} is not shared"),
        };
        assert_eq!(bytes(false).as_ptr(), bytes(false).as_ptr());
        let (without, with) = (Message::Encoded(bytes(false)).into_response(), Message::Encoded(bytes(true)).into_response());
        assert_eq!((without.sequence, with.sequence), (7, 7));
        assert_eq!(without.event, Some(Event::Entry(entry(&shared, false))));
        assert_eq!(with.event, Some(Event::Entry(entry(&shared, true))));
    }

    #[test]
    fn a_position_is_not_negative() {
        use watch_run_request::Position::{AfterSequence, Tail};
        assert_eq!(position(None).expect("valid"), Position::After(0));
        assert_eq!(position(Some(Tail(5))).expect("valid"), Position::Tail(5));
        assert_eq!(position(Some(AfterSequence(-1))).expect_err("negative").fields()[0].field, "after_sequence");
        assert_eq!(position(Some(Tail(-1))).expect_err("negative").fields()[0].field, "tail");
    }
}
