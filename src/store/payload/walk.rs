//! What the rules found in a delivery, as stored: a byte for rule and verdict, the time it took, and the names it read.

use std::sync::Arc;

use crate::domain::{Mark, Stage, Verdict};

/// As stored: for each rule its number times 16 plus that of its verdict, microseconds, and the names, each after its
/// length. Numbers are written in groups of seven bits, so most take a byte.
pub(crate) fn walk_to(marks: &[Mark]) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(marks.len() * 4 + marks.iter().flat_map(|mark| mark.reads.iter()).map(|name| name.len() + 1).sum::<usize>());
    for mark in marks {
        out.push((mark.stage as u8) << 4 | mark.verdict as u8);
        number(&mut out, mark.micros);
        number(&mut out, u32::try_from(mark.reads.len()).unwrap_or(0));
        for name in mark.reads.iter() {
            number(&mut out, u32::try_from(name.len()).unwrap_or(0));
            out.extend_from_slice(name.as_bytes());
        }
    }
    out
}

/// From what is stored. What a later version wrote is read as far as it is known.
pub(crate) fn walk_from(mut bytes: &[u8]) -> Vec<Mark> {
    let mut marks = Vec::new();
    while let Some(mark) = next_mark(&mut bytes) {
        marks.push(mark);
    }
    marks
}

fn next_mark(bytes: &mut &[u8]) -> Option<Mark> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    let stage = *Stage::ALL.get(usize::from(first >> 4))?;
    let verdict = *Verdict::ALL.get(usize::from(first & 15))?;
    let micros = next_number(bytes)?;
    let count = next_number(bytes)?;
    let mut reads = Vec::new();
    for _ in 0..count {
        let length = next_number(bytes)? as usize;
        let (name, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        reads.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(Mark { stage, verdict, micros, reads: Arc::from(reads) })
}

fn number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn next_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..32).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_reads_back_and_is_small() {
        let mark = |stage, verdict, micros, names: &[&str]| Mark {
            stage,
            verdict,
            micros,
            reads: names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into(),
        };
        let walk = vec![
            mark(Stage::Verify, Verdict::Pass, 12, &[]),
            mark(Stage::Filter, Verdict::Stop, 300_000, &["event.action", "payload.issue.labels[0].name", "ü"]),
            mark(Stage::Prompt, Verdict::Failed, u32::MAX, &[]),
        ];
        let stored = walk_to(&walk);
        assert_eq!(walk_from(&stored), walk);
        assert!(stored.len() < 64, "{}", stored.len());
        for cut in 0..stored.len() {
            assert!(walk_from(&stored[..cut]).len() < walk.len(), "a cut walk is shorter, and no panic");
        }
        assert!(walk_from(&[0xff, 1, 2]).is_empty());
    }
}
