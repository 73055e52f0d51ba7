//! TriggerService. What it takes to make and change a trigger is in `write`, to fire one in `fire`.

use tonic::Request;

use super::once::Making;
use super::{Answer, Services, Streamed, answer, caller};
use crate::domain::DeliveryId;
use crate::intake::{self, VARIABLES};
use crate::proto::v1::{self, trigger_service_server::TriggerService};
use crate::rpc::convert::{WireEnum, delivery, delivery_filter, step, trigger_filter};
use crate::rpc::{Fields, PageTokens};

#[tonic::async_trait]
impl TriggerService for Services {
    type WatchDeliveriesStream = Streamed<v1::WatchDeliveriesResponse>;

    async fn create_trigger(&self, request: Request<v1::CreateTriggerRequest>) -> Answer<v1::CreateTriggerResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        if request.validate_only {
            return answer(self.create(&request, Making::new()).await?);
        }
        let kept = |first: &v1::CreateTriggerResponse| v1::CreateTriggerResponse { secret: String::new(), ..first.clone() };
        let (services, wanted) = (self.clone(), request.clone());
        let work = move |making| async move { services.create(&wanted, making).await };
        answer(self.once((&principal, "CreateTrigger"), (&request.request_id, &request), kept, work).await?)
    }

    async fn get_trigger(&self, request: Request<v1::GetTriggerRequest>) -> Answer<v1::GetTriggerResponse> {
        let found = self.find_trigger("trigger_id", &request.into_inner().trigger_id).await?;
        answer(v1::GetTriggerResponse { trigger: Some(self.trigger_message(&found)) })
    }

    async fn list_triggers(&self, request: Request<v1::ListTriggersRequest>) -> Answer<v1::ListTriggersResponse> {
        let request = request.into_inner();
        let (page, tokens) = PageTokens::read(&request)?;
        let listed = self.rooms.store.list_triggers(&trigger_filter(&request)?, page).await?;
        let (triggers, next_page_token) = tokens.fit(&listed, |trigger| trigger.id.0, |trigger| self.trigger_message(trigger));
        answer(v1::ListTriggersResponse { triggers, next_page_token })
    }

    async fn update_trigger(&self, request: Request<v1::UpdateTriggerRequest>) -> Answer<v1::UpdateTriggerResponse> {
        answer(self.update(&request.into_inner()).await?)
    }

    async fn delete_trigger(&self, request: Request<v1::DeleteTriggerRequest>) -> Answer<v1::DeleteTriggerResponse> {
        answer(self.delete(&request.into_inner()).await?)
    }

    async fn rotate_trigger_secret(&self, request: Request<v1::RotateTriggerSecretRequest>) -> Answer<v1::RotateTriggerSecretResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        let kept = |first: &v1::RotateTriggerSecretResponse| v1::RotateTriggerSecretResponse { secret: String::new(), ..first.clone() };
        let (services, wanted) = (self.clone(), request.clone());
        let work = move |making| async move { services.rotate(&wanted, making).await };
        answer(self.once((&principal, "RotateTriggerSecret"), (&request.request_id, &request), kept, work).await?)
    }

    async fn fire_trigger(&self, request: Request<v1::FireTriggerRequest>) -> Answer<v1::FireTriggerResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        if request.validate_only {
            return answer(self.fire(&principal, request, Making::new()).await?);
        }
        let (services, wanted, by) = (self.clone(), request.clone(), principal.clone());
        let work = move |making| async move { services.fire(&by, wanted, making).await };
        answer(self.once((&principal, "FireTrigger"), (&request.request_id, &request), Clone::clone, work).await?)
    }

    async fn replay_delivery(&self, request: Request<v1::ReplayDeliveryRequest>) -> Answer<v1::ReplayDeliveryResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        if request.validate_only {
            return answer(self.replay(&principal, request, Making::new()).await?);
        }
        let (services, wanted, by) = (self.clone(), request.clone(), principal.clone());
        let work = move |making| async move { services.replay(&by, wanted, making).await };
        answer(self.once((&principal, "ReplayDelivery"), (&request.request_id, &request), Clone::clone, work).await?)
    }

    async fn replay_deliveries(&self, request: Request<v1::ReplayDeliveriesRequest>) -> Answer<v1::ReplayDeliveriesResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        if request.validate_only {
            return answer(self.replay_all(&principal, request, Making::new()).await?);
        }
        let (services, wanted, by) = (self.clone(), request.clone(), principal.clone());
        let work = move |making| async move { services.replay_all(&by, wanted, making).await };
        answer(self.once((&principal, "ReplayDeliveries"), (&request.request_id, &request), Clone::clone, work).await?)
    }

    async fn evaluate_trigger(&self, request: Request<v1::EvaluateTriggerRequest>) -> Answer<v1::EvaluateTriggerResponse> {
        answer(self.evaluate(request.into_inner()).await?)
    }

    async fn list_deliveries(&self, request: Request<v1::ListDeliveriesRequest>) -> Answer<v1::ListDeliveriesResponse> {
        let request = request.into_inner();
        let (page, tokens) = PageTokens::read(&request)?;
        let filter = delivery_filter(&request, self.filter_trigger(&request.trigger_id).await?)?;
        let listed = self.rooms.store.list_deliveries(&filter, page).await?;
        let deliveries = listed.items.iter().map(|listed| delivery(listed, None)).collect();
        answer(v1::ListDeliveriesResponse { deliveries, next_page_token: tokens.next(listed.next) })
    }

    async fn get_delivery(&self, request: Request<v1::GetDeliveryRequest>) -> Answer<v1::GetDeliveryResponse> {
        let request = request.into_inner();
        let id: DeliveryId = Fields::id("delivery_id", &request.delivery_id)?;
        let mut fields = Fields::new();
        let offset = fields.offset("body_offset", request.body_offset);
        let offset = fields.finish(offset)?;
        let found = self.find_delivery(id).await?;
        let payload = match request.view() {
            v1::DeliveryView::Full => self.rooms.store.delivery_payload(id).await?,
            v1::DeliveryView::Basic | v1::DeliveryView::Unspecified => None,
        };
        let mut message = delivery(&found, payload.as_ref().map(|payload| (payload, offset)));
        if request.view() == v1::DeliveryView::Full {
            message.steps = self.rooms.intake.steps(found, payload).await?.iter().map(step).collect();
        }
        answer(v1::GetDeliveryResponse { delivery: Some(message) })
    }

    async fn watch_deliveries(&self, request: Request<v1::WatchDeliveriesRequest>) -> Answer<Streamed<v1::WatchDeliveriesResponse>> {
        answer(self.watch_list_of_deliveries(&request.into_inner()).await?)
    }

    async fn list_sources(&self, _: Request<v1::ListSourcesRequest>) -> Answer<v1::ListSourcesResponse> {
        answer(v1::ListSourcesResponse { sources: intake::sources().iter().map(source_info).collect() })
    }
}

fn source_info(info: &intake::SourceInfo) -> v1::SourceInfo {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let variable = |(name, kind, help): &(&str, &str, &str)| v1::ExpressionVariable {
        name: (*name).to_owned(),
        r#type: (*kind).to_owned(),
        help: (*help).to_owned(),
    };
    v1::SourceInfo {
        source: info.source.to_wire(),
        title: info.title.to_owned(),
        setup_steps: owned(info.setup_steps),
        needs_provider_secret: info.needs_provider_secret,
        default_thread_key: info.thread_key_help.to_owned(),
        event_kinds: owned(info.event_kinds),
        sample_names: info.samples.iter().map(|sample| sample.name.to_owned()).collect(),
        variables: VARIABLES.iter().map(variable).collect(),
    }
}
