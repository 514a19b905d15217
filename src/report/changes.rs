//! The result of `diff`.

use serde::Serialize;

use crate::diff::{Difference, Values};

use super::table::{Align, counted, optional, table};

/// Kernel numbers that a table shows before it abbreviates.
const KERNELS_SHOWN: usize = 5;

/// What `diff --json` prints.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiffReport {
    /// Whether the checkpoints are the same, byte for byte.
    pub identical: bool,
    /// Whether their headers are, and their shards and indexes where they are sharded.
    pub header_identical: bool,
    /// The tensors that differ, by name.
    pub tensors: Vec<TensorDifference>,
}

/// A tensor that differs.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TensorDifference {
    /// Its name.
    pub name: String,
    /// How it differs.
    pub status: Status,
    /// The kernels that differ; empty where the tensor is no layer's weight or cannot be compared.
    pub kernels_changed: Vec<usize>,
    /// ‖b − a‖ / ‖a‖; none where the values cannot be compared, or that is no finite number.
    pub relative_change: Option<f64>,
    /// The greatest |b − a|; none likewise.
    pub max_abs: Option<f64>,
}

/// How a tensor differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its values differ.
    Changed,
    /// Only the first checkpoint has it.
    OnlyInA,
    /// Only the second checkpoint has it.
    OnlyInB,
    /// Its shape differs.
    Shape,
    /// Its element type differs.
    Dtype,
}

impl Status {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::OnlyInA => "only-in-a",
            Self::OnlyInB => "only-in-b",
            Self::Shape => "shape",
            Self::Dtype => "dtype",
        }
    }
}

impl DiffReport {
    /// Reports on the differences found.
    pub fn new(header_identical: bool, differences: Vec<(String, Difference)>) -> Self {
        Self {
            // Tensors fill a file from its header to its end, so there is nothing else to differ.
            identical: header_identical && differences.is_empty(),
            header_identical,
            tensors: differences.into_iter().map(TensorDifference::new).collect(),
        }
    }

    /// A table of the tensors that differ, or a sentence.
    pub fn to_text(&self, width: usize) -> String {
        if self.identical {
            return "The files are identical.\n".to_owned();
        }
        if self.tensors.is_empty() {
            return "All tensors are identical; the headers differ (order, metadata or shards).\n"
                .to_owned();
        }
        let columns = [
            ("tensor", Align::Name),
            ("status", Align::Left),
            ("change", Align::Right),
            ("max |diff|", Align::Right),
            ("kernels", Align::Left),
        ];
        let rows = self.tensors.iter().map(|tensor| {
            vec![
                tensor.name.clone(),
                tensor.status.name().to_owned(),
                optional(tensor.relative_change, |change| {
                    format!("{:.2} %", 100.0 * change)
                }),
                optional(tensor.max_abs, |greatest| format!("{greatest:.3e}")),
                kernels(&tensor.kernels_changed),
            ]
        });
        let headers = if self.header_identical {
            "identical"
        } else {
            "different"
        };
        table(&columns, rows, width)
            + &format!(
                "\n{} differ; the headers are {headers}.\n",
                counted(self.tensors.len() as u64, "tensor"),
            )
    }
}

/// `3: 1 5 9`, or the first few of many.
fn kernels(changed: &[usize]) -> String {
    if changed.is_empty() {
        return "-".to_owned();
    }
    let shown: Vec<String> = changed
        .iter()
        .take(KERNELS_SHOWN)
        .map(usize::to_string)
        .collect();
    let more = if changed.len() > KERNELS_SHOWN {
        " ..."
    } else {
        ""
    };
    format!("{}: {}{more}", changed.len(), shown.join(" "))
}

impl TensorDifference {
    fn new((name, difference): (String, Difference)) -> Self {
        let (status, values) = match difference {
            Difference::OnlyInA => (Status::OnlyInA, Values::default()),
            Difference::OnlyInB => (Status::OnlyInB, Values::default()),
            Difference::Shape => (Status::Shape, Values::default()),
            Difference::Dtype => (Status::Dtype, Values::default()),
            Difference::Changed(values) => (Status::Changed, values),
        };
        Self {
            name,
            status,
            kernels_changed: values.kernels_changed,
            relative_change: values.relative_change,
            max_abs: values.max_abs,
        }
    }
}
