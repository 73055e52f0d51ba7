//! GitHub: repositories and organisations.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{Look, Raw, Reading, Refusal, first_id, first_text, signature};
use crate::domain::{Actor, ActorKind, Event, HmacAlgorithm, HmacEncoding};

const SIGNATURE: &str = "x-hub-signature-256";
/// What a thread key is made of: the repository, and the first of the others that there is.
pub(super) const THREAD: &[&str] = &[
    "repository.full_name",
    "pull_request.number",
    "issue.number",
    "check_suite.pull_requests.0.number",
    "check_run.pull_requests.0.number",
    "check_run.check_suite.pull_requests.0.number",
    "workflow_run.pull_requests.0.number",
    "discussion.number",
    "ref",
];

pub(super) fn verify(raw: &Raw<'_>, secrets: &[&[u8]]) -> Result<usize, Refusal> {
    let header = raw.header(SIGNATURE);
    let given = header.and_then(|value| value.strip_prefix("sha256=")).map(|hex| signature::decode(HmacEncoding::Hex, hex));
    let verdict = signature::matching(HmacAlgorithm::Sha256, secrets, &[raw.body], given.as_slice());
    if header.is_none() { Err(signature::missing(SIGNATURE)) } else { verdict }
}

/// The JSON of a form body: GitHub offers forms first, with all JSON in the field `payload`.
pub(super) fn form_payload(body: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    let field = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"payload="));
    let encoded = field.ok_or_else(|| Refusal::body("the form has no field `payload`"))?;
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| char::from(*digit.unwrap_or(&b' ')).to_digit(16));
                let [Some(high), Some(low)] = digits else {
                    return Err(Refusal::body("the form's field `payload` is cut or badly encoded"));
                };
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            other => *other,
        });
    }
    Ok(Cow::Owned(bytes))
}

/// The event's name comes in a header that is not signed. So a body that is plainly about something else is refused:
/// a captured one cannot be passed off as another event. A body that merely lacks fields is not.
pub(super) fn agrees(raw: &Raw<'_>, payload: &Json) -> Result<(), Refusal> {
    const SUBJECTS: &[&str] = &[
        "check_run",
        "check_suite",
        "comment",
        "discussion",
        "issue",
        "pull_request",
        "release",
        "review",
        "workflow_job",
        "workflow_run",
    ];
    let Some(kind) = raw.header("x-github-event") else { return Err(Refusal::body("there is no header `x-github-event`")) };
    let needed: &[&str] = match kind {
        "check_run" => &["check_run"],
        "check_suite" => &["check_suite"],
        "discussion" => &["discussion"],
        "discussion_comment" => &["discussion", "comment"],
        "issue_comment" => &["issue", "comment"],
        "issues" => &["issue"],
        "ping" => &["zen"],
        // The events of its reviews have the pull request too, but not its number beside it.
        "pull_request" => &["pull_request", "number"],
        "pull_request_review" => &["pull_request", "review"],
        "pull_request_review_comment" => &["pull_request", "comment"],
        "pull_request_review_thread" => &["pull_request", "thread"],
        "push" => &["after"],
        "release" => &["release"],
        "workflow_job" => &["workflow_job"],
        "workflow_run" => &["workflow_run"],
        _ => &[],
    };
    let has = |field: &&&str| payload.get(**field).is_some_and(|value| !value.is_null());
    match (needed.iter().find(|field| !has(field)), SUBJECTS.iter().find(has)) {
        (Some(missing), Some(subject)) => {
            Err(Refusal::body(format!("the header says `{kind}`, but the body is about a `{subject}` and has no `{missing}`")))
        }
        _ => Ok(()),
    }
}

pub(super) fn read(raw: &Raw<'_>, payload: &Json) -> Reading {
    let kind = raw.header("x-github-event").unwrap_or_default().to_owned();
    let actor = payload.get("sender").map(|sender| Actor {
        id: sender.id("id").unwrap_or_default(),
        login: sender.text("login"),
        kind: match sender.get("type").and_then(Json::as_str) {
            Some("Bot") => ActorKind::Bot,
            Some("User") => ActorKind::User,
            _ => ActorKind::Unknown,
        },
    });
    Reading {
        delivery_id: raw.header("x-github-delivery").unwrap_or_default().to_owned(),
        hello: kind == "ping",
        event: Event {
            kind,
            action: payload.text("action"),
            actor: actor.unwrap_or_default(),
            thread_key: thread_key(payload),
            title: title(payload),
            url: first_text(
                payload,
                &[
                    "pull_request.html_url",
                    "issue.html_url",
                    "discussion.html_url",
                    "check_run.html_url",
                    "workflow_run.html_url",
                    "workflow_job.html_url",
                    "release.html_url",
                    "compare",
                ],
            ),
            text: text(payload),
        },
    }
}

/// Issues, pull requests and discussions of a repository share one sequence of numbers, so a number alone names a
/// thread. The repository is named as people name it; `payload.repository.id` in a thread key of one's own survives
/// renames.
fn thread_key(payload: &Json) -> Option<String> {
    let [repository, numbers @ .., branch] = THREAD else { return None };
    let repository = payload.id(repository)?;
    let number = first_id(payload, numbers);
    // The branch of a run without pull request is not used: a fork may name its branch like one of ours.
    number.map(|number| format!("{repository}#{number}")).or_else(|| Some(format!("{repository}@{}", payload.id(branch)?)))
}

fn title(payload: &Json) -> String {
    let title = first_text(
        payload,
        &[
            "pull_request.title",
            "issue.title",
            "discussion.title",
            "check_run.name",
            "workflow_run.display_title",
            "workflow_run.name",
            "workflow_job.name",
            "release.name",
            "release.tag_name",
        ],
    );
    if title.is_empty() { payload.text("head_commit.message").lines().next().unwrap_or_default().to_owned() } else { title }
}

fn text(payload: &Json) -> String {
    // A review without words has a null body; the pull request's text is not what its author wrote.
    let said = ["comment", "review"].into_iter().find_map(|subject| payload.get(subject));
    match said {
        Some(said) => said.text("body"),
        None => first_text(payload, &["pull_request.body", "issue.body", "discussion.body", "release.body", "head_commit.message"]),
    }
}
