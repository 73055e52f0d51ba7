//! AccessService.

use tonic::Request;

use super::{Answer, Services, answer, caller};
use crate::proto::v1::{self, access_service_server::AccessService};
use crate::rpc::Fields;
use crate::rpc::convert::timestamp;

#[tonic::async_trait]
impl AccessService for Services {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let principal = caller(&request)?;
        answer(v1::WhoAmIResponse {
            api_key_id: principal.api_key_id.to_string(),
            display_name: principal.display_name,
            role: v1::Role::Admin as i32,
            expire_time: principal.expire_time.map(timestamp),
        })
    }

    async fn create_sign_in_code(&self, request: Request<v1::CreateSignInCodeRequest>) -> Answer<v1::CreateSignInCodeResponse> {
        let code = self.rooms.access.create_code(&caller(&request)?).await?;
        answer(v1::CreateSignInCodeResponse {
            // Behind the `#` it reaches no server and no log.
            url: format!("{}/#code={}", self.rooms.facts.public_url, code.text),
            code: code.text,
            expire_time: Some(timestamp(code.expire_time)),
        })
    }

    async fn redeem_sign_in_code(&self, request: Request<v1::RedeemSignInCodeRequest>) -> Answer<v1::RedeemSignInCodeResponse> {
        let code = request.into_inner().code;
        let key = self.rooms.access.redeem_code(Fields::required("code", &code)?).await?;
        answer(v1::RedeemSignInCodeResponse { api_key: key.text, expire_time: Some(timestamp(key.expire_time)) })
    }
}
