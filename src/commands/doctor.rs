//! `doctor`: what there is to compute with, and what not, and why.

use crate::error::Error;
use crate::report::{AutoReport, DoctorReport};
use crate::similarity::LayerSize;
use crate::similarity::cuda::inventory::Gpu;
use crate::similarity::cuda::{inventory, libraries};

use super::{Outcome, Session};

pub(super) fn run(session: &mut Session<'_>) -> Result<Outcome, Error> {
    let pool = session.pool()?;
    let survey = libraries::survey();
    let gpus = inventory::gpus(survey);
    let with_free_memory = |gpu: Gpu| {
        let free = gpu.free_memory();
        (gpu, free)
    };
    let gpus = gpus.map(|gpus| gpus.into_iter().map(with_free_memory).collect());
    let auto = match session.backend(&[LayerSize::largest()], &pool) {
        Ok(backend) => AutoReport::new(&backend),
        Err(error) => AutoReport::failed(error.to_string()),
    };
    let report = DoctorReport::new(
        pool.current_num_threads(),
        session.processor_precision(),
        [&survey.driver, &survey.cublas],
        gpus,
        inventory::nvidia_driver(),
        auto,
    );
    session.result(&report, DoctorReport::to_text)?;
    Ok(Outcome::Done)
}
