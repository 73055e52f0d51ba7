//! The agents' own lines that no entry holds whole: those that make no entry, long ones, and those that are no UTF-8.
//!
//! They are read for the file of a run only, so they stand apart from the entries, which many read.

use std::io::{BufRead as _, Read as _};

use sea_orm::ConnectionTrait as _;
use serde::{Deserialize, Serialize};

use super::Store;
use super::sql::statement;
use crate::domain::{Error, LeaseId, Result, RunId, Sequence, UnixMicros};

/// The most bytes of a line that one part holds. Divisible by three, so that the base64 of the parts is that of the line.
pub(crate) const PART_BYTES: usize = 65_535;
const LEVEL: i32 = 1;

/// A part of a line; most lines are one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinePart {
    /// Its place among the parts of its attempt.
    #[serde(rename = "i")]
    pub(crate) number: i64,
    /// The entry that the line made, or else the one before it. Before a batch is stored: which of the batch, from 1 on.
    #[serde(rename = "n")]
    pub(crate) sequence: Sequence,
    #[serde(rename = "t")]
    pub(crate) time: i64,
    /// The line made that entry, and is whole only here.
    #[serde(rename = "o", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_entry: bool,
    /// It is of the standard error.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stderr: bool,
    /// The line is no UTF-8.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) binary: bool,
    /// The rest of the line was not kept.
    #[serde(rename = "c", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cut: bool,
    /// The next part goes on with the line.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) more: bool,
    #[serde(skip)]
    pub(crate) bytes: Vec<u8>,
    /// How many bytes follow this head.
    #[serde(rename = "z")]
    pub(crate) size: usize,
}

impl LinePart {
    /// A line in parts, from `number` on; the time, place and rest are those of `like`.
    pub(crate) fn split(like: &Self, line: &[u8]) -> Vec<Self> {
        let text = std::str::from_utf8(line).ok();
        let mut parts = Vec::with_capacity(line.len() / PART_BYTES + 1);
        let mut start = 0;
        loop {
            let end = line.len().min(start + PART_BYTES);
            let end = text.map_or(end, |text| text.floor_char_boundary(end));
            let number = like.number + i64::try_from(parts.len()).unwrap_or(i64::MAX);
            let more = end < line.len();
            parts.push(Self { number, binary: text.is_none(), more, bytes: line[start..end].to_vec(), size: end - start, ..*like });
            if !more {
                return parts;
            }
            start = end;
        }
    }

    /// The first words about a line, for [`LinePart::split`].
    pub(crate) const fn of(number: i64, sequence: Sequence, time: UnixMicros) -> Self {
        let bytes = Vec::new();
        Self { number, sequence, time: time.0, of_entry: false, stderr: false, binary: false, cut: false, more: false, bytes, size: 0 }
    }

    /// About how many bytes it takes.
    pub(crate) const fn weight(&self) -> usize {
        128 + self.bytes.len()
    }
}

/// Consecutive parts as one compressed body: of each a line of JSON, then its bytes.
pub(crate) fn encode(parts: &[LinePart]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(parts.iter().map(LinePart::weight).sum());
    for part in parts {
        serde_json::to_writer(&mut plain, part).expect("these shapes have text keys only, and memory takes every write");
        plain.push(b'\n');
        plain.extend_from_slice(&part.bytes);
    }
    zstd::bulk::compress(&plain, LEVEL).expect("memory takes every write")
}

/// The parts of a body, in order.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<LinePart>> {
    let broken = |error: std::io::Error| Error::internal(format!("lines of a run cannot be read: {error}"));
    let plain = zstd::decode_all(body).map_err(broken)?;
    let (mut rest, mut parts) = (plain.as_slice(), Vec::new());
    while !rest.is_empty() {
        let mut head = Vec::new();
        rest.read_until(b'\n', &mut head).map_err(broken)?;
        let mut part: LinePart = serde_json::from_slice(&head).map_err(|error| broken(error.into()))?;
        if part.size > rest.len() {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        part.bytes = vec![0; part.size];
        rest.read_exact(&mut part.bytes).map_err(broken)?;
        parts.push(part);
    }
    Ok(parts)
}

/// The place of a body among those of its run: its attempt, and the number of its first part.
pub(crate) type LinesPlace = (i32, i64);

impl Store {
    /// Stores parts as one body under this lease; parts that stand already are left as they are. Errors: `Fenced`.
    pub(crate) async fn append_lines(&self, run: RunId, lease: LeaseId, attempt: i32, parts: &[LinePart]) -> Result<()> {
        let Some(first) = parts.first() else { return Ok(()) };
        let text = "INSERT INTO journal_lines (run_id, attempt, first_number, raw_bytes, create_time, body) \
                    SELECT id, CAST(? AS INTEGER), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), ? FROM runs \
                    WHERE id = ? AND lease_id = ? \
                    ON CONFLICT (run_id, attempt, first_number) DO UPDATE SET body = excluded.body";
        let weight: usize = parts.iter().map(LinePart::weight).sum();
        let values = vec![
            attempt.into(),
            first.number.into(),
            i64::try_from(weight).unwrap_or(i64::MAX).into(),
            UnixMicros::now().0.into(),
            encode(parts).into(),
            run.0.into(),
            lease.0.into(),
        ];
        let done = self.write().execute_raw(statement(self.backend(), text, values)).await?;
        if done.rows_affected() == 0 { Err(Error::Fenced) } else { Ok(()) }
    }

    /// The parts that stand after `after`, as many as were stored together, and their place; none: there are no more.
    pub(crate) async fn lines_after(&self, run: RunId, after: LinesPlace) -> Result<Option<(LinesPlace, Vec<LinePart>)>> {
        let text = "SELECT attempt, first_number, body FROM journal_lines WHERE run_id = ? AND (attempt, first_number) > (?, ?) \
                    ORDER BY attempt, first_number LIMIT 1";
        let values = vec![run.0.into(), after.0.into(), after.1.into()];
        let Some(row) = self.read().query_one_raw(statement(self.backend(), text, values)).await? else { return Ok(None) };
        let place = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let body: Vec<u8> = row.try_get_by_index(2)?;
        Ok(Some((place, decode(&body)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(line: &[u8], like: &LinePart) -> Vec<LinePart> {
        let parts = LinePart::split(like, line);
        assert_eq!(decode(&encode(&parts)).expect("reads"), parts);
        assert_eq!(parts.iter().flat_map(|part| part.bytes.clone()).collect::<Vec<_>>(), line);
        assert!(parts.iter().all(|part| part.bytes.len() <= PART_BYTES));
        assert!(parts.iter().rev().skip(1).all(|part| part.more) && parts.last().is_some_and(|part| !part.more));
        parts
    }

    #[test]
    fn lines_come_back_byte_for_byte() {
        let like = LinePart { stderr: true, of_entry: true, cut: true, ..LinePart::of(7, 3, UnixMicros(5)) };
        let whole = round(b"{\"type\":\"result\"}\r", &like);
        assert_eq!((whole.len(), whole[0].number, whole[0].binary), (1, 7, false));
        assert_eq!(round(b"", &like).len(), 1, "an empty line is a line");
        assert!(round(b"\xff\n\0{}\n", &like)[0].binary, "a line feed within a part is no end of it");
    }

    #[test]
    fn a_long_line_is_split_between_characters_or_bytes_of_three() {
        let like = LinePart::of(1, 0, UnixMicros(5));
        let text = round("aüß€\u{1F980}".repeat(20_000).as_bytes(), &like);
        assert!(text.iter().all(|part| !part.binary && std::str::from_utf8(&part.bytes).is_ok()));
        assert_eq!(text.iter().map(|part| part.number).collect::<Vec<_>>(), (1..=4).collect::<Vec<_>>());
        let binary = round(&[0xfe; 200_000], &like);
        assert!(binary.iter().all(|part| part.binary && (!part.more || part.bytes.len() % 3 == 0)));
    }

    #[test]
    fn a_broken_body_is_an_error_and_not_a_panic() {
        let plain = |text: &str| zstd::bulk::compress(text.as_bytes(), 1).expect("memory");
        for body in [b"not zstd".to_vec(), plain("{\"i\":1"), plain("{\"i\":1,\"n\":1,\"t\":1,\"z\":9999999999}\nabc")] {
            assert!(decode(&body).is_err());
        }
    }
}
