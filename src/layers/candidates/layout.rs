//! Infers the layout of a weight from its shape, its bias, the norm after it and its name.

use crate::checkpoint::Tensor;
use crate::layers::name::Segment;
use crate::layers::roles;
use crate::layers::words::Meaning;

use super::axes::{Axes, AxisOrder, seems_kernels_last};
use super::candidate::Layout;
use super::companions::Companions;
use super::unnamed;

/// The layout of a weight in a file with this order of axes.
pub(super) fn layout(
    tensor: &Tensor,
    module: &str,
    companions: &Companions<'_>,
    axes: &Axes,
) -> Layout {
    let shape = &tensor.shape;
    if shape.contains(&0) {
        return Layout::Empty;
    }
    if shape.len() == 2 {
        return Layout::Forward;
    }
    let bias = companions.bias(module);
    match axes.of_weight(shape, bias) {
        AxisOrder::KernelsFirst => kernels_first(shape, module, bias, companions),
        AxisOrder::KernelsLast => Layout::KernelsLast,
        AxisOrder::ChannelsLast if bias.is_some_and(|bias| bias != shape[0]) => {
            Layout::ChannelsLast { certain: false }
        }
        // MLX keeps output channels on the first axis of transposed convolutions too, but nothing here tells their groups.
        AxisOrder::ChannelsLast => Layout::ChannelsLast {
            certain: !path_says_transposed(module),
        },
        AxisOrder::MaybeChannelsLast => Layout::ChannelsLast { certain: false },
    }
}

/// The layout of a tensor that the user includes by its name.
pub(super) fn included(tensor: &Tensor, companions: &Companions<'_>, axes: &Axes) -> Layout {
    let named = unnamed::is_named(tensor);
    if !tensor.shape.contains(&0) && seems_kernels_last(&tensor.shape, named) {
        return Layout::KernelsLast;
    }
    layout(tensor, &tensor.name, companions, axes)
}

/// Whether one of the last two names of a module's path says transposed.
fn path_says_transposed(module: &str) -> bool {
    let mut path = module.rsplit('.').take(2).map(Segment::parse);
    path.any(|segment| roles::is_transposed(&segment))
}

/// Tells PyTorch's convolutions from its transposed ones.
fn kernels_first(
    shape: &[usize],
    module: &str,
    bias: Option<usize>,
    companions: &Companions<'_>,
) -> Layout {
    let (first, second) = (shape[0], shape[1]);
    if let Some(bias) = bias {
        if bias != first && bias % second == 0 && first % (bias / second).max(1) == 0 {
            return Layout::Transposed(bias / second);
        }
        if bias != first {
            return Layout::BiasMismatch(bias);
        }
        if first != second {
            return Layout::Forward;
        }
    }
    if shape[2..].iter().all(|&extent| extent == 1) {
        return Layout::Forward;
    }
    let mut path = module.rsplit('.').map(Segment::parse);
    let (own, parent) = (path.next(), path.next());
    let near = || [own.as_ref(), parent.as_ref()].into_iter().flatten();
    let means = |meaning| near().any(|segment| segment.means(meaning));
    // Strides go with even kernels; odd ones are as common in ordinary convolutions.
    let strided = shape[2..].iter().all(|&extent| extent.is_multiple_of(2));
    let follower = own
        .as_ref()
        .filter(|own| own.is_number())
        .and_then(|own| following_norm(module, own, companions));
    match follower {
        Some(length) if length == second && first != second => return Layout::Transposed(1),
        Some(length) if length == first && first != second => return Layout::Forward,
        _ => {}
    }
    // Only the last two names count: `double_conv` below an `up1` is a pair of plain convolutions.
    let [is_own, is_parents] =
        [&own, &parent].map(|segment| segment.as_ref().is_some_and(roles::is_transposed));
    let is_depthwise = second == 1 && near().any(roles::may_be_depthwise);
    if ((is_own || is_parents) && !is_depthwise) || (means(Meaning::Upward) && strided) {
        return Layout::Transposed(1);
    }
    if first != second {
        return Layout::Forward;
    }
    // A square weight fits both layouts, and an even kernel usually belongs to a stride.
    let upward = own.as_ref().is_some_and(|own| {
        own.means(Meaning::Upward)
            || (own.is_number()
                && parent
                    .as_ref()
                    .is_some_and(|parent| parent.means(Meaning::Upward)))
    });
    let downward = means(Meaning::Downward);
    if upward || (strided && !downward) {
        Layout::Undecided
    } else {
        Layout::Forward
    }
}

/// Length of the norm that follows a convolution in an `nn.Sequential`, at one of the next two numbers.
fn following_norm(module: &str, own: &Segment, companions: &Companions<'_>) -> Option<usize> {
    let prefix = &module[..module.len() - own.text.len()];
    let number: u64 = own.text.parse().ok()?;
    (1..=2).find_map(|step| companions.norm(&format!("{prefix}{}", number.checked_add(step)?)))
}
