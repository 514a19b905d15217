//! How sensitive a net is to merging: variants of its checkpoint, each scored (the paper's Figures 2 and 3).
//!
//! A [`Sweep`] says all there is to do, resolved beforehand; what comes of each of its points is appended to a journal at
//! once; [`Results`] are drawn from that.

mod outcome;
mod point;
mod results;
mod sweep;

pub use outcome::{FinishedPoint, MergedAtPoint, Outcome};
pub use point::{Point, Scope, Series, Variation};
pub use results::{Average, Measure, Results, Setting};
pub use sweep::{Evaluator, Sweep, SweptLayer};
