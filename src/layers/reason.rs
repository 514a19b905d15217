//! Why a layer is left alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a layer is not merged; where several reasons hold, the most binding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Among the first `--skip-shallow` convolutions of its network.
    Shallow,
    /// Depthwise, and `--kinds` does not name that.
    Depthwise,
    /// Transposed, and `--kinds` does not name that.
    Transposed,
    /// Linear, and `--kinds` does not name that.
    Linear,
    /// Left out by `--include`, `--exclude`, or by `--kinds` without `conv` or `pointwise`.
    Excluded,
    /// Half of a squeeze-and-excite gate: its outputs scale channels, they are no features.
    SqueezeExcite,
    /// Part of the network's head: its kernels are classes, not features.
    Head,
    /// Only one kernel: nothing to merge with.
    SingleKernel,
    /// Axes or groups cannot be told, or the weight is parametrised; a warning says which.
    Unsupported,
}

impl Reason {
    /// Every reason, most binding first.
    pub const PRECEDENCE: [Reason; 9] = [
        Reason::Unsupported,
        Reason::Depthwise,
        Reason::Transposed,
        Reason::Linear,
        Reason::SqueezeExcite,
        Reason::Head,
        Reason::SingleKernel,
        Reason::Excluded,
        Reason::Shallow,
    ];

    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Shallow => "shallow",
            Reason::Depthwise => "depthwise",
            Reason::Transposed => "transposed",
            Reason::Linear => "linear",
            Reason::Excluded => "excluded",
            Reason::SqueezeExcite => "squeeze-excite",
            Reason::Head => "head",
            Reason::SingleKernel => "single-kernel",
            Reason::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_uses_the_names() {
        for reason in Reason::PRECEDENCE {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
