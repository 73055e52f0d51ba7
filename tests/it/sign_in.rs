//! One-time codes that sign a browser in.

use reprise::proto::v1::{self, access_service_client::AccessServiceClient};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::migrations::postgres;
use crate::support::client::Client;
use crate::support::server::{Server, Setup};

async fn without_key(server: &Server) -> AccessServiceClient<Channel> {
    AccessServiceClient::new(Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected"))
}

async fn who(client: &mut AccessServiceClient<Channel>, key: &str) -> Result<v1::WhoAmIResponse, Status> {
    let mut request = Request::new(v1::WhoAmIRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("ascii"));
    client.who_am_i(request).await.map(tonic::Response::into_inner)
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().expect("info").reason.clone()
}

async fn a_code_signs_in_once(server: &Server) -> String {
    let mut client = Client::connect(server).await;
    let made = client.access.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect("made").into_inner();
    assert_eq!(made.url, format!("{}/#code={}", server.url, made.code));
    let mut open = without_key(server).await;
    let redeem = v1::RedeemSignInCodeRequest { code: made.code };
    let key = open.redeem_sign_in_code(redeem.clone()).await.expect("redeemed without a key").into_inner();
    let used = open.redeem_sign_in_code(redeem).await.expect_err("used up");
    assert_eq!((used.code(), reason(&used).as_str()), (tonic::Code::Unauthenticated, "CODE_INVALID"));
    let signed_in = who(&mut open, &key.api_key).await.expect("known");
    assert_eq!(signed_in.expire_time, key.expire_time);
    let hours = (key.expire_time.expect("an end").seconds - made.expire_time.expect("an end").seconds) / 3600;
    assert_eq!(hours, 11, "twelve hours, where the code had ten minutes");
    let refused = open.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect_err("only redeeming is open");
    assert_eq!(reason(&refused), "KEY_MISSING");
    key.api_key
}

#[tokio::test]
async fn a_code_signs_in_once_and_its_key_ends() {
    let mut server = Setup::fake().start();
    let key = a_code_signs_in_once(&server).await;
    server.sql("UPDATE api_keys SET expire_time = 1 WHERE expire_time IS NOT NULL").await;
    // A server that has just started remembers no key.
    server.stop();
    server.start();
    let ended = who(&mut without_key(&server).await, &key).await.expect_err("its time is over");
    assert_eq!((ended.code(), reason(&ended).as_str()), (tonic::Code::Unauthenticated, "KEY_EXPIRED"));
}

#[tokio::test]
async fn a_code_signs_in_on_postgresql_too() {
    let Some(database) = postgres() else { return };
    a_code_signs_in_once(&Setup { database: Some(database), ..Setup::fake() }.start()).await;
}
