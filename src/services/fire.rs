//! Firing a trigger by hand.

use bytes::Bytes;

use super::run::session_mode;
use super::{Services, requester};
use crate::access::Principal;
use crate::domain::{Error, Header, Result, Source};
use crate::intake::{Fire, SourceInfo};
use crate::proto::v1::{self, fire_trigger_request::Content};
use crate::rpc::convert::{delivery, fire_headers, run, struct_json};
use crate::rpc::{Fields, MAX_THREAD_KEY};

/// The longest prompt that is given by hand, in bytes.
const MAX_PROMPT: usize = 256 * 1024;

impl Services {
    pub(super) async fn fire(&self, principal: &Principal, request: v1::FireTriggerRequest) -> Result<v1::FireTriggerResponse> {
        let trigger = self.find_trigger("trigger_id", &request.trigger_id).await?;
        let mut fields = Fields::new();
        let thread_key = request.thread_key.map(|key| fields.text("thread_key", key, MAX_THREAD_KEY));
        let prompt = request.prompt.map(|prompt| fields.text("prompt", prompt, MAX_PROMPT));
        fields.check(prompt.as_deref() != Some(""), "prompt", || "is empty; leave it out to use the trigger's".to_owned());
        let (thread_key, prompt) = fields.finish((thread_key, prompt))?;
        let (body, headers) = content(trigger.source, request.content, fire_headers(request.headers)?)?;
        let fire = Fire {
            body,
            headers,
            skip_filter: request.skip_filter,
            thread_key,
            session_mode: session_mode(request.session_mode)?,
            prompt,
            requested_by: requester(principal),
        };
        let accepted = self.rooms.intake.fire(&trigger, fire).await?;
        let stored = self.find_delivery(accepted.delivery_id).await?;
        let made = match accepted.run_id {
            Some(id) => Some(self.find_run(id).await?),
            None => None,
        };
        Ok(v1::FireTriggerResponse { delivery: Some(delivery(&stored, None)), run: made.as_ref().map(run), explanation: None })
    }
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
