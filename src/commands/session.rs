//! Where a command speaks.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::Common;

/// The two streams of a command and how much to say on them.
pub struct Session<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    bars: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        common: &Common,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        bars: bool,
    ) -> Self {
        Self {
            out,
            err,
            bars: bars && !common.quiet,
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
        }
    }

    /// Prints a result: as JSON if that was asked for, otherwise as text unless silence was.
    pub(super) fn result<R: Serialize>(
        &mut self,
        report: &R,
        text: impl Fn(&R) -> String,
    ) -> io::Result<()> {
        if self.json {
            let json = serde_json::to_string_pretty(report)?;
            writeln!(self.out, "{json}")
        } else if self.quiet {
            Ok(())
        } else {
            self.out.write_all(text(report).as_bytes())
        }
    }

    /// Prints what was asked for itself, whatever the flags.
    pub(super) fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Says something that the user should know.
    pub(super) fn warn(&mut self, warning: &str) -> io::Result<()> {
        writeln!(self.err, "warning: {warning}")
    }

    /// Says something of which the user asked to hear.
    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        if self.verbose {
            writeln!(self.err, "{note}")
        } else {
            Ok(())
        }
    }

    /// A bar for work of this length, drawn on terminals only.
    pub(super) fn bar(&self, what: &'static str, length: u64) -> ProgressBar {
        if !self.bars {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg:>10} [{bar:40}] {percent:>3} % {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        // Ticks show it at once, long before the first layer is done.
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.with_style(style.progress_chars("=> "))
            .with_message(what)
    }
}
