//! SettingsService.

use tonic::Request;

use super::{Answer, Services, answer, caller};
use crate::domain::{Error, FieldError, Result, Settings};
use crate::proto::v1::{self, settings_service_server::SettingsService};
use crate::rpc::convert::{SETTINGS_FIXED, etag_version, parse_settings, setting_rule_messages, settings};
use crate::rpc::merge;

#[tonic::async_trait]
impl SettingsService for Services {
    async fn get_settings(&self, _: Request<v1::GetSettingsRequest>) -> Answer<v1::GetSettingsResponse> {
        answer(v1::GetSettingsResponse {
            settings: Some(self.shown(&self.rooms.settings.get())),
            rules: setting_rule_messages(&self.rooms.facts.default_model),
        })
    }

    async fn update_settings(&self, request: Request<v1::UpdateSettingsRequest>) -> Answer<v1::UpdateSettingsResponse> {
        let by = caller(&request)?.display_name;
        let request = request.into_inner();
        let etag = etag_version(&request.settings.as_ref().map(|settings| settings.etag.clone()).unwrap_or_default());
        let change = |present: Settings| self.changed(&present, &request);
        let stored = if request.validate_only {
            self.rooms.settings.check(etag, change).await?
        } else {
            self.rooms.settings.update(etag, &by, change).await?
        };
        answer(v1::UpdateSettingsResponse { settings: Some(self.shown(&stored)) })
    }

    async fn get_server_info(&self, _: Request<v1::GetServerInfoRequest>) -> Answer<v1::GetServerInfoResponse> {
        answer(self.rooms.facts.info())
    }
}

impl Services {
    /// What is in force: without a model of their own the settings have that of the configuration.
    fn shown(&self, stored: &Settings) -> v1::Settings {
        let mut message = settings(stored);
        if let Some(agent) = message.agent.as_mut().filter(|agent| agent.default_model().is_empty()) {
            agent.default_model = Some(self.rooms.facts.default_model.clone());
        }
        message
    }

    fn changed(&self, present: &Settings, request: &v1::UpdateSettingsRequest) -> Result<Settings> {
        let update = request.settings.clone().unwrap_or_default();
        let merged = merge("Settings", &SETTINGS_FIXED, &settings(present), &update, request.update_mask.as_ref())?;
        let wanted = parse_settings(&merged, present)?;
        let profiles = &self.rooms.facts.profiles;
        if !profiles.contains_key(&wanted.agent.default_profile) {
            let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
            let problem =
                format!("`{}` is not in the server's configuration; known are {}", wanted.agent.default_profile, known.join(", "));
            return Err(Error::FieldInvalid(vec![FieldError::new("settings.agent.default_profile", problem)]));
        }
        Ok(wanted)
    }
}
