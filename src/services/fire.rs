//! Firing a trigger by hand.

use bytes::Bytes;

use super::once::Making;
use super::run::session_mode;
use super::{Services, requester};
use crate::access::Principal;
use crate::domain::{DeliveryId, Error, Header, Result, SessionId, SessionMode, Source, Trigger};
use crate::intake::{ByHand, Fire, SourceInfo};
use crate::proto::v1::{self, fire_trigger_request::Content};
use crate::queue::Accepted;
use crate::rpc::convert::{delivery, fire_headers, run, struct_json};
use crate::rpc::{Fields, MAX_THREAD_KEY};

/// The longest prompt that is given by hand, in bytes.
const MAX_PROMPT: usize = 256 * 1024;

impl Services {
    /// Fires a trigger, or only explains what that would do.
    pub(super) async fn fire(
        &self,
        principal: &Principal,
        request: v1::FireTriggerRequest,
        making: Making,
    ) -> Result<v1::FireTriggerResponse> {
        let id = DeliveryId(making.id);
        if let Some((delivery, run)) = self.taken_before(id, making).await? {
            return Ok(v1::FireTriggerResponse { delivery: Some(delivery), run, explanation: None });
        }
        let trigger = self.find_trigger("trigger_id", &request.trigger_id).await?;
        let validate_only = request.validate_only;
        let fire = read(id, &trigger, principal, request)?;
        if validate_only {
            let body = fire.body.clone();
            let (delivery, explanation) = self.explain(&trigger, ByHand::Fire(Box::new(fire)), &body).await?;
            return Ok(v1::FireTriggerResponse { delivery: Some(delivery), run: None, explanation: Some(explanation) });
        }
        let accepted = self.take(&trigger, ByHand::Fire(Box::new(fire))).await?;
        let (delivery, run) = self.taken(accepted.delivery_id).await?;
        Ok(v1::FireTriggerResponse { delivery: Some(delivery), run, explanation: None })
    }

    /// Takes an event by hand. Where a copy of the conversation is wanted, the copy is made first, and goes again if no run uses it.
    pub(super) async fn take(&self, trigger: &Trigger, mut by_hand: ByHand) -> Result<Accepted> {
        let copy = match by_hand.session_mode() {
            SessionMode::Fork => self.copy_for(trigger, &by_hand).await?,
            _ => None,
        };
        if let Some(copy) = copy {
            by_hand.aim(copy);
        }
        let accepted = self.rooms.intake.take_by_hand(trigger, by_hand).await;
        let unused = !accepted.as_ref().is_ok_and(|accepted| accepted.run_id.is_some());
        if let Some(copy) = copy.filter(|_| unused) {
            self.rooms.queue.drop_copy(copy).await?;
        }
        accepted
    }

    /// A copy of the conversation that this event finds; none when no run would come of it.
    async fn copy_for(&self, trigger: &Trigger, by_hand: &ByHand) -> Result<Option<SessionId>> {
        if matches!(by_hand, ByHand::Fire(_)) && !trigger.spec.enabled {
            return Ok(None);
        }
        let foreseen = self.rooms.intake.explain(trigger, by_hand.clone()).await?.foreseen;
        let Some((session, _)) = foreseen.session.filter(|_| foreseen.accepted.run_id.is_some()) else { return Ok(None) };
        match self.rooms.queue.fork_session(SessionId::new(), session, None, "").await {
            Ok(copy) => Ok(Some(copy.id)),
            Err(error @ (Error::SessionEmpty | Error::TranscriptGone)) => Err(Error::SessionModeImpossible { why: error.to_string() }),
            Err(error) => Err(error),
        }
    }

    /// The delivery that an earlier try of the same call stored.
    pub(super) async fn taken_before(&self, id: DeliveryId, making: Making) -> Result<Option<(v1::Delivery, Option<v1::Run>)>> {
        if making.again && self.rooms.store.delivery(id).await?.is_some() { self.taken(id).await.map(Some) } else { Ok(None) }
    }

    /// A delivery that was just stored, and its run.
    pub(super) async fn taken(&self, id: DeliveryId) -> Result<(v1::Delivery, Option<v1::Run>)> {
        let stored = self.find_delivery(id).await?;
        let made = match stored.run_id {
            Some(id) => Some(self.find_run(id).await?),
            None => None,
        };
        Ok((delivery(&stored, None), made.as_ref().map(run)))
    }
}

/// What is fired.
fn read(id: DeliveryId, trigger: &Trigger, principal: &Principal, request: v1::FireTriggerRequest) -> Result<Fire> {
    let mut fields = Fields::new();
    let thread_key = request.thread_key.map(|key| fields.text("thread_key", key, MAX_THREAD_KEY));
    let thread_key = fields.finish(thread_key)?;
    let (prompt, session) = by_hand_text(request.prompt, &request.session_id)?;
    let (body, headers) = content(trigger.source, request.content, fire_headers(request.headers)?)?;
    Ok(Fire {
        id,
        body,
        headers,
        skip_filter: request.skip_filter,
        thread_key,
        session,
        session_mode: session_mode(request.session_mode)?,
        prompt,
        requested_by: requester(principal),
    })
}

/// Prompt and session that a person gives instead of the trigger's.
pub(super) fn by_hand_text(prompt: Option<String>, session_id: &str) -> Result<(Option<String>, Option<SessionId>)> {
    let mut fields = Fields::new();
    let prompt = prompt.map(|prompt| fields.text("prompt", prompt, MAX_PROMPT));
    fields.check(prompt.as_deref() != Some(""), "prompt", || "is empty; leave it out to use the trigger's".to_owned());
    let session = fields.id_or_none("session_id", session_id);
    fields.finish((prompt, session))
}

/// The event's body and headers; those of the caller come after a sample's own and replace them.
fn content(source: Source, content: Option<Content>, mut headers: Vec<Header>) -> Result<(Bytes, Vec<Header>)> {
    let body = match content {
        None => Bytes::from_static(b"{}"),
        Some(Content::Payload(payload)) => struct_json(&payload)?,
        Some(Content::Body(body)) => body,
        Some(Content::Sample(name)) => {
            let samples = SourceInfo::of(source).samples;
            let sample = samples.iter().find(|sample| sample.name == name).ok_or_else(|| Error::SampleUnknown {
                sample: name.chars().take(64).collect(),
                known_names: samples.iter().map(|sample| sample.name).collect::<Vec<_>>().join(", "),
            })?;
            let own = sample.headers.iter().filter(|(name, _)| !headers.iter().any(|header| header.name == *name));
            let own: Vec<Header> = own.map(|(name, value)| Header { name: (*name).to_owned(), value: value.as_bytes().to_vec() }).collect();
            headers.splice(0..0, own);
            Bytes::from_static(sample.body.as_bytes())
        }
    };
    Ok((body, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_brings_its_headers_and_the_callers_win() {
        let info = SourceInfo::of(Source::Github);
        let sample = info.samples[0];
        let mine = Header { name: "content-type".to_owned(), value: b"text/plain".to_vec() };
        let (body, headers) = content(Source::Github, Some(Content::Sample(sample.name.to_owned())), vec![mine.clone()]).expect("known");
        assert_eq!(body, sample.body.as_bytes());
        assert_eq!(headers.iter().filter(|header| header.name == "content-type").collect::<Vec<_>>(), [&mine]);
        assert!(headers.iter().any(|header| header.name == "x-github-event"));
    }

    #[test]
    fn an_unknown_sample_names_those_that_are_known() {
        match content(Source::Github, Some(Content::Sample("nope".to_owned())), vec![]) {
            Err(Error::SampleUnknown { known_names, .. }) => assert!(known_names.contains(SourceInfo::of(Source::Github).samples[0].name)),
            other => panic!("{other:?}"),
        }
    }
}
