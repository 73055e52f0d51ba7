//! What to do at the sender after a trigger was made.

use super::super::plain::{plain, width};
use crate::proto::v1::Trigger;

/// What is known of the signing secret.
pub(super) struct Secret<'a> {
    /// The secret that the server made; empty when it made none.
    pub(super) made: &'a str,
    /// Whether the sender's secret was given.
    pub(super) given: bool,
    /// Whether the sender issues the secret.
    pub(super) needed: bool,
}

/// The numbered steps of the source, with this trigger's address and secret in their places.
pub(super) fn steps(steps: &[String], trigger: &Trigger, secret: &Secret<'_>) -> Vec<String> {
    let mut steps = steps.to_vec();
    let names = |place: &str| steps.iter().any(|step| step.contains(place));
    let (has_address, has_secret) = (names("{webhook_url}"), names("{secret}"));
    if !has_address && !trigger.webhook_url.is_empty() {
        steps.push("Address: {webhook_url}".into());
    }
    if !has_secret && !secret.made.is_empty() {
        steps.push("Secret: {secret}".into());
    }
    let labelled: Vec<(&str, &str)> = steps.iter().map(|step| label(step)).collect();
    let room = labelled.iter().filter(|(_, text)| !text.is_empty()).map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut lines: Vec<String> = Vec::new();
    for (number, (name, text)) in labelled.into_iter().enumerate() {
        let text = plain(text).replace("{webhook_url}", &address(trigger)).replace("{secret}", &shown(secret));
        let gap = room.saturating_sub(width(name));
        let line = format!("  {}  {}{:gap$}  {text}", number + 1, plain(name), "");
        lines.push(line.trim_end().to_owned());
    }
    if secret.needed && !secret.given {
        let slug = &trigger.slug;
        lines.push(format!(
            "  The sender issues the secret. Give it with: reprise trigger rotate-secret {slug} --secret-stdin --overlap 0s"
        ));
    }
    lines
}

/// `Payload URL: {webhook_url}` is a label and a text; a step without a colon is all label.
fn label(step: &str) -> (&str, &str) {
    match step.split_once(": ") {
        Some((name, text)) if width(name) <= 24 => (name, text.trim()),
        _ => (step, ""),
    }
}

fn address(trigger: &Trigger) -> String {
    let url = plain(&trigger.webhook_url);
    let base: String = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let host = base.split("://").nth(1).unwrap_or_default();
    let local = ["127.", "localhost", "[::1]", "0.0.0.0"].iter().any(|local| host.starts_with(local));
    if local { format!("{url}   (set server.public_url first: it is {base} now)") } else { url }
}

fn shown(secret: &Secret<'_>) -> String {
    match (secret.made, secret.given) {
        ("", true) => "the one you gave".into(),
        ("", false) => "the one that the sender issues".into(),
        (made, _) => format!("{made}   shown once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(url: &str) -> Trigger {
        Trigger { slug: "my-repo".into(), webhook_url: url.into(), ..Trigger::default() }
    }

    #[test]
    fn address_and_secret_stand_in_their_places() {
        let source = [
            "GitHub → your repository → Settings → Webhooks → Add webhook".to_owned(),
            "Payload URL: {webhook_url}".into(),
            "Secret: {secret}".into(),
        ];
        let lines =
            steps(&source, &trigger("https://hooks.example/hooks/my-repo/t0"), &Secret { made: "s3cr3t", given: false, needed: false });
        assert_eq!(
            lines,
            [
                "  1  GitHub → your repository → Settings → Webhooks → Add webhook",
                "  2  Payload URL  https://hooks.example/hooks/my-repo/t0",
                "  3  Secret       s3cr3t   shown once",
            ]
        );
    }

    #[test]
    fn an_address_that_nobody_outside_reaches_is_said() {
        let lines = steps(&[], &trigger("http://127.0.0.1:7700/hooks/my-repo/t0"), &Secret { made: "s", given: false, needed: false });
        assert!(lines[0].ends_with("(set server.public_url first: it is http://127.0.0.1:7700 now)"));
        assert!(lines[1].contains("Secret"));
    }

    #[test]
    fn a_secret_that_the_sender_issues_is_asked_for() {
        let lines = steps(&["Secret: {secret}".into()], &trigger(""), &Secret { made: "", given: false, needed: true });
        assert!(lines.last().is_some_and(|line| line.contains("rotate-secret my-repo --secret-stdin")));
        assert!(!steps(&[], &trigger(""), &Secret { made: "", given: true, needed: true }).iter().any(|line| line.contains("rotate")));
    }
}
