//! What it takes to make, change and delete a trigger.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Services;
use super::once::Making;
use crate::domain::{Action, Error, Result, SecretId, Settings, Source, Trigger, TriggerId, TriggerSpec, UnixMicros};
use crate::intake::{Intake, SourceInfo};
use crate::prompt;
use crate::proto::v1;
use crate::rpc::convert::{TRIGGER_FIXED, WireEnum, count, etag_version, parse_spec, slug_and_source, trigger};
use crate::rpc::{Fields, merge};
use crate::store::triggers::NewSecret;

/// How long an old secret is accepted when the caller does not say.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// How often a change without an etag is made again when others were faster.
const TRIES: usize = 10;
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// A signing secret, and whether its maker is this server, so that the caller must be told.
struct Secret {
    text: String,
    made_here: bool,
}

impl Services {
    pub(super) fn trigger_message(&self, found: &Trigger) -> v1::Trigger {
        trigger(found, &self.rooms.facts.public_url)
    }

    pub(super) async fn create(&self, request: &v1::CreateTriggerRequest, making: Making) -> Result<v1::CreateTriggerResponse> {
        let given = request.trigger.as_ref().ok_or_else(|| Error::field("trigger", "is required"))?;
        let (slug, source) = slug_and_source(given)?;
        let resume = self.rooms.settings.get().sessions.default_resume_for_new_triggers;
        let spec = parse_spec(source, given, resume)?;
        self.check(source, &spec, None)?;
        let secret = secret(source, request.secret.as_deref())?;
        if let Some(made) = self.made(TriggerId(making.id), making).await? {
            let warnings = self.rooms.facts.warnings_for(source, secret.is_some());
            return Ok(v1::CreateTriggerResponse { trigger: Some(self.trigger_message(&made)), warnings, secret: String::new() });
        }
        let now = UnixMicros::now();
        let wanted = Trigger {
            id: TriggerId(making.id),
            slug,
            source,
            hook_token: random_hex::<16>()?,
            secrets: Vec::new(),
            spec,
            version: 1,
            create_time: now,
            update_time: now,
        };
        if request.validate_only {
            return self.would_create(wanted, secret.is_some()).await;
        }
        let sealed = secret.as_ref().map(|secret| self.sealed(SecretId::new(), &secret.text, now)).transpose()?;
        let made = self.rooms.store.create_trigger(&wanted, sealed.as_slice()).await?;
        self.rooms.intake.invalidate_slug(&made.slug);
        Ok(v1::CreateTriggerResponse {
            trigger: Some(self.trigger_message(&made)),
            warnings: self.rooms.facts.warnings_for(source, secret.is_some()),
            secret: shown(secret),
        })
    }

    /// The trigger that an earlier try of the same call made.
    async fn made(&self, id: TriggerId, making: Making) -> Result<Option<Trigger>> {
        if making.again { self.rooms.store.trigger(id).await } else { Ok(None) }
    }

    /// The trigger as it would be: its id, its address and a secret are made only when it is.
    async fn would_create(&self, wanted: Trigger, has_secret: bool) -> Result<v1::CreateTriggerResponse> {
        if let Some(holder) = self.rooms.store.trigger_by_slug(&wanted.slug).await? {
            return Err(Error::SlugTaken { slug: wanted.slug, trigger_id: holder.id.to_string() });
        }
        let (id, webhook_url, etag) = Default::default();
        let trigger = v1::Trigger { id, webhook_url, etag, create_time: None, update_time: None, ..self.trigger_message(&wanted) };
        let warnings = self.rooms.facts.warnings_for(wanted.source, has_secret);
        Ok(v1::CreateTriggerResponse { trigger: Some(trigger), warnings, secret: String::new() })
    }

    pub(super) async fn update(&self, request: &v1::UpdateTriggerRequest) -> Result<v1::UpdateTriggerResponse> {
        let given = request.trigger.as_ref().ok_or_else(|| Error::field("trigger", "is required"))?;
        let (field, name) = if given.id.is_empty() { ("trigger.slug", &given.slug) } else { ("trigger.id", &given.id) };
        let etag = etag_version(&given.etag);
        let mut tries = TRIES;
        loop {
            let present = self.find_trigger(field, name).await?;
            if etag.is_some_and(|etag| etag != present.version) {
                return Err(Error::EtagMismatch { etag: present.version.to_string() });
            }
            let spec = self.changed_spec(&present, given, request)?;
            if spec == present.spec {
                return Ok(v1::UpdateTriggerResponse { trigger: Some(self.trigger_message(&present)), restarted_session_count: 0 });
            }
            if request.validate_only {
                let restarted_session_count = self.restarted(&present, &spec).await?;
                let wanted = self.trigger_message(&Trigger { spec, ..present });
                return Ok(v1::UpdateTriggerResponse { trigger: Some(wanted), restarted_session_count });
            }
            match self.rooms.store.update_trigger(present.id, present.version, &spec).await {
                // Without an etag the last write wins: it is made again on what is there now.
                Err(Error::EtagMismatch { .. }) if etag.is_none() && tries > 0 => tries -= 1,
                Err(error) => return Err(error),
                Ok(stored) => {
                    self.rooms.intake.invalidate(stored.id);
                    let restarted_session_count = self.restarted(&present, &spec).await?;
                    return Ok(v1::UpdateTriggerResponse { trigger: Some(self.trigger_message(&stored)), restarted_session_count });
                }
            }
        }
    }

    fn changed_spec(&self, present: &Trigger, given: &v1::Trigger, request: &v1::UpdateTriggerRequest) -> Result<TriggerSpec> {
        let mut fields = Fields::new();
        let fixed = || "is fixed when the trigger is created".to_owned();
        fields.check(given.slug.is_empty() || given.slug == present.slug, "trigger.slug", fixed);
        fields.check(given.source == 0 || given.source == present.source.to_wire(), "trigger.source", fixed);
        fields.finish(())?;
        let merged = merge("Trigger", &TRIGGER_FIXED, &self.trigger_message(present), given, request.update_mask.as_ref())?;
        let resume = self.rooms.settings.get().sessions.default_resume_for_new_triggers;
        let spec = parse_spec(present.source, &merged, resume)?;
        self.check(present.source, &spec, Some(&present.spec))?;
        Ok(spec)
    }

    /// How many conversations the next event does not continue, since they no longer fit.
    async fn restarted(&self, present: &Trigger, spec: &TriggerSpec) -> Result<i32> {
        let settings: &Settings = &self.rooms.settings.get();
        let (facts, store) = (&self.rooms.facts, &self.rooms.store);
        match facts.fingerprint(spec, settings) {
            Some(wanted) if facts.fingerprint(&present.spec, settings).as_ref() != Some(&wanted) => {
                store.count_unfit_sessions(present.id, &wanted).await.map(count)
            }
            _ => Ok(0),
        }
    }

    pub(super) async fn delete(&self, request: &v1::DeleteTriggerRequest) -> Result<v1::DeleteTriggerResponse> {
        let present = self.find_trigger("trigger_id", &request.trigger_id).await?;
        if etag_version(&request.etag).is_some_and(|etag| etag != present.version) {
            return Err(Error::EtagMismatch { etag: present.version.to_string() });
        }
        if request.validate_only {
            let would = self.rooms.queue.foresee_deletion(present.id, request.force).await?;
            let deleted_session_count = count(would.session_ids.len());
            let measured = self.measure_directories(would.session_ids).await?;
            return Ok(v1::DeleteTriggerResponse {
                deleted_session_count,
                cancelled_run_count: count(would.cancelled_run_count),
                freed_bytes: would.freed_bytes.saturating_add_unsigned(measured),
            });
        }
        let deleted = self.rooms.queue.delete_trigger(present.id, request.force).await?;
        self.rooms.intake.invalidate(present.id);
        let deleted_session_count = count(deleted.session_ids.len());
        let removed = self.remove_directories(deleted.session_ids).await;
        Ok(v1::DeleteTriggerResponse {
            deleted_session_count,
            cancelled_run_count: count(deleted.cancelled_run_count),
            freed_bytes: deleted.freed_bytes.saturating_add_unsigned(removed),
        })
    }

    pub(super) async fn rotate(&self, request: &v1::RotateTriggerSecretRequest, making: Making) -> Result<v1::RotateTriggerSecretResponse> {
        let mut fields = Fields::new();
        let overlap = fields.duration("overlap", request.overlap);
        let overlap = fields.finish(overlap)?.unwrap_or(OVERLAP);
        let present = self.find_trigger("trigger_id", &request.trigger_id).await?;
        let id = SecretId(making.id);
        if making.again && present.secrets.iter().any(|known| known.id == id) {
            return Ok(v1::RotateTriggerSecretResponse { trigger: Some(self.trigger_message(&present)), secret: String::new() });
        }
        let secret = secret(present.source, request.secret.as_deref())?.ok_or_else(|| match present.source {
            Source::Manual => Error::field("trigger_id", "names a trigger of SOURCE_MANUAL, which has no secret"),
            _ => Error::field("secret", "is required: the sender issues it"),
        })?;
        let now = UnixMicros::now();
        let hook_token = request.hook_token.then(random_hex::<16>).transpose()?;
        let sealed = self.sealed(id, &secret.text, now)?;
        let stored = self.rooms.store.rotate_secret(present.id, &sealed, now.plus(overlap), hook_token).await?;
        self.rooms.intake.invalidate(stored.id);
        Ok(v1::RotateTriggerSecretResponse { trigger: Some(self.trigger_message(&stored)), secret: shown(Some(secret)) })
    }

    /// What only the other rooms can tell of a trigger.
    pub(super) fn check(&self, source: Source, spec: &TriggerSpec, before: Option<&TriggerSpec>) -> Result<()> {
        let unknown = self.rooms.facts.unknown_names(spec, before);
        if !unknown.is_empty() {
            return Err(Error::FieldInvalid(unknown));
        }
        Intake::check(source, spec)?;
        let (first, later, names) = match &spec.action {
            Action::Prompt { template, follow_up_template } => {
                (template, follow_up_template, ["trigger.prompt.template", "trigger.prompt.follow_up_template"])
            }
            Action::Skill { arguments, follow_up_arguments, .. } => {
                (arguments, follow_up_arguments, ["trigger.skill.arguments", "trigger.skill.follow_up_arguments"])
            }
        };
        prompt::check(names[0], first)?;
        later.as_deref().map_or(Ok(()), |later| prompt::check(names[1], later))
    }

    fn sealed(&self, id: SecretId, text: &str, now: UnixMicros) -> Result<NewSecret> {
        let last = text.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
        Ok(NewSecret { id, sealed: self.rooms.cipher.seal(id, text.as_bytes())?, hint: text[last..].to_owned(), create_time: now })
    }
}

/// The given secret, or a new one; none where the sender will issue it, or where there is no sender.
fn secret(source: Source, given: Option<&str>) -> Result<Option<Secret>> {
    match given {
        Some(_) if source == Source::Manual => Err(Error::field("secret", "is not for SOURCE_MANUAL, which has no sender")),
        Some(text) if !SECRET_LENGTH.contains(&text.len()) => Err(Error::field(
            "secret",
            format!("has {} bytes; allowed are {} to {}", text.len(), SECRET_LENGTH.start(), SECRET_LENGTH.end()),
        )),
        Some(text) if text.trim() != text => Err(Error::field("secret", "begins or ends with white space")),
        Some(text) => Ok(Some(Secret { text: text.to_owned(), made_here: false })),
        None if source == Source::Manual || SourceInfo::of(source).needs_provider_secret => Ok(None),
        None if source == Source::StandardWebhooks => {
            let text = format!("whsec_{}", STANDARD.encode(random::<32>()?));
            Ok(Some(Secret { text, made_here: true }))
        }
        None => Ok(Some(Secret { text: random_hex::<32>()?, made_here: true })),
    }
}

fn shown(secret: Option<Secret>) -> String {
    secret.filter(|secret| secret.made_here).map(|secret| secret.text).unwrap_or_default()
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

fn random_hex<const BYTES: usize>() -> Result<String> {
    random::<BYTES>().map(hex::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_where_the_sender_does_not_issue_one() {
        let made = |source| secret(source, None).expect("valid").map(|secret| secret.text);
        assert_eq!(made(Source::Github).map(|text| text.len()), Some(64));
        let standard = made(Source::StandardWebhooks).expect("made");
        assert_eq!(STANDARD.decode(standard.strip_prefix("whsec_").expect("prefix")).expect("base64").len(), 32);
        assert_eq!((made(Source::Manual), made(Source::Linear), made(Source::Clickup)), (None, None, None));
    }

    #[test]
    fn a_given_secret_is_taken_and_never_shown() {
        assert_eq!(shown(secret(Source::Linear, Some("lin_wh_12345")).expect("valid")), "");
        for (source, text) in [(Source::Manual, "12345678"), (Source::Github, "short"), (Source::Github, " 123456789")] {
            assert_eq!(secret(source, Some(text)).err().expect("refused").fields()[0].field, "secret");
        }
    }
}
