//! Compiles the contract without `protoc`, and has the dashboard embedded anew when it was built anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("proto");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("reprise/v1"))?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    files.sort();
    println!("cargo:rerun-if-changed=proto");
    watch_dashboard();

    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("reprise.v1.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".reprise.v1").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// A release build carries the dashboard; the macro that embeds it does not see files that appear later. A debug build reads
/// it from disk, and needs nothing.
fn watch_dashboard() {
    let dashboard = Path::new("clients/dashboard");
    let watched = [dashboard.join("dist"), dashboard.to_owned()].into_iter().find(|path| path.exists());
    if let Some(watched) = watched.filter(|_| env::var("PROFILE").is_ok_and(|profile| profile == "release")) {
        println!("cargo:rerun-if-changed={}", watched.display());
    }
}
