//! Transcripts on disk, where the real CLI keeps them and in lines like its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

/// The version that the double claims to be.
pub(crate) const VERSION: &str = "2.1.330";

/// A session: its id, its file, and what the file holds.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Cost of all earlier turns.
    pub(crate) total_usd: f64,
    /// Tokens that a resumed turn reads from the cache.
    pub(crate) cached_tokens: u64,
    /// Number of messages so far.
    pub(crate) messages: usize,
    pub(crate) cwd: PathBuf,
    pub(crate) path: PathBuf,
    last: Option<String>,
    keep: bool,
}

impl Session {
    /// A session without a transcript yet.
    pub(crate) fn new(id: String, keep: bool) -> io::Result<Self> {
        let cwd = std::env::current_dir()?.canonicalize()?;
        let path = folder(&cwd).join(format!("{id}.jsonl"));
        Ok(Self { id, total_usd: 0.0, cached_tokens: 0, messages: 0, cwd, path, last: None, keep })
    }

    /// Reads the transcript. Lines that cannot be read are skipped without a word, as by the CLI.
    pub(crate) fn load(&mut self) -> io::Result<()> {
        let text = fs::read(&self.path)?;
        self.cached_tokens = text.len() as u64 / 4;
        for line in text.split(|b| *b == b'\n') {
            let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
            match entry["type"].as_str() {
                Some("user" | "assistant") => {
                    self.messages += 1;
                    self.last = entry["uuid"].as_str().map(str::to_owned);
                }
                Some("cost-state") => self.total_usd = entry["totalCostUSD"].as_f64().unwrap_or(self.total_usd),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the transcript holds `literal`.
    pub(crate) fn contains(&self, literal: &str) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text.contains(literal))
    }

    /// Appends a message of the conversation.
    pub(crate) fn message(&mut self, role: &str, content: &Value) {
        let uuid = Uuid::now_v7().to_string();
        self.append(&json!({
            "parentUuid": self.last,
            "isSidechain": false,
            "type": role,
            "message": {"role": role, "content": content},
            "uuid": uuid,
            "timestamp": timestamp(),
            "cwd": self.cwd,
            "sessionId": self.id,
            "version": VERSION,
        }));
        self.messages += 1;
        self.last = Some(uuid);
    }

    /// Appends the cost of the whole session, by which a resumed turn goes on counting.
    pub(crate) fn cost(&mut self, model: &str, turn_usd: f64) {
        self.total_usd += turn_usd;
        let line = json!({"type": "cost-state", "sessionId": self.id, "totalCostUSD": self.total_usd,
            "modelUsage": {model: {"costUSD": self.total_usd}}});
        self.append(&line);
    }

    /// Appends any line. The real CLI goes on without a word when it cannot write.
    pub(crate) fn append(&self, line: &Value) {
        if !self.keep {
            return;
        }
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        let _ = write();
    }
}

fn folder(cwd: &Path) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into())).join(".claude");
    let config = std::env::var_os("CLAUDE_CONFIG_DIR").map_or_else(home, PathBuf::from);
    config.join("projects").join(slug(&cwd.to_string_lossy()))
}

/// The CLI's name for a working directory. It counts in UTF-16, and so does this.
fn slug(path: &str) -> String {
    let units: Vec<u16> = path.encode_utf16().collect();
    let plain = |u: &u16| char::from_u32(u32::from(*u)).filter(char::is_ascii_alphanumeric).unwrap_or('-');
    let name: String = units.iter().map(plain).collect();
    if name.len() <= 200 {
        return name;
    }
    let hash = units.iter().fold(0_i32, |h, u| h.wrapping_mul(31).wrapping_add(i32::from(*u)));
    format!("{}-{}", &name[..200], base36(hash.unsigned_abs()))
}

fn base36(mut n: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(n % 36, 36).unwrap_or('0'));
        n /= 36;
        if n == 0 {
            return digits.iter().rev().collect();
        }
    }
}

/// Now, as `2026-11-23T05:46:57.941Z`.
pub(crate) fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, days) = (now.as_secs() % 86_400, now.as_secs() / 86_400);
    // Days to a date of the Gregorian calendar, counted in eras of 400 years from 1 March 0000.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year + era * 400, month + 3) } else { (year + era * 400 + 1, month - 9) };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_those_of_the_cli() {
        assert_eq!(slug("/a.b_c d"), "-a-b-c-d");
        assert_eq!(slug("/home/Agent/wörk"), "-home-Agent-w-rk");
        // The folder that the real CLI made for this path.
        let long = slug(&format!("/tmp/cw/{}/{}", "d".repeat(120), "é😀x.y".repeat(20)));
        assert!(long.ends_with("---x-y---x--czmwxz") && long.len() == 207, "{long}");
        assert_eq!(base36(1_295), "zz");
    }

    #[test]
    fn the_date_is_a_date() {
        let now = timestamp();
        assert!(now.len() == 24 && now.starts_with("20"), "{now}");
    }
}
