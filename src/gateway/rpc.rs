//! `WebhookGatewayService`: webhooks that another gateway received.

use tonic::{Request, Response, Status};

use super::{Gateway, encoding};
use crate::domain::{DeliveryOrigin, DeliveryReason, UnixMicros};
use crate::intake::Inbound;
use crate::proto::v1;
use crate::proto::v1::webhook_gateway_service_server::WebhookGatewayService;
use crate::rpc::{Fields, convert};

#[tonic::async_trait]
impl WebhookGatewayService for Gateway {
    async fn deliver_webhook(&self, request: Request<v1::DeliverWebhookRequest>) -> Result<Response<v1::DeliverWebhookResponse>, Status> {
        self.room().await?;
        let request = request.into_inner();
        let inbound = Inbound {
            slug: Fields::required("slug", &request.slug)?.to_owned(),
            token: None,
            headers: request.headers.into_iter().map(convert::raw_header).collect(),
            body: request.body,
            remote_address: request.remote_address,
            origin: DeliveryOrigin::Gateway,
            receive_time: UnixMicros::now(),
        };
        let taken = match encoding(&inbound.headers) {
            Some(encoding) => {
                let message = format!("the body is encoded as `{encoding}`; it must be sent as it is");
                self.intake.take_unread(inbound, DeliveryReason::MediaTypeRefused, &message).await?
            }
            None => self.intake.take(inbound).await?,
        };
        Ok(Response::new(response(taken)))
    }
}

fn response(taken: crate::intake::Taken) -> v1::DeliverWebhookResponse {
    let accepted = taken.accepted;
    let of = |id: Option<String>| id.unwrap_or_default();
    v1::DeliverWebhookResponse {
        delivery_id: of(accepted.as_ref().map(|accepted| accepted.delivery_id.to_string())),
        outcome: convert::WireEnum::to_wire(taken.outcome),
        reason: taken.reason.map_or(0, convert::WireEnum::to_wire),
        message: taken.message,
        session_id: of(accepted.as_ref().and_then(|accepted| accepted.session_id).map(|id| id.to_string())),
        run_id: of(accepted.as_ref().and_then(|accepted| accepted.run_id).map(|id| id.to_string())),
        duplicate_of_delivery_id: of(accepted.as_ref().and_then(|accepted| accepted.duplicate_of).map(|id| id.to_string())),
        reply: Some(v1::WebhookReply {
            status: i32::from(taken.reply.status),
            headers: taken.reply.headers.into_iter().map(|(name, value)| v1::Header { name, value }).collect(),
            body: taken.reply.body,
        }),
    }
}
