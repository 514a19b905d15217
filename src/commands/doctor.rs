//! `doctor`: what there is to compute with, and what not, and why.

use crate::error::Error;
use crate::report::DoctorReport;
use crate::similarity::cuda::inventory::Gpu;
use crate::similarity::cuda::{inventory, libraries};

use super::{Outcome, Session};

pub(super) fn run(session: &mut Session<'_>) -> Result<Outcome, Error> {
    let threads = session.pool()?.current_num_threads();
    let survey = libraries::survey();
    let gpus = inventory::gpus(survey);
    let with_free_memory = |gpu: Gpu| {
        let free = gpu.free_memory();
        (gpu, free)
    };
    let report = DoctorReport::new(
        threads,
        session.processor_precision(),
        [&survey.driver, &survey.cublas],
        libraries::load(),
        gpus.map(|gpus| gpus.into_iter().map(with_free_memory).collect()),
        inventory::nvidia_driver(),
    );
    session.result(&report, DoctorReport::to_text)?;
    Ok(Outcome::Done)
}
