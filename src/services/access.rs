//! AccessService.

use tonic::Request;

use super::{Answer, Services, answer, caller};
use crate::proto::v1::{self, access_service_server::AccessService};

#[tonic::async_trait]
impl AccessService for Services {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let principal = caller(&request)?;
        answer(v1::WhoAmIResponse {
            api_key_id: principal.api_key_id.to_string(),
            display_name: principal.display_name,
            role: v1::Role::Admin as i32,
        })
    }
}
