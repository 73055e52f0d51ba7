//! Who may import whom, how long files and functions may be: the house rules, held.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may import, and the frameworks it may name. `tracing`, `thiserror`, `tokio_util`, `uuid`,
/// `futures`, `bytes`, `serde` derives of a `Config`, and small pure crates are free everywhere but in `domain`.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("domain", &[], &["jiff", "thiserror", "uuid"]),
    ("proto", &[], &["prost", "tonic"]),
    ("metrics", &[], &["metrics"]),
    ("fail_point", &[], &["nix"]),
    ("telemetry", &["metrics"], &["serde", "tracing", "tracing_subscriber"]),
    ("store", &["domain", "fail_point"], &["jiff", "migration", "sea_orm", "serde", "serde_json", "sqlx", "tokio", "zstd"]),
    ("layout", &["domain"], &[]),
    (
        "rpc",
        &["domain", "proto"],
        &[
            "axum",
            "base64",
            "http",
            "prost",
            "prost_reflect",
            "prost_types",
            "serde_json",
            "sha2",
            "tokio",
            "tonic",
            "tonic_types",
            "tower",
        ],
    ),
    (
        "queue",
        &["domain", "fail_point", "journal", "metrics", "settings", "store"],
        &["hex", "sea_orm", "serde", "serde_json", "sha2", "tokio", "zstd"],
    ),
    ("journal", &["domain", "metrics", "queue", "store"], &["serde", "serde_json", "tokio", "tokio_stream", "zstd"]),
    ("changes", &["domain", "queue", "store"], &["tokio"]),
    ("settings", &["domain", "store"], &["tokio"]),
    ("prompt", &["domain"], &["minijinja", "serde_json", "sha2"]),
    ("agent", &["domain"], &["serde", "serde_json", "sha2"]),
    ("secrets", &["domain"], &["chacha20poly1305", "getrandom", "hex", "sha2", "zeroize"]),
    (
        "access",
        &["domain", "metrics", "proto", "rpc", "store"],
        &["getrandom", "http", "http_body", "serde", "sha2", "tokio", "tonic", "tonic_types", "tower", "axum"],
    ),
    (
        "intake",
        &["domain", "metrics", "queue", "secrets", "store"],
        &["base64", "cel", "hex", "hmac", "jiff", "serde_json", "sha1", "sha2", "subtle", "tokio", "zeroize", "zstd"],
    ),
    (
        "runner",
        &["agent", "domain", "fail_point", "journal", "layout", "metrics", "prompt", "queue", "settings"],
        &["hex", "nix", "process_wrap", "serde", "serde_json", "sha2", "tokio", "zstd"],
    ),
    ("upkeep", &["domain", "metrics", "queue", "settings", "store"], &["jiff", "tokio"]),
    (
        "services",
        &[
            "access", "agent", "changes", "domain", "intake", "journal", "layout", "prompt", "proto", "queue", "rpc", "secrets",
            "settings", "store",
        ],
        &["base64", "getrandom", "prost", "serde_json", "sha2", "tar", "tokio", "tokio_stream", "tonic", "zstd", "hex", "http", "nix"],
    ),
    ("gateway", &["access", "domain", "fail_point", "intake", "metrics", "proto", "rpc"], &["axum", "http", "serde", "tokio", "tonic"]),
    (
        "server",
        &["access", "domain", "gateway", "metrics", "proto", "rpc", "services", "store"],
        &[
            "axum",
            "http",
            "metrics_exporter_prometheus",
            "prost",
            "prost_types",
            "rust_embed",
            "rustls",
            "rustls_pki_types",
            "serde",
            "tokio",
            "tokio_rustls",
            "tokio_stream",
            "tonic",
            "tonic_health",
            "tonic_reflection",
            "tonic_types",
            "tonic_web",
            "tower",
            "tower_http",
        ],
    ),
    (
        "cli",
        &["proto"],
        &[
            "anstyle",
            "base64",
            "clap",
            "hex",
            "hmac",
            "jiff",
            "prost",
            "prost_reflect",
            "prost_types",
            "serde_json",
            "sha2",
            "tokio",
            "tokio_stream",
            "tonic",
            "tonic_types",
            "rustls_pki_types",
            "nix",
            "axum",
            "http",
        ],
    ),
];
const FREE: &[&str] = &["bytes", "futures", "std", "core", "crate", "self", "super", "thiserror", "tokio_util", "tracing", "uuid"];
const ALL_CRATES: &[&str] = &[
    "anstyle",
    "axum",
    "base64",
    "cel",
    "chacha20poly1305",
    "clap",
    "getrandom",
    "hex",
    "hmac",
    "http",
    "http_body",
    "jiff",
    "metrics",
    "metrics_exporter_prometheus",
    "migration",
    "minijinja",
    "nix",
    "process_wrap",
    "prost",
    "prost_reflect",
    "prost_types",
    "rust_embed",
    "rustls",
    "rustls_pki_types",
    "sea_orm",
    "serde",
    "serde_json",
    "sha1",
    "sha2",
    "sqlx",
    "subtle",
    "tar",
    "tokio",
    "tokio_rustls",
    "tokio_stream",
    "tonic",
    "tonic_health",
    "tonic_reflection",
    "tonic_types",
    "tonic_web",
    "tower",
    "tower_http",
    "tracing_subscriber",
    "zeroize",
    "zstd",
];
/// Wiring, flags and the configuration may know everything.
const WIRING: &[&str] = &["app", "config", "lib", "main", "operator"];

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The room of a file: its first path component below `src`.
fn room(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).expect("below src");
    below.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Tests that have a file of their own, and the rows they are made of.
fn is_for_tests(file: &Path) -> bool {
    let in_tests = file.strip_prefix(root().join("src")).is_ok_and(|below| below.components().any(|part| part.as_os_str() == "tests"));
    in_tests || file.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs") || name == "samples.rs")
}

/// Code without its tests and comments: tests may import what they like.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `NAME::` in the code that stands as the root of a path.
fn path_roots(code: &str, after: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(after) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + after.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            found.extend(group.split(',').map(|name| name.trim().split("::").next().unwrap_or_default().to_owned()));
        } else {
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.remove("");
    found
}

#[test]
fn rooms_import_only_what_their_row_allows() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let room = room(&file);
        if WIRING.contains(&room.as_str()) || is_for_tests(&file) {
            continue;
        }
        let Some((_, rooms, frameworks)) = ROOMS.iter().find(|(name, _, _)| *name == room) else {
            wrong.push(format!("{} belongs to no room of the table", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("readable");
        let code = code(&text);
        for import in path_roots(&code, "crate::") {
            if import != room && !rooms.contains(&import.as_str()) && import.chars().all(|c| c.is_lowercase() || c == '_') {
                wrong.push(format!("{} imports `crate::{import}`, which the row of `{room}` does not have", file.display()));
            }
        }
        for name in ALL_CRATES {
            // A room may have a crate's name: without `use`, its paths look the same.
            let by_path = !rooms.contains(name);
            let used = code.contains(&format!("use {name}::"))
                || by_path && code.lines().any(|line| path_roots(line, &format!("{name}::")).iter().next().is_some());
            if used && !FREE.contains(name) && !frameworks.contains(name) {
                wrong.push(format!("{} uses `{name}`, which the row of `{room}` does not have", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut wrong = Vec::new();
    for file in ["src", "migration/src", "tests"].iter().flat_map(|dir| rust_files(&root().join(dir))) {
        if file.components().any(|part| part.as_os_str() == "target") {
            continue;
        }
        let lines = fs::read_to_string(&file).expect("readable").lines().count();
        if lines > 400 {
            wrong.push(format!("{} has {lines} lines, and 400 is the limit", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    for file in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("//!"), "{} begins without a sentence on what it is", file.display());
    }
}

#[test]
fn the_repository_speaks_of_the_product_alone() {
    let output = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git");
    let words = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["DECIS", "IONS.md"].concat(),
        ["registry.npm", "js"].concat(),
        ["crates", ".io"].concat(),
    ];
    let mut wrong = Vec::new();
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        // Lock files name where packages come from; that is their job.
        if name.ends_with("Cargo.lock") {
            continue;
        }
        wrong.extend(words.iter().filter(|word| text.contains(word.as_str())).map(|word| format!("{name} contains `{word}`")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
