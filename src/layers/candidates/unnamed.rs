//! Tensors that look like the kernels of convolutions but are not named as PyTorch names them.

use crate::checkpoint::Tensor;
use crate::layers::name::Segment;
use crate::layers::warning::Warning;
use crate::layers::words::Meaning;

use super::axes::seems_kernels_last;
use super::candidate::Candidate;

/// Number of names that a warning lists.
const MAX_NAMES: usize = 3;

/// A shorter shared prefix makes no glob.
const MIN_PREFIX: usize = 3;

/// Largest kernel extent that a shape alone is trusted to show.
const LARGEST_KERNEL: usize = 16;

/// Modules of Flax's attention whose `kernel` of rank 3 projects to several heads.
const PROJECTIONS: [&str; 9] = [
    "query",
    "key",
    "value",
    "out",
    "q",
    "k",
    "v",
    "q_proj",
    "attention",
];

/// A warning if more tensors of other names look like convolutions than are named `*.weight`.
pub(super) fn warning(tensors: &[Tensor], candidates: &[Candidate<'_>]) -> Option<Warning> {
    let mut taken = vec![false; tensors.len()];
    for candidate in candidates {
        taken[candidate.tensor] = true;
    }
    let convolutions = candidates
        .iter()
        .filter(|candidate| candidate.is_layer() && !candidate.linear())
        .count();
    let free = || {
        let all = tensors.iter().zip(&taken);
        let free = all.filter(|&(_, &taken)| !taken).map(|(tensor, _)| tensor);
        free.filter(|tensor| {
            tensor.float_type().is_some()
                && (3..=5).contains(&tensor.rank())
                && !tensor.shape.contains(&0)
                && !tensor.name.ends_with(".weight")
                && tensor.name != "weight"
        })
    };
    let mut found: Vec<&Tensor> = free().filter(|tensor| is_named(tensor)).collect();
    if found.is_empty() && convolutions == 0 {
        found = free().filter(|tensor| is_shaped(tensor)).collect();
    }
    if found.len() <= convolutions {
        return None;
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let kernels_last = found
        .iter()
        .filter(|tensor| seems_kernels_last(&tensor.shape, is_named(tensor)))
        .count();
    let names: Vec<&str> = found.iter().map(|tensor| tensor.name.as_str()).collect();
    Some(Warning::UnnamedKernels {
        names: names
            .iter()
            .take(MAX_NAMES)
            .map(|&name| name.to_owned())
            .collect(),
        count: names.len(),
        kernels_last,
        glob: glob(&names),
    })
}

/// The module and the last part of a name, without TensorFlow's output number (`:0`).
fn last(name: &str) -> (&str, &str) {
    let end = name.rfind(':').filter(|&colon| {
        let number = &name[colon + 1..];
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let name = &name[..end.unwrap_or(name.len())];
    name.rfind(['.', '/'])
        .map_or(("", name), |at| (&name[..at], &name[at + 1..]))
}

/// Whether the name is one that Keras, Flax, TensorFlow or an export to ONNX gives to kernels.
pub(super) fn is_named(tensor: &Tensor) -> bool {
    if tensor.name.starts_with("onnx::Conv") {
        return true;
    }
    let (module, last) = last(&tensor.name);
    let is_kernel = [
        "kernel",
        "depthwise_kernel",
        "pointwise_kernel",
        "ReadVariableOp",
        "kernels",
        "filter",
        "filters",
    ]
    .contains(&last);
    let own = module.rsplit(['.', '/']).next().unwrap_or(module);
    is_kernel && (tensor.rank() > 3 || !PROJECTIONS.contains(&own))
}

/// Whether the shape fits kernels of a convolution, and the name does not deny it.
fn is_shaped(tensor: &Tensor) -> bool {
    let shape = tensor.shape.as_slice();
    let (module, last) = last(&tensor.name);
    let own = module.rsplit(['.', '/']).next().unwrap_or(module);
    let says_other = [last, own]
        .iter()
        .any(|part| Segment::parse(part).means(Meaning::NoKernels));
    let kernel = &shape[2..];
    let fits = kernel
        .iter()
        .all(|&extent| extent == kernel[0] && extent <= LARGEST_KERNEL)
        && (shape[1] > 1 || kernel[0] > 1);
    shape.len() >= 4 && shape[0] > 1 && !says_other && (fits || seems_kernels_last(shape, false))
}

/// A glob that matches all names, by their shared suffix or prefix.
fn glob(names: &[&str]) -> Option<String> {
    let (&first, rest) = names.split_first()?;
    if rest.is_empty() {
        return Some(escape(first));
    }
    let end = first.rfind(['.', '/']).map(|at| &first[at..]);
    if let Some(end) = end
        && rest.iter().all(|name| name.ends_with(end))
    {
        return Some(format!("*{}", escape(end)));
    }
    let mut shared = first.len();
    for name in rest {
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b);
        shared = shared.min(same.count());
    }
    while !first.is_char_boundary(shared) {
        shared -= 1;
    }
    (shared >= MIN_PREFIX).then(|| format!("{}*", escape(&first[..shared])))
}

/// Replaces what is special in a glob, or to a shell between quotes, by `?`, which matches any character.
fn escape(text: &str) -> String {
    text.replace(['*', '[', ']', '{', '}', '\\', '\'', '!', '\n'], "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_takes_all_names() {
        assert_eq!(
            glob(&["a/conv1/kernel:0", "a/conv2/kernel:0"]).as_deref(),
            Some("*/kernel:0")
        );
        assert_eq!(
            glob(&["Conv_0.kernel", "Conv_1.kernel"]).as_deref(),
            Some("*.kernel")
        );
        assert_eq!(
            glob(&["onnx::Conv_57", "onnx::Conv_60"]).as_deref(),
            Some("onnx::Conv_*")
        );
        assert_eq!(glob(&["only[1]"]).as_deref(), Some("only?1?"));
        assert_eq!(glob(&["é1", "è1"]), None);
        assert_eq!(glob(&["w1", "v1"]), None);
        assert_eq!(glob(&[]), None);
    }

    #[test]
    fn the_last_part_stands_without_an_output_s_number() {
        assert_eq!(last("a/conv1/kernel:0"), ("a/conv1", "kernel"));
        assert_eq!(last("onnx::Conv_57"), ("", "onnx::Conv_57"));
        assert_eq!(last("params.Conv_0.kernel"), ("params.Conv_0", "kernel"));
        assert_eq!(last("a:"), ("", "a:"));
    }
}
