//! What to do at the sender after a trigger was made.

use super::super::plain::{plain, width};
use crate::proto::v1::Trigger;

/// What is known of the signing secret.
pub(super) struct Secret<'a> {
    /// The secret that the server made; empty when it made none.
    pub(super) made: &'a str,
    /// Whether the sender's secret was given.
    pub(super) given: bool,
}

/// How a source's steps refer to the address of a trigger.
const ADDRESS: &str = "the trigger's webhook_url";

/// The numbered steps of the source, with this trigger's address, secret and slug in their places.
pub(super) fn steps(steps: &[String], trigger: &Trigger, secret: &Secret<'_>) -> Vec<String> {
    let mut labelled: Vec<(&str, &str)> = steps.iter().map(|step| label(step)).collect();
    if !trigger.webhook_url.is_empty() && !steps.iter().any(|step| step.contains(ADDRESS)) {
        labelled.push(("URL", ADDRESS));
    }
    if !secret.made.is_empty() && !labelled.iter().any(|(name, _)| *name == "Secret") {
        labelled.push(("Secret", ""));
    }
    let room = labelled.iter().filter(|(name, text)| !text.is_empty() || *name == "Secret").map(|(name, _)| width(name)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (number, (name, text)) in labelled.into_iter().enumerate() {
        let text = match name {
            "Secret" => shown(secret),
            _ => filled(text, trigger),
        };
        let gap = room.saturating_sub(width(name));
        let line = format!("  {}  {}{:gap$}  {text}", number + 1, filled(name, trigger), "");
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// `Payload URL: the trigger's webhook_url.` is a label and a text; any other step is all label.
fn label(step: &str) -> (&str, &str) {
    let step = step.trim().trim_end_matches('.');
    match step.split_once(": ") {
        Some((name, text)) if width(name) <= 20 => (name, text),
        _ => (step, ""),
    }
}

fn filled(text: &str, trigger: &Trigger) -> String {
    let filled = plain(text).replace(" SLUG", &format!(" {}", trigger.slug));
    if !filled.contains(ADDRESS) {
        return filled;
    }
    let url = plain(&trigger.webhook_url);
    let base: String = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let host = base.split("://").nth(1).unwrap_or_default();
    let local = ["127.", "localhost", "[::1]", "0.0.0.0"].iter().any(|local| host.starts_with(local));
    let note = if local { format!("   (set server.public_url first: it is {base} now)") } else { String::new() };
    format!("{}{note}", filled.replace(ADDRESS, &url))
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

    fn source(steps: &[&str]) -> Vec<String> {
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    #[test]
    fn address_and_secret_stand_in_their_places() {
        let source = source(&[
            "Open your repository on GitHub: Settings → Webhooks → Add webhook.",
            "Payload URL: the trigger's webhook_url.",
            "Secret: the trigger's signing secret, which is shown once.",
        ]);
        let lines = steps(&source, &trigger("https://hooks.example/hooks/my-repo/t0"), &Secret { made: "s3cr3t", given: false });
        assert_eq!(
            lines,
            [
                "  1  Open your repository on GitHub: Settings → Webhooks → Add webhook",
                "  2  Payload URL  https://hooks.example/hooks/my-repo/t0",
                "  3  Secret       s3cr3t   shown once",
            ]
        );
    }

    #[test]
    fn what_the_steps_leave_out_is_added() {
        let lines = steps(&[], &trigger("http://127.0.0.1:7700/hooks/my-repo/t0"), &Secret { made: "s", given: false });
        assert!(
            lines[0].starts_with("  1  URL") && lines[0].ends_with("(set server.public_url first: it is http://127.0.0.1:7700 now)"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("  2  Secret  s"));
        assert!(steps(&[], &trigger(""), &Secret { made: "", given: true }).is_empty());
    }

    #[test]
    fn commands_name_this_trigger() {
        let source = source(&["Give that secret to the trigger: `reprise trigger rotate-secret SLUG --secret-file FILE`."]);
        let lines = steps(&source, &trigger(""), &Secret { made: "", given: false });
        assert_eq!(lines, ["  1  Give that secret to the trigger: `reprise trigger rotate-secret my-repo --secret-file FILE`"]);
    }
}
