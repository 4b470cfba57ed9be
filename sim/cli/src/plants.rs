//! Placeholder essay to be replaced.
//!
//!
use clap::Args;

use crate::session::{Failure, Session};

/// `plants`.
#[derive(Debug, Args)]
pub struct Plants {
    /// The plants to search for.
    pub words: Vec<String>,
}

/// Searches.
pub fn plants(_: &Session, _: &Plants) -> Result<i32, Failure> {
    Ok(0)
}
