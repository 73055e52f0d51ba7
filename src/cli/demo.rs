//! The part of the demo that talks to the server.

use clap::Args;

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::screen::Screen;

/// Where the demo's parts are.
#[derive(Debug, Args)]
pub struct DemoArgs {}

/// Runs the demo.
pub(crate) async fn run(_args: DemoArgs, _api: &Api, _screen: &mut Screen) -> Result<Exit, Failure> {
    Ok(Exit::Success)
}
