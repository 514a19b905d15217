//! Where a command speaks: results on stdout, warnings, notes and bars on stderr.

mod bar;
mod points;
mod ticker;

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::meter::{Level, Meter};
use crate::report::{COLUMNS, printable};
use crate::similarity::Precision;

pub(crate) use bar::WorkBar;
pub(crate) use points::PointsBar;

/// Warnings shown unless the user asks for all: a file may give one for every layer.
const WARNINGS_SHOWN: usize = 5;

/// How much to say, and in what form.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub json: bool,
    /// Errors and warnings only.
    pub quiet: bool,
    /// Notes too, and all warnings.
    pub verbose: bool,
    /// Where it is said.
    pub terminal: Terminal,
}

/// Where a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether progress is drawn as bars on stderr.
    pub bars: bool,
    /// How many characters wide tables may be.
    pub columns: usize,
}

/// A file, or whatever is no terminal.
impl Default for Terminal {
    fn default() -> Self {
        Self {
            bars: false,
            columns: COLUMNS,
        }
    }
}

/// The two streams of a command and how much to say on them.
pub(crate) struct Console<'a> {
    out: Mutex<&'a mut (dyn Write + Send)>,
    err: Mutex<&'a mut (dyn Write + Send)>,
    manner: Manner,
}

impl<'a> Console<'a> {
    pub fn new(
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
        manner: Manner,
    ) -> Self {
        let [out, err] = [out, err].map(Mutex::new);
        Self { out, err, manner }
    }

    /// How many characters wide tables may be.
    pub fn columns(&self) -> usize {
        self.manner.terminal.columns
    }

    /// Prints a result: as JSON if that was asked for, otherwise as text unless silence was.
    pub fn result<R: Serialize>(&self, report: &R, text: impl Fn(&R) -> String) -> io::Result<()> {
        self.either(|| serde_json::to_string_pretty(report), || text(report))
    }

    /// Prints one of several results on a line of its own: as JSON if that was asked for, otherwise as text unless silence was.
    pub fn line<R: Serialize>(&self, report: &R, text: impl Fn(&R) -> String) -> io::Result<()> {
        self.either(|| serde_json::to_string(report), || text(report))
    }

    fn either(
        &self,
        json: impl FnOnce() -> serde_json::Result<String>,
        text: impl Fn() -> String,
    ) -> io::Result<()> {
        if self.manner.json {
            let json = json()? + "\n";
            self.print(json.as_bytes())
        } else {
            self.text(text)
        }
    }

    /// Prints a result that is JSON already: as that if it was asked for, otherwise as this text unless silence was.
    pub fn document(&self, json: &[u8], text: impl Fn() -> String) -> io::Result<()> {
        if self.manner.json {
            self.print(json)
        } else {
            self.text(text)
        }
    }

    /// Prints a text unless silence was asked for.
    fn text(&self, text: impl Fn() -> String) -> io::Result<()> {
        if self.manner.quiet {
            Ok(())
        } else {
            self.print(text().as_bytes())
        }
    }

    /// Prints what was asked for itself, whatever the flags. A reader that has seen enough, such as `head`, is no error.
    pub fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = locked(&self.out);
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    /// Says what the user should know: the first few warnings, or all if that was asked for.
    pub fn warn(&self, warnings: &[String]) {
        let shown = if self.manner.verbose {
            usize::MAX
        } else {
            WARNINGS_SHOWN
        };
        for warning in warnings.iter().take(shown) {
            self.say(Level::Warning, warning);
        }
        let more = warnings.len().saturating_sub(shown);
        if more > 0 {
            let more = format!("and {more} more like these; -v shows them all");
            self.say(Level::Warning, &more);
        }
    }

    /// A bar for work whose multiply-adds the CPU does in this precision.
    pub fn work_bar(&self, precision: Precision) -> WorkBar<'_, 'a> {
        WorkBar::new(self, precision)
    }

    /// A bar that moves with the points of a sweep.
    pub fn points_bar(&self) -> PointsBar<'_, 'a> {
        PointsBar::new(self)
    }

    /// Whether bars are drawn.
    fn has_bars(&self) -> bool {
        self.manner.terminal.bars && !self.manner.quiet
    }
}

/// Without a bar.
impl Meter for Console<'_> {
    /// Says something if the user wants to hear it.
    fn say(&self, level: Level, message: &str) {
        let is_wanted = match level {
            Level::Detail => self.manner.verbose,
            Level::Status => !self.manner.quiet,
            Level::Warning => true,
        };
        let kind = if level == Level::Warning {
            "warning: "
        } else {
            ""
        };
        if is_wanted {
            let _ = writeln!(locked(&self.err), "{kind}{}", printable(message));
        }
    }
}

/// A stream that is written to even where a thread that wrote to it has panicked.
fn locked<'m, 'a>(
    stream: &'m Mutex<&'a mut (dyn Write + Send)>,
) -> MutexGuard<'m, &'a mut (dyn Write + Send)> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}
