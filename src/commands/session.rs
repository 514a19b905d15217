//! Where a command speaks.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use crate::cli::Common;
use crate::error::Error;
use crate::report::printable;
use crate::similarity::blas_description;

/// Warnings shown unless the user asks for all: a file may give one for every layer.
const WARNINGS_SHOWN: usize = 5;

/// The two streams of a command and how much to say on them.
pub struct Session<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    bars: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    /// 0 for one a processor.
    threads: usize,
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
            threads: common.threads.map_or(0, usize::from),
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
            self.print(format!("{json}\n").as_bytes())
        } else if self.quiet {
            Ok(())
        } else {
            self.print(text(report).as_bytes())
        }
    }

    /// Prints what was asked for itself, whatever the flags. A reader that has seen enough, such as `head`, is no error.
    pub(super) fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    /// Says what the user should know: the first few warnings, or all if that was asked for.
    pub(super) fn warn(&mut self, warnings: &[String]) {
        let shown = if self.verbose {
            usize::MAX
        } else {
            WARNINGS_SHOWN
        };
        for warning in warnings.iter().take(shown) {
            self.say(&format!("warning: {warning}"));
        }
        let more = warnings.len().saturating_sub(shown);
        if more > 0 {
            self.say(&format!(
                "warning: and {more} more like these; -v shows them all"
            ));
        }
    }

    /// Says something of which the user asked to hear.
    pub(super) fn note(&mut self, note: &str) {
        if self.verbose {
            self.say(note);
        }
    }

    /// Nothing depends on whether anybody listens.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}", printable(line));
    }

    /// The threads to compute on.
    pub(super) fn pool(&mut self) -> Result<ThreadPool, Error> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
            .map_err(Error::Threads)?;
        self.note(&format!(
            "computing on {} threads with {}",
            pool.current_num_threads(),
            blas_description()
        ));
        Ok(pool)
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
