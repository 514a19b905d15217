//! Where a command speaks.

use std::io::{self, Write};
use std::thread;

use rayon::ThreadPool;
use serde::Serialize;

use crate::blas;
use crate::cli::Common;
use crate::error::Error;
use crate::limits::MemoryLimits;
use crate::report::printable;
use crate::similarity::{Backend, BackendRequest, LayerSize, Precision, Screens};

use super::progress::{Amount, Progress};
use super::threads;

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
    wanted: BackendRequest,
    screens: Screens,
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
            wanted: common.backend,
            screens: common.screens(),
        }
    }

    /// Prints a result: as JSON if that was asked for, otherwise as text unless silence was.
    pub(super) fn result<R: Serialize>(
        &mut self,
        report: &R,
        text: impl Fn(&R) -> String,
    ) -> io::Result<()> {
        self.either(|| serde_json::to_string_pretty(report), || text(report))
    }

    /// Prints one of several results on a line of its own: as JSON if that was asked for, otherwise as text unless silence was.
    pub(super) fn line<R: Serialize>(
        &mut self,
        report: &R,
        text: impl Fn(&R) -> String,
    ) -> io::Result<()> {
        self.either(|| serde_json::to_string(report), || text(report))
    }

    fn either(
        &mut self,
        json: impl FnOnce() -> serde_json::Result<String>,
        text: impl Fn() -> String,
    ) -> io::Result<()> {
        if self.json {
            let json = json()? + "\n";
            self.print(json.as_bytes())
        } else {
            self.text(text)
        }
    }

    /// Prints a result that is JSON already: as that if it was asked for, otherwise as this text unless silence was.
    pub(super) fn document(&mut self, json: &[u8], text: impl Fn() -> String) -> io::Result<()> {
        if self.json {
            self.print(json)
        } else {
            self.text(text)
        }
    }

    /// Prints a text unless silence was asked for.
    fn text(&mut self, text: impl Fn() -> String) -> io::Result<()> {
        if self.quiet {
            Ok(())
        } else {
            self.print(text().as_bytes())
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

    /// Says what is being done, unless silence was asked for.
    pub(super) fn tell(&mut self, what: &str) {
        if !self.quiet {
            self.say(what);
        }
    }

    /// Nothing depends on whether anybody listens.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}", printable(line));
    }

    /// The threads to work on where nothing is computed by BLAS.
    pub(super) fn pool(&mut self) -> Result<ThreadPool, Error> {
        self.start_threads(self.threads)
    }

    /// The threads to compute on, with OpenBLAS ready for them.
    pub(super) fn pool_with_blas(&mut self) -> Result<ThreadPool, Error> {
        let wanted = match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        // Before threads are started, for each reserves memory of its own.
        let threads = blas::make_room(wanted)?;
        let pool = if threads < wanted {
            self.note(&format!(
                "there is memory for OpenBLAS on {threads} of {wanted} threads only: {}",
                MemoryLimits::current()
            ));
            self.start_threads(threads)?
        } else {
            self.start_threads(self.threads)?
        };
        self.note(&format!(
            "computing on {} threads ({})",
            pool.current_num_threads(),
            blas::description()?
        ));
        Ok(pool)
    }

    /// So many threads, 0 for one a processor, or fewer where no more can be had.
    fn start_threads(&mut self, threads: usize) -> Result<ThreadPool, Error> {
        threads::start(threads, |error, fewer| {
            self.note(&format!(
                "a thread could not be started ({error}): using {fewer}"
            ));
        })
    }

    /// Where to compute the similarities of layers of these sizes.
    pub(super) fn backend(
        &mut self,
        layers: &[LayerSize],
        pool: &ThreadPool,
    ) -> Result<Backend, Error> {
        self.choose(self.screens, layers, pool)
    }

    /// The same for similarities that are drawn.
    pub(super) fn drawing_backend(
        &mut self,
        layers: &[LayerSize],
        pool: &ThreadPool,
    ) -> Result<Backend, Error> {
        self.choose(Screens::FLOAT32, layers, pool)
    }

    fn choose(
        &mut self,
        screens: Screens,
        layers: &[LayerSize],
        pool: &ThreadPool,
    ) -> Result<Backend, Error> {
        let threads = pool.current_num_threads();
        let backend = Backend::choose(self.wanted, screens, layers, threads)?;
        self.note(&format!("similarities computed on {backend}"));
        Ok(backend)
    }

    /// Notes what layers took on a GPU.
    pub(super) fn note_times(&mut self, backend: &Backend) {
        if let Some(times) = backend.device_times() {
            self.note(&format!("{}: {times}", backend.name()));
        }
    }

    /// A bar for this much work, of which the processor does the multiply-adds in some precision; drawn on terminals only.
    pub(super) fn progress(
        &self,
        what: &'static str,
        amount: Amount,
        precision: Precision,
    ) -> Progress {
        if self.bars {
            Progress::new(what, amount, precision)
        } else {
            Progress::hidden()
        }
    }

    /// Whether bars are drawn.
    pub(super) fn has_bars(&self) -> bool {
        self.bars
    }

    /// The numbers in which the processor screens similarities.
    pub(super) fn processor_precision(&self) -> Precision {
        self.screens.cpu.unwrap_or_else(Precision::fastest)
    }
}
