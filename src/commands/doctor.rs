//! `doctor`: what there is to compute with, and what not, and why.

use crate::compute::ComputeOptions;
use crate::console::Console;
use crate::error::Error;
use crate::report::{AutoReport, DoctorReport};
use crate::similarity::LayerSize;
use crate::similarity::cuda::{inventory, libraries};

use super::Outcome;

pub(super) fn run(options: &ComputeOptions, console: &Console<'_>) -> Result<Outcome, Error> {
    let threads = options.start_threads(console)?;
    let threads = threads.current_num_threads();
    let survey = libraries::survey();
    let trial = options.try_all(&[LayerSize::largest()], threads);
    let auto = match &trial.backend {
        Ok(backend) => AutoReport::new(backend),
        Err(error) => AutoReport::failed(error.to_string()),
    };
    let report = DoctorReport::new(
        threads,
        options.cpu_precision(),
        [&survey.driver, &survey.cublas],
        trial.gpus,
        inventory::nvidia_driver(),
        auto,
    );
    console.result(&report, DoctorReport::to_text)?;
    Ok(Outcome::Done)
}
