//! Lines of a child's output in bounded memory, whatever it prints.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A line longer than this is cut.
pub(super) const LINE_CAP: usize = 16 * 1024 * 1024;
/// What is kept of a line that was cut.
pub(super) const KEPT_OF_CUT: usize = 64 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes; of a line past the cap the first 64 KiB.
    pub(super) bytes: Vec<u8>,
    /// Its whole size.
    pub(super) size: u64,
    /// It was longer than the cap.
    pub(super) cut: bool,
}

/// Reads lines. [`Lines::next`] may be dropped at any await without losing a byte.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    cap: usize,
    held: Vec<u8>,
    size: u64,
    cut: bool,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of `reader`, cut at `cap`.
    pub(super) fn new(reader: R, cap: usize) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, reader), cap, held: Vec::new(), size: 0, cut: false, ended: false }
    }

    /// Whether the end was reached.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// A line that was read already, whole: a cheap way to take many.
    pub(super) fn buffered(&mut self) -> Option<Line> {
        let chunk = self.reader.buffer();
        let feed =
            chunk.iter().position(|byte| *byte == b'\n').filter(|feed| self.held.is_empty() && self.size == 0 && *feed <= self.cap)?;
        let line = Line { bytes: chunk[..feed].to_vec(), size: feed as u64, cut: false };
        self.reader.consume(feed + 1);
        Some(line)
    }

    /// The next line; none at the end. A last line without a line feed counts.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        while !self.ended {
            if let Err(error) = self.reader.fill_buf().await {
                self.ended = true;
                return Err(error);
            }
            let chunk = self.reader.buffer();
            let feed = chunk.iter().position(|byte| *byte == b'\n');
            let piece = &chunk[..feed.unwrap_or(chunk.len())];
            self.ended = chunk.is_empty();
            self.size += piece.len() as u64;
            let room = if self.cut { KEPT_OF_CUT } else { self.cap }.saturating_sub(self.held.len());
            self.held.extend_from_slice(&piece[..piece.len().min(room)]);
            if !self.cut && self.size > self.cap as u64 {
                self.cut = true;
                self.held.truncate(KEPT_OF_CUT);
                self.held.shrink_to_fit();
            }
            let read = piece.len() + usize::from(feed.is_some());
            self.reader.consume(read);
            if feed.is_some() || (self.ended && self.size > 0) {
                let line = Line { bytes: std::mem::take(&mut self.held), size: self.size, cut: self.cut };
                (self.size, self.cut) = (0, false);
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8], cap: usize) -> Vec<Line> {
        let mut lines = Lines::new(bytes, cap);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory does not fail") {
            found.push(line);
        }
        assert!(lines.ended());
        found
    }

    #[tokio::test]
    async fn bytes_pass_as_they_are_and_a_last_line_needs_no_feed() {
        let lines = all(b"a\n\n\xff\0\r\nlast", 100).await;
        let bytes: Vec<&[u8]> = lines.iter().map(|line| line.bytes.as_slice()).collect();
        assert_eq!(bytes, [b"a".as_slice(), b"", b"\xff\0\r", b"last"]);
        assert!(all(b"", 100).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_past_the_cap_keeps_its_head_and_its_size() {
        let cap = 200 * 1024;
        let mut text = vec![b'x'; cap];
        text.extend_from_slice(b"\n");
        text.extend(vec![b'y'; cap + 1]);
        text.extend_from_slice(b"\nnext");
        let lines = all(&text, cap).await;
        assert_eq!((lines[0].bytes.len(), lines[0].cut), (cap, false));
        assert_eq!((lines[1].bytes.len(), lines[1].size, lines[1].cut), (KEPT_OF_CUT, cap as u64 + 1, true));
        assert_eq!(lines[2], Line { bytes: b"next".to_vec(), size: 4, cut: false });
    }

    #[tokio::test]
    async fn a_gigabyte_without_a_line_feed_stays_small() {
        let mut lines = Lines::new(tokio::io::AsyncReadExt::take(tokio::io::repeat(b'z'), 1 << 30), LINE_CAP);
        let line = lines.next().await.expect("memory does not fail").expect("one line");
        assert_eq!((line.size, line.bytes.len(), line.cut), (1 << 30, KEPT_OF_CUT, true));
        assert!(line.bytes.capacity() <= KEPT_OF_CUT);
    }
}
