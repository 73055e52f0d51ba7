//! Ids as people type them: whole, or the end that a table shows.

use super::connection::Api;
use super::failure::Failure;
use crate::proto::v1::{ListDeliveriesRequest, ListRunsRequest, ListSessionsRequest};

/// How many of the newest are searched for an end.
const SEARCHED: i32 = 500;

/// The whole id of what need not be named; empty where it is not.
pub(crate) async fn if_given<'a, F>(text: Option<&'a str>, whole: impl FnOnce(&'a str) -> F) -> Result<String, Failure>
where
    F: Future<Output = Result<String, Failure>>,
{
    match text {
        Some(text) => whole(text).await,
        None => Ok(String::new()),
    }
}

/// The whole id of a run.
pub(crate) async fn run(api: &Api, text: &str) -> Result<String, Failure> {
    let Typed::End(end) = typed(text, "run")? else { return Ok(text.to_owned()) };
    let answer = api.runs().list_runs(ListRunsRequest { page_size: SEARCHED, ..Default::default() }).await?.into_inner();
    the_one(&end, "run", answer.runs.into_iter().map(|run| run.id))
}

/// The newest run, of one trigger if one is named.
pub(crate) async fn last_run(api: &Api, trigger: &str) -> Result<String, Failure> {
    let request = ListRunsRequest { page_size: 1, trigger_id: trigger.to_owned(), ..Default::default() };
    let newest = api.runs().list_runs(request).await?.into_inner().runs.into_iter().next();
    newest.map(|run| run.id).ok_or_else(|| Failure::Missing("there is no run yet".into()))
}

/// The whole id of a session.
pub(crate) async fn session(api: &Api, text: &str) -> Result<String, Failure> {
    let Typed::End(end) = typed(text, "ses")? else { return Ok(text.to_owned()) };
    let answer = api.sessions().list_sessions(ListSessionsRequest { page_size: SEARCHED, ..Default::default() }).await?.into_inner();
    the_one(&end, "session", answer.sessions.into_iter().map(|session| session.id))
}

/// The whole id of a delivery.
pub(crate) async fn delivery(api: &Api, text: &str) -> Result<String, Failure> {
    let Typed::End(end) = typed(text, "dlv")? else { return Ok(text.to_owned()) };
    let answer = api.triggers().list_deliveries(ListDeliveriesRequest { page_size: SEARCHED, ..Default::default() }).await?.into_inner();
    the_one(&end, "delivery", answer.deliveries.into_iter().map(|delivery| delivery.id))
}

#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Whole,
    End(String),
}

fn typed(text: &str, prefix: &str) -> Result<Typed, Failure> {
    let body = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    if body.is_some_and(|body| body.len() == 26) {
        return Ok(Typed::Whole);
    }
    let end = body.unwrap_or(text).trim_start_matches('…').trim_start_matches("...").to_lowercase();
    if end.len() < 4 || !end.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::Usage(format!("`{text}` is not an id: give `{prefix}_…` or at least its last four characters")));
    }
    Ok(Typed::End(end))
}

fn the_one(end: &str, kind: &str, ids: impl Iterator<Item = String>) -> Result<String, Failure> {
    let mut found: Vec<String> = ids.filter(|id| id.ends_with(end)).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::Missing(format!("none of the newest {SEARCHED} {kind}s ends with `{end}`; give the whole id"))),
        _ => Err(Failure::Usage(format!("`{end}` is the end of several {kind}s: {}", found.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "run_01h455vb4pex5vsknk084s7k2m";
    const B: &str = "run_01h455vb4pex5vsknk084t7k2m";

    #[test]
    fn whole_ids_pass_and_ends_are_recognised() {
        assert_eq!(typed(A, "run").ok(), Some(Typed::Whole));
        for text in ["7k2m", "…7k2m", "run_…7k2m", "7K2M", "...7k2m"] {
            assert_eq!(typed(text, "run").ok(), Some(Typed::End("7k2m".into())), "{text}");
        }
        for wrong in ["", "…", "k2m", "../x", "ses_01h455vb4pex5vsknk084s7k2m"] {
            assert!(matches!(typed(wrong, "run"), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn an_end_must_fit_exactly_one() {
        let ids = || [A, B].into_iter().map(str::to_owned);
        assert_eq!(the_one("s7k2m", "run", ids()).ok().as_deref(), Some(A));
        assert!(matches!(the_one("7k2m", "run", ids()), Err(Failure::Usage(text)) if text.contains(A) && text.contains(B)));
        assert!(matches!(the_one("zzzz", "run", ids()), Err(Failure::Missing(_))));
    }
}
