//! The way to a server: its address, the API key, and a client for each service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::failure::Failure;
use crate::proto::v1::access_service_client::AccessServiceClient;
use crate::proto::v1::run_service_client::RunServiceClient;
use crate::proto::v1::session_service_client::SessionServiceClient;
use crate::proto::v1::settings_service_client::SettingsServiceClient;
use crate::proto::v1::trigger_service_client::TriggerServiceClient;

/// Where the system keeps the certificates it trusts.
const SYSTEM_BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"];

/// Larger than any answer of the server.
const MAX_ANSWER_BYTES: usize = 32 << 20;

type Authorized = InterceptedService<Channel, Bearer>;

/// Adds the API key to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

/// The services of one server.
#[derive(Clone)]
pub(crate) struct Api(Authorized);

impl Api {
    /// Prepares the connection; it is made with the first call, and again after it was lost.
    pub(crate) fn new(address: &str, key: Option<&str>, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let mut endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|error| Failure::Usage(format!("`{address}` is not an address: {error}")))?
            .user_agent(concat!("reprise-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::Usage(format!("`{address}`: {error}")))?
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if address.starts_with("https://") {
            let tls = ClientTlsConfig::new().ca_certificate(trusted(ca_file)?);
            endpoint = endpoint.tls_config(tls).map_err(|error| Failure::Usage(format!("the certificates cannot be used: {error}")))?;
        }
        let bearer = key.map(|key| bearer(key.trim())).transpose()?;
        Ok(Self(InterceptedService::new(endpoint.connect_lazy(), Bearer(bearer))))
    }

    /// TriggerService.
    pub(crate) fn triggers(&self) -> TriggerServiceClient<Authorized> {
        TriggerServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER_BYTES).max_encoding_message_size(MAX_ANSWER_BYTES)
    }

    /// RunService.
    pub(crate) fn runs(&self) -> RunServiceClient<Authorized> {
        RunServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// SessionService.
    pub(crate) fn sessions(&self) -> SessionServiceClient<Authorized> {
        SessionServiceClient::new(self.0.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// SettingsService.
    pub(crate) fn settings(&self) -> SettingsServiceClient<Authorized> {
        SettingsServiceClient::new(self.0.clone())
    }

    /// AccessService.
    pub(crate) fn access(&self) -> AccessServiceClient<Authorized> {
        AccessServiceClient::new(self.0.clone())
    }
}

fn bearer(key: &str) -> Result<MetadataValue<Ascii>, Failure> {
    // The key itself must not appear in the message.
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {key}").parse().map_err(|_| Failure::Usage("the API key has characters that no key has".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The certificates to trust: those of the file, else those of the system.
fn trusted(ca_file: Option<&Path>) -> Result<Certificate, Failure> {
    let system = || SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
    let path = ca_file.map(Path::to_owned).or_else(system);
    let path = path.ok_or_else(|| Failure::Usage("this system has no list of trusted certificates; name one with --ca-file".into()))?;
    std::fs::read(&path).map(Certificate::from_pem).map_err(|error| Failure::file(&path, &error))
}

/// The address as a URL: `localhost:7700` and `https://host` both work.
pub(crate) fn url_of(address: &str) -> String {
    let address = address.trim().trim_end_matches('/');
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        assert_eq!(url_of("localhost:7700"), "http://localhost:7700");
        assert_eq!(url_of(" https://reprise.example/ "), "https://reprise.example");
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_one_is_refused_without_being_shown() {
        let refused = Api::new("http://127.0.0.1:1", Some("secret\nkey"), None).err().map(|failure| failure.to_string());
        assert_eq!(refused.as_deref(), Some("the API key has characters that no key has"));
        assert!(Api::new("http://127.0.0.1:1", Some(" rk_good\n"), None).is_ok());
        assert!(Api::new("http://not an address", None, None).is_err());
    }
}
