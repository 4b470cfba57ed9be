//! `--log FILTER`: the kernel's own telling of a run, as it happens, on stderr. A line shows virtual time and
//! host and no wall clock, so that two runs of one seed log the same text.
//!
//! It is for whoever works on the machinery; what a run means is told by its story and its trace.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::session::Failure;

/// Starts logging for the rest of the process.
pub fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| Failure::usage(format!("--log {filter}: {e}; write for example `debug`")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .event_format(Virtual)
        .init();
    Ok(())
}

struct Virtual;

#[derive(Default)]
struct Fields {
    at_ns: Option<u64>,
    host: String,
    source: String,
    rest: String,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "at_ns" => self.at_ns = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "host" => self.host = value.to_string(),
            "source" => self.source = value.to_string(),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.rest, " {value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

impl<S, N> FormatEvent<S, N> for Virtual
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = fields.at_ns.map_or(String::new(), host::unit::millis);
        let Fields { host, source, rest, .. } = fields;
        let level = event.metadata().level();
        writeln!(writer, "{at:>13} {host:<4} {level:>5} {source:<7}{rest}")
    }
}
