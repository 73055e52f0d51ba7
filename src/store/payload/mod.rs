//! Stored JSON shapes. Every field has a default, so that rows of older versions still read.

mod settings;
mod trigger;
mod walk;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::{CustodyFile, Error, Header, Manifest, NanoUsd, Result, RunWarning, Usage};

pub(crate) use settings::{settings_from, settings_to};
pub(crate) use trigger::{spec_from, spec_to};
pub(crate) use walk::{walk_from, walk_to};

/// A word of a closed set, as stored.
pub(crate) fn word<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(Error::Internal)
}

fn from_json<'a, T: Deserialize<'a> + Default>(text: &'a str) -> Result<T> {
    if text.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|error| Error::internal(format!("a stored value cannot be read: {error}")))
}

fn to_json<T: Serialize>(value: &T) -> String {
    // Only maps with keys that are not text can fail, and these shapes have none.
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct ManifestShape {
    rewrite: i32,
    files: Vec<FileShape>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct FileShape {
    path: String,
    bytes: i64,
    sha256: String,
    parts: i32,
    rewrite: i32,
}

/// Which files are in custody; empty text: none.
pub(crate) fn manifest_from(text: &str) -> Result<Manifest> {
    let shape: ManifestShape = from_json(text)?;
    let file = |f: FileShape| CustodyFile { path: f.path, bytes: f.bytes, sha256: f.sha256, parts: f.parts, rewrite: f.rewrite };
    Ok(Manifest { rewrite: shape.rewrite, files: shape.files.into_iter().map(file).collect() })
}

/// As stored.
pub(crate) fn manifest_to(manifest: &Manifest) -> String {
    let file =
        |f: &CustodyFile| FileShape { path: f.path.clone(), bytes: f.bytes, sha256: f.sha256.clone(), parts: f.parts, rewrite: f.rewrite };
    to_json(&ManifestShape { rewrite: manifest.rewrite, files: manifest.files.iter().map(file).collect() })
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct UsageShape {
    model: String,
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    thinking: i64,
    cost_nano: i64,
    basis: String,
}

impl UsageShape {
    fn of(model: &str, usage: Usage) -> Self {
        Self {
            model: model.to_owned(),
            input: usage.input_tokens,
            output: usage.output_tokens,
            cache_read: usage.cache_read_tokens,
            cache_write: usage.cache_write_tokens,
            thinking: usage.thinking_tokens,
            cost_nano: usage.cost.0,
            basis: usage.cost_basis.to_string(),
        }
    }

    fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            input_tokens: self.input,
            output_tokens: self.output,
            cache_read_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            thinking_tokens: self.thinking,
            cost: NanoUsd(self.cost_nano),
            cost_basis: word(&self.basis)?,
        })
    }
}

/// Usage by model; empty text: none.
pub(crate) fn by_model_from(text: &str) -> Result<Vec<(String, Usage)>> {
    let shapes: Vec<UsageShape> = from_json(text)?;
    shapes
        .into_iter()
        .map(|shape| {
            let usage = shape.usage()?;
            Ok((shape.model, usage))
        })
        .collect()
}

/// As stored.
pub(crate) fn by_model_to(by_model: &[(String, Usage)]) -> String {
    let shape = |(model, usage): &(String, Usage)| UsageShape::of(model, *usage);
    if by_model.is_empty() { String::new() } else { to_json(&by_model.iter().map(shape).collect::<Vec<_>>()) }
}

/// What an attempt was metered to have used, while it is live.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Metered {
    /// Which attempt.
    pub(crate) attempt: i32,
    /// All that it used so far.
    pub(crate) usage: Usage,
    /// Tokens of context, and how many the model can hold.
    pub(crate) context_tokens: i64,
    pub(crate) context_window_tokens: i64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct MeteredShape {
    attempt: i32,
    context: i64,
    window: i64,
    #[serde(flatten)]
    usage: UsageShape,
}

/// From what is stored.
pub(crate) fn metered_from(text: &str) -> Result<Metered> {
    let shape: MeteredShape = from_json(text)?;
    let (attempt, context_tokens, context_window_tokens) = (shape.attempt, shape.context, shape.window);
    Ok(Metered { attempt, usage: shape.usage.usage()?, context_tokens, context_window_tokens })
}

/// As stored.
pub(crate) fn metered_to(metered: &Metered) -> String {
    let Metered { attempt, usage, context_tokens, context_window_tokens } = *metered;
    to_json(&MeteredShape { attempt, context: context_tokens, window: context_window_tokens, usage: UsageShape::of("", usage) })
}

/// Warnings; a word that a later version wrote is left out.
pub(crate) fn warnings_from(text: &str) -> Vec<RunWarning> {
    text.split(',').filter_map(|word| word.parse().ok()).collect()
}

/// As stored.
pub(crate) fn warnings_to(warnings: &[RunWarning]) -> String {
    warnings.iter().map(|warning| warning.as_str()).collect::<Vec<_>>().join(",")
}

/// Headers as stored: name and value in turn, each after its length, since values are raw bytes.
pub(crate) fn headers_to(headers: &[Header]) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.iter().map(|h| h.name.len() + h.value.len() + 8).sum());
    for piece in headers.iter().flat_map(|h| [h.name.as_bytes(), h.value.as_slice()]) {
        out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// Headers from what is stored.
pub(crate) fn headers_from(mut bytes: &[u8]) -> Result<Vec<Header>> {
    let mut next = || -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some(piece.to_vec())
    };
    let mut headers = Vec::new();
    while let Some(name) = next() {
        let value = next().ok_or_else(|| Error::internal("stored headers are cut"))?;
        headers.push(Header { name: String::from_utf8_lossy(&name).into_owned(), value });
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CostBasis;

    #[test]
    fn what_is_stored_reads_back() {
        let manifest = Manifest {
            rewrite: 2,
            files: vec![CustodyFile { path: "a/b.jsonl".to_owned(), bytes: 7, sha256: "ab".to_owned(), parts: 1, rewrite: 2 }],
        };
        assert_eq!(manifest_from(&manifest_to(&manifest)).expect("reads"), manifest);
        let by_model = vec![("m".to_owned(), Usage { cost: NanoUsd(5), cost_basis: CostBasis::Metered, ..Usage::default() })];
        assert_eq!(by_model_from(&by_model_to(&by_model)).expect("reads"), by_model);
        let metered = Metered { attempt: 2, usage: by_model[0].1, context_tokens: 7, context_window_tokens: 9 };
        assert_eq!(metered_from(&metered_to(&metered)).expect("reads"), metered);
        let warnings = vec![RunWarning::CacheCold, RunWarning::NotSandboxed];
        assert_eq!(warnings_from(&warnings_to(&warnings)), warnings);
        let headers = vec![Header { name: "x".to_owned(), value: vec![0, 255, 10] }, Header { name: "y".to_owned(), value: vec![] }];
        assert_eq!(headers_from(&headers_to(&headers)).expect("reads"), headers);
    }

    #[test]
    fn nothing_stored_is_nothing() {
        assert_eq!(manifest_from("").expect("reads"), Manifest::default());
        assert_eq!(by_model_from("").expect("reads"), vec![]);
        assert_eq!(warnings_from("a_later_word,cache_cold"), [RunWarning::CacheCold]);
        assert!(headers_from(&[9, 0, 0, 0, 1]).expect("reads").is_empty());
    }
}
