//! What a file has of a layer's output channels beside the kernels.

/// What a file has of a layer's output channels beside the kernels, under one of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Index of its bias in the tensor table.
    pub bias: Option<usize>,
    /// The BatchNorm that reads its outputs.
    pub norm: NormBehind,
}

/// What is known of the BatchNorm behind a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NormBehind {
    /// It was declared, or told by names and lengths.
    Found(BatchNorm),
    /// There is none, as was declared.
    None,
    /// There may be one: one of this length is left over in the same module.
    Doubtful,
    /// None was found.
    #[default]
    NotFound,
}

impl NormBehind {
    /// The one that was found.
    pub fn found(&self) -> Option<&BatchNorm> {
        match self {
            Self::Found(norm) => Some(norm),
            _ => None,
        }
    }
}

/// A BatchNorm, by indices in the tensor table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Path of its module.
    pub module: String,
    /// `running_mean`.
    pub mean: usize,
    /// `running_var`.
    pub variance: usize,
    /// `weight`, γ.
    pub scale: Option<usize>,
    /// `bias`, β.
    pub shift: Option<usize>,
}
