//! What is served where: gRPC and gRPC-web behind keys, webhooks, health, metrics, and the dashboard for the rest.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tonic::Status;
use tonic::service::RoutesBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::health::{Health, ready};
use super::{Config, dashboard, origin};
use crate::access::{self, Access};
use crate::domain::{Error, Result};
use crate::gateway::Gateway;
use crate::proto;
use crate::rpc::TraceLayer;
use crate::services::Services;

/// What the one port serves.
#[derive(Debug)]
pub struct Parts {
    /// Origins that may call.
    pub config: Config,
    /// The rpcs.
    pub services: Services,
    /// Webhooks.
    pub gateway: Gateway,
    /// Keys.
    pub access: Access,
    /// Whether this server can be used.
    pub health: Health,
    /// Whether calls and webhooks are taken, or only health and metrics told.
    pub takes_calls: bool,
}

/// Everything on one router.
///
/// # Errors
/// The descriptor set or an origin cannot be read.
pub fn router(parts: Parts) -> Result<Router> {
    let Parts { config, services, gateway, access, health, takes_calls } = parts;
    // Origin and key are checked inside the gRPC-web layer, so that a browser can read the refusal; CORS stays outside it, so
    // that a preflight needs neither key nor framing.
    let mut routes = RoutesBuilder::default();
    if takes_calls {
        services.add_to(&mut routes);
        routes.add_service(gateway.rpc());
    }
    add_standard(&mut routes, &health)?;
    let rpcs = routes
        .routes()
        .into_axum_router()
        .layer(from_fn_with_state(access.clone(), access::guard_rpc))
        .layer(from_fn_with_state(origin::Allowed::of(&config), origin::guard))
        .layer(TraceLayer)
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(cors(&config.cors_origins)?);
    let metrics =
        Router::new().route("/metrics", get(render)).layer(from_fn_with_state(access, access::guard_metrics)).with_state(recorder()?);
    let health = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(health);
    let hooks = if takes_calls { gateway.routes() } else { Router::new() };
    let rest = any(rest).layer(CompressionLayer::new());
    Ok(rpcs.reset_fallback().merge(hooks).merge(metrics).merge(health).fallback_service(rest))
}

/// Health, and both versions of reflection.
fn add_standard(routes: &mut RoutesBuilder, health: &Health) -> Result<()> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
            // So that grpcurl can read the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .include_reflection_service(false)
    };
    let (v1, v1alpha) = (reflection().build_v1().map_err(Error::internal)?, reflection().build_v1alpha().map_err(Error::internal)?);
    routes.add_service(health.service()).add_service(v1).add_service(v1alpha);
    Ok(())
}

fn cors(origins: &[String]) -> Result<CorsLayer> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .map(|origin| {
            HeaderValue::from_str(origin).map_err(|_| Error::field("server.cors_origins", format!("`{origin}` is not an origin")))
        })
        .collect::<Result<_>>()?;
    let headers = ["authorization", "content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "traceparent"];
    let exposed = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-trace-id"];
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST])
        .allow_headers(headers.map(HeaderName::from_static))
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(3600)))
}

/// The recorder of this process; a second server in it (as in tests) shares the first one's.
fn recorder() -> Result<PrometheusHandle> {
    static RECORDER: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().map_err(Error::internal)?;
    crate::metrics::describe();
    Ok(RECORDER.get_or_init(|| handle).clone())
}

async fn render(State(recorder): State<PrometheusHandle>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], recorder.render()).into_response()
}

/// Unknown rpcs get a gRPC answer, everything else what the dashboard has there.
async fn rest(request: Request) -> Response {
    let grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc { Status::unimplemented("there is no such rpc").into_http() } else { dashboard::serve(&request) }
}
