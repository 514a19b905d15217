//! Classes and functions that a checkpoint may name without telling of anything but data.

use std::collections::BTreeSet;

use super::pickle::Pickle;
use crate::checkpoint::Names;

/// Modules and names in them, `*` for any. The first part is what `torch.load(weights_only=True)` accepts
/// (`torch/_weights_only_unpickler.py`), the rest what trainers keep beside weights.
const HARMLESS: [(&str, &str); 30] = [
    ("torch", "*Storage"),
    ("torch", "Size"),
    ("torch", "Tensor"),
    ("torch", "device"),
    ("torch", "dtype"),
    ("torch._utils", "_rebuild_*"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch.nn.parameter", "*Parameter"),
    ("torch.serialization", "_get_layout"),
    ("torch.storage", "*Storage"),
    ("collections", "*"),
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("datetime", "*"),
    ("decimal", "Decimal"),
    ("enum", "*"),
    ("fractions", "Fraction"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.dtypes", "*"),
    ("pathlib", "*"),
    ("pathlib._local", "*"),
    ("types", "SimpleNamespace"),
    ("uuid", "UUID"),
];

/// The most of the others that are counted.
const MAX_NAMED: usize = 1000;

/// Functions of Python itself that build data.
const BUILTINS: [&str; 14] = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
];

/// The classes and functions that a pickle names beside these, each once and in order; `None` where there are none.
pub(super) fn others(pickle: &Pickle<'_>) -> Option<Names> {
    let others = pickle
        .globals()
        .filter(|&(module, name)| !is_harmless(module, name));
    let others: BTreeSet<(&str, &str)> = others.collect();
    let others = others
        .into_iter()
        .map(|(module, name)| format!("{module}.{name}"));
    let others: Vec<String> = others.take(MAX_NAMED).collect();
    (!others.is_empty()).then(|| others.into())
}

fn is_harmless(module: &str, name: &str) -> bool {
    if matches!(module, "builtins" | "__builtin__") {
        return BUILTINS.contains(&name);
    }
    let is_dtype = module == "torch" && super::tensors::is_dtype(name);
    is_dtype
        || HARMLESS.iter().any(|&(of, pattern)| {
            of == module
                && match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
                    (Some(end), _) => name.ends_with(end),
                    (_, Some(start)) => name.starts_with(start),
                    _ => name == pattern,
                }
        })
}
