//! The offline model as a process of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use offline_model::Options;

/// Serves the Messages API from a scripted reviewer: no network, no key, no cost.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write the port that was taken into this file.
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// Append each request to this file, one JSON line each.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The code word of a first review.
    #[arg(long, default_value = "HERON")]
    word: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    if let Some(path) = &args.port_file {
        write_port(path, address.port()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    writeln!(std::io::stdout().lock(), "offline model on http://{address}")?;
    let options = Options { word: args.word, log: args.log };
    tokio::select! {
        ended = offline_model::serve(listener, options) => ended.context("the offline model stopped"),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Readers poll for the file, so it must never be seen half written.
fn write_port(path: &Path, port: u16) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, format!("{port}\n"))?;
    std::fs::rename(partial, path)
}
