//! The offline model, as a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running offline model. Ends with the test.
#[derive(Debug)]
pub(crate) struct Model {
    child: Child,
    /// Its base URL.
    pub(crate) url: String,
    log: PathBuf,
}

impl Model {
    /// Starts one whose code word is `word`, with its files in `dir`.
    pub(crate) fn start(dir: &Path, word: &str) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_reprise")).with_file_name("offline-model");
        let (port_file, log) = (dir.join("model.port"), dir.join("model.jsonl"));
        let child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--word", word, "--port-file"])
            .arg(&port_file)
            .arg("--log")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the offline model starts");
        let mut model = Self { child, url: String::new(), log };
        let begin = Instant::now();
        while model.url.is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(10), "the offline model was not ready in 10 s");
            std::thread::sleep(Duration::from_millis(5));
            if let Some(port) = fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse::<u16>().ok()) {
                model.url = format!("http://127.0.0.1:{port}");
            }
        }
        model
    }

    /// Every request it got, oldest first.
    pub(crate) fn requests(&self) -> Vec<Value> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
