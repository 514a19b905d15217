//! `doctor`: what there is to compute with, and what not, and why.

use crate::error::Error;
use crate::report::DoctorReport;
use crate::similarity::cuda::{inventory, libraries};

use super::{Outcome, Session};

pub(super) fn run(session: &mut Session<'_>) -> Result<Outcome, Error> {
    let threads = session.pool()?.current_num_threads();
    let survey = libraries::survey();
    let report = DoctorReport::new(
        threads,
        session.precision(),
        [&survey.driver, &survey.cublas],
        libraries::load(),
        inventory::gpus(survey),
        inventory::nvidia_driver(),
    );
    session.result(&report, DoctorReport::to_text)?;
    Ok(Outcome::Done)
}
