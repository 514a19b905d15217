//! The BatchNorm behind each layer, whose running statistics are those of its output channels.
//!
//! Files do not say what reads a layer's outputs. It is read off names and lengths: `conv2` and `bn2`, `0` and `1` of an `nn.Sequential`, the
//! only two of a module, or as many norms as convolutions, in their order. Where a norm comes *before* its convolution (DenseNet, ResNets of the
//! second version), its length is that of the inputs, and the convolution's own norm is the next one's. Where that leaves it open there is none,
//! rather than a guess.

use std::collections::{HashMap, HashSet};

use super::contradiction::Contradiction;
use super::declared::Declared;
use super::error::Error;
use super::kind::Kind;
use super::layer::Layer;
use super::name::Segment;
use super::roles;
use crate::checkpoint::Tensor;

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

/// Finds what stands behind each of the layers' weights, by each of its names; what a list declares goes first.
///
/// # Errors
///
/// If a declared norm is none, or has another length than there are kernels.
pub(super) fn attach(
    tensors: &[Tensor],
    declared: Option<&Declared>,
    layers: &mut [Layer],
) -> Result<(), Error> {
    let norms = Norms::of(tensors);
    let (found, doubtful) = norms.behind(layers);
    let listed = declared.into_iter().flat_map(Declared::norms);
    let listed: HashMap<&str, &str> = listed.collect();
    let indices = tensors.iter().map(|tensor| &tensor.name[..]).zip(0..);
    let indices: HashMap<&str, usize> = indices.collect();
    let bias = |module: &str, kernels: usize| {
        let index = *indices.get(&format!("{module}.bias")[..])?;
        is_vector(&tensors[index], kernels).then_some(index)
    };
    for layer in layers {
        let behind = layer.names().map(|name| {
            let module = module_of(name);
            let norm = match (listed.get(name), declared) {
                (Some(&norm), Some(declared)) => {
                    norms
                        .declared(norm, layer.kernels)
                        .map_err(|contradiction| Error::Contradiction {
                            origin: declared.origin(),
                            name: name.to_owned(),
                            contradiction,
                        })?
                }
                _ => match module.and_then(|module| found.get(module)) {
                    Some(norm) => NormBehind::Found((*norm).clone()),
                    None if module.is_some_and(|module| doubtful.contains(module)) => {
                        NormBehind::Doubtful
                    }
                    None => NormBehind::NotFound,
                },
            };
            Ok::<_, Error>(Behind {
                bias: module.and_then(|module| bias(module, layer.kernels)),
                norm,
            })
        });
        layer.behind = behind.collect::<Result<_, _>>()?;
    }
    Ok(())
}

/// The BatchNorms of a file.
struct Norms<'a> {
    /// By the module that they are in, in natural order.
    by_parent: HashMap<&'a str, Vec<Sibling<'a>>>,
}

/// A norm's path, the norm, and its length.
type Sibling<'a> = (&'a str, BatchNorm, usize);

/// In which order a module has its norms and its convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Each norm behind a convolution.
    Behind,
    /// Each norm before one.
    Before,
    /// Lengths fit both.
    Either,
}

/// A convolution of a module.
#[derive(Clone, Copy)]
struct Conv<'a> {
    module: &'a str,
    /// The path by which it is paired with a norm.
    path: &'a str,
    reads: usize,
    gives: usize,
    is_linear: bool,
}

impl<'a> Norms<'a> {
    fn of(tensors: &'a [Tensor]) -> Self {
        let mut parts: HashMap<(&str, &str), usize> = HashMap::new();
        for (index, tensor) in tensors.iter().enumerate() {
            if let Some(name) = tensor.name.rsplit_once('.') {
                parts.insert(name, index);
            }
        }
        let mut by_parent: HashMap<&str, Vec<_>> = HashMap::new();
        for (&(module, part), &mean) in &parts {
            let [length] = tensors[mean].shape[..] else {
                continue;
            };
            let find = |part| {
                let index = *parts.get(&(module, part))?;
                is_vector(&tensors[index], length).then_some(index)
            };
            let (Some(mean), Some(variance)) = (find("running_mean"), find("running_var")) else {
                continue;
            };
            if part == "running_mean" {
                let norm = BatchNorm {
                    module: module.to_owned(),
                    mean,
                    variance,
                    scale: find("weight"),
                    shift: find("bias"),
                };
                let siblings = by_parent.entry(parent(module)).or_default();
                siblings.push((module, norm, length));
            }
        }
        for norms in by_parent.values_mut() {
            norms.sort_by_cached_key(|(module, ..)| module.to_owned());
            norms.sort_by(|(a, ..), (b, ..)| segment(a).natural(&segment(b)));
        }
        Self { by_parent }
    }

    /// The norm of this path, as a list declares it for a layer of so many kernels; an empty path says that there is none.
    fn declared(&self, path: &str, kernels: usize) -> Result<NormBehind, Contradiction> {
        if path.is_empty() {
            return Ok(NormBehind::None);
        }
        match self
            .of_module(parent(path))
            .iter()
            .find(|(module, ..)| *module == path)
        {
            None => Err(Contradiction::NoNorm {
                norm: path.to_owned(),
            }),
            Some((.., length)) if *length != kernels => Err(Contradiction::NormLength {
                norm: path.to_owned(),
                length: *length,
                kernels,
            }),
            Some((_, norm, _)) => Ok(NormBehind::Found(norm.clone())),
        }
    }

    /// The norm behind each convolution's module, where it can be told, and the modules for which that is in doubt.
    fn behind(&self, layers: &[Layer]) -> (HashMap<String, &BatchNorm>, HashSet<String>) {
        let mut modules: Vec<(&str, Vec<Conv<'_>>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let names = || layers.iter().flat_map(Layer::names).filter_map(module_of);
        let mut siblings: HashMap<&str, usize> = HashMap::new();
        names().for_each(|module| *siblings.entry(split(module).0).or_default() += 1);
        for layer in layers {
            for module in layer.names().filter_map(module_of) {
                // MONAI's `conv1.conv`, alone in its module, stands where that does.
                let around = split(module).0;
                let is_alone = siblings[around] == 1 && !self.by_parent.contains_key(around);
                let path = if is_alone && !around.is_empty() {
                    around
                } else {
                    module
                };
                let place = *places.entry(split(path).0).or_insert_with(|| {
                    modules.push((split(path).0, Vec::new()));
                    modules.len() - 1
                });
                modules[place].1.push(Conv {
                    module,
                    path,
                    reads: layer.inputs(),
                    gives: layer.kernels,
                    is_linear: layer.kind == Kind::Linear,
                });
            }
        }
        let mut found: Vec<(&str, &Sibling<'_>)> = Vec::new();
        let mut paired = Vec::new();
        for (parent, convs) in &modules {
            let norms = self.of_module(parent);
            let is_numbered =
                |conv: &Conv<'_>| split(conv.path).1.bytes().all(|byte| byte.is_ascii_digit());
            let (numbered, named): (Vec<_>, Vec<_>) = convs.iter().copied().partition(is_numbered);
            let by_leaf = norms.iter().map(|norm| (split(norm.0).1, norm));
            let by_leaf: HashMap<&str, &Sibling<'_>> = by_leaf.collect();
            found.extend(numbered.iter().filter_map(|conv| {
                let place: u64 = split(conv.path).1.parse().ok()?;
                let next = by_leaf.get(&place.checked_add(1)?.to_string()[..])?;
                (next.2 == conv.gives).then_some((conv.module, *next))
            }));
            paired.extend(pairs(&named, norms));
        }
        found.extend(settled(&paired));
        // A norm that two convolutions could have in front of it says nothing of either.
        let mut claims: HashMap<&str, usize> = HashMap::new();
        found
            .iter()
            .for_each(|(_, norm)| *claims.entry(norm.0).or_default() += 1);
        found.retain(|(_, norm)| claims[norm.0] == 1);
        let modules_found: HashSet<&str> = found.iter().map(|(module, _)| *module).collect();
        let taken: HashSet<&str> = found.iter().map(|(_, norm)| norm.0).collect();
        let mut doubtful = HashSet::new();
        for (parent, convs) in &modules {
            let left = self.of_module(parent).iter();
            let left = left.filter(|norm| !taken.contains(norm.0));
            let left: HashSet<usize> = left.map(|norm| norm.2).collect();
            let without = convs
                .iter()
                .filter(|conv| !modules_found.contains(conv.module));
            let in_doubt = without.filter(|conv| left.contains(&conv.gives));
            doubtful.extend(in_doubt.map(|conv| conv.module.to_owned()));
        }
        let found = found.into_iter();
        let found = found.map(|(module, norm)| (module.to_owned(), &norm.1));
        (found.collect(), doubtful)
    }

    /// The norms in a module.
    fn of_module(&self, parent: &str) -> &[Sibling<'a>] {
        self.by_parent.get(parent).map_or(&[], |norms| norms)
    }
}

/// Of the pairs of each module the convolutions whose norm is settled, given in which order all the file's modules have them.
fn settled<'c, 'n>(
    modules: &[Vec<(Conv<'c>, &'n Sibling<'n>)>],
) -> Vec<(&'c str, &'n Sibling<'n>)> {
    let orders: Vec<Option<Order>> = modules.iter().map(|pairs| order(pairs)).collect();
    let has = |order| orders.contains(&Some(order));
    let usual = match (has(Order::Behind), has(Order::Before)) {
        (true, false) => Some(Order::Behind),
        (false, true) => Some(Order::Before),
        _ => None,
    };
    let mut settled = Vec::new();
    for (pairs, order) in modules.iter().zip(&orders) {
        let order = match order {
            Some(Order::Either) => usual,
            order => *order,
        };
        match order {
            Some(Order::Before) => {
                let next = pairs.iter().skip(1).map(|&(_, norm)| norm);
                let fitting = pairs.iter().zip(next);
                let fitting = fitting.filter(|((conv, _), norm)| norm.2 == conv.gives);
                settled.extend(fitting.map(|((conv, _), norm)| (conv.module, norm)));
            }
            Some(_) => settled.extend(pairs.iter().map(|(conv, norm)| (conv.module, *norm))),
            None => {}
        }
    }
    settled
}

/// The convolutions of a module, each with the norm that belongs to it by number or by order; `None` if neither tells.
fn pairs<'c, 'n>(
    convs: &[Conv<'c>],
    norms: &'n [Sibling<'n>],
) -> Option<Vec<(Conv<'c>, &'n Sibling<'n>)>> {
    // A classifier beside the stem of a ResNet, and gates, have no norms.
    let is_feature =
        |conv: &&Conv<'_>| !conv.is_linear && !roles::is_channel_gate(&segment(conv.path));
    let features: Vec<Conv<'_>> = convs.iter().filter(is_feature).copied().collect();
    let number = |path: &str| segment(path).ordinal;
    let by_number = || {
        let mut numbered: HashMap<Vec<(u64, char)>, Vec<&'n Sibling<'n>>> = HashMap::new();
        for norm in norms {
            numbered.entry(number(norm.0)).or_default().push(norm);
        }
        let mut taken = HashSet::new();
        let mut pairs = Vec::new();
        for conv in convs {
            let number = number(conv.path);
            match numbered.get(&number).map(Vec::as_slice) {
                Some(&[norm]) if taken.insert(number) => pairs.push((*conv, norm)),
                Some(_) => return None,
                None => {}
            }
        }
        (!pairs.is_empty()).then_some(pairs)
    };
    let by_order = || {
        let is_one_each = !norms.is_empty() && features.len() == norms.len();
        is_one_each.then(|| features.iter().copied().zip(norms).collect())
    };
    by_number().or_else(by_order)
}

/// In which order these are, by their lengths; `None` if they fit neither.
fn order(pairs: &[(Conv<'_>, &Sibling<'_>)]) -> Option<Order> {
    let behind = pairs.iter().all(|(conv, norm)| norm.2 == conv.gives);
    let before = pairs.iter().all(|(conv, norm)| norm.2 == conv.reads);
    match (behind, before) {
        (true, false) => Some(Order::Behind),
        (false, true) => Some(Order::Before),
        (true, true) => Some(Order::Either),
        (false, false) => None,
    }
}

fn is_vector(tensor: &Tensor, length: usize) -> bool {
    tensor.shape == [length] && tensor.float_type().is_some()
}

/// A path's last step.
fn segment(module: &str) -> Segment {
    Segment::parse(split(module).1)
}

/// The path of a weight's module.
fn module_of(name: &str) -> Option<&str> {
    name.strip_suffix(".weight")
}

/// The module around a norm: for MONAI's `adn.N`, the one around `adn`.
fn parent(module: &str) -> &str {
    let parent = split(module).0;
    match split(parent) {
        (around, "adn") => around,
        _ => parent,
    }
}

/// A path's module and its last step.
fn split(module: &str) -> (&str, &str) {
    module.rsplit_once('.').unwrap_or(("", module))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::checkpoint::Dtype;
    use crate::layers::{Copies, Layers, Selection};

    use super::*;

    /// The module of each convolution with that of its norm; `?` where it is in doubt, `-` where none was found. A line of a network is a
    /// weight's module with its shape, or a norm's with its length.
    fn norms(
        network: &[(&str, &[usize])],
        list: Option<&str>,
    ) -> Result<Vec<(String, String)>, Error> {
        let parts = ["weight", "bias", "running_mean", "running_var"];
        let tensors = network.iter().flat_map(|&(module, shape)| {
            let parts = if shape.len() == 1 {
                &parts[..]
            } else {
                &parts[..1]
            };
            parts.iter().map(move |part| Tensor {
                name: format!("{module}.{part}"),
                dtype: Dtype::F32,
                shape: shape.to_vec(),
                shard: 0,
                bytes: 0..0,
                arrangement: Default::default(),
            })
        });
        let tensors: Vec<Tensor> = tensors.collect();
        let list = list.map(Declared::from_json).transpose()?;
        let layers = Layers::of(
            &tensors,
            &BTreeMap::new(),
            &Copies::none(),
            list.as_ref(),
            &Selection::default(),
        )?;
        let found = layers.layers.iter().map(|layer| {
            let norm = match &layer.behind[0].norm {
                NormBehind::Found(norm) => &norm.module,
                NormBehind::Doubtful => "?",
                NormBehind::None => "none",
                NormBehind::NotFound => "-",
            };
            let module = layer.name.trim_end_matches(".weight");
            (module.to_owned(), norm.to_owned())
        });
        Ok(found.collect())
    }

    fn check(network: &[(&str, &[usize])], expected: &[(&str, &str)]) {
        let mut found = norms(network, None).unwrap();
        found.sort();
        let mut expected: Vec<(String, String)> = expected
            .iter()
            .map(|&(module, norm)| (module.to_owned(), norm.to_owned()))
            .collect();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn by_number_and_by_place_in_a_sequence() {
        check(
            &[
                ("conv1", &[8, 3, 3, 3]),
                ("bn1", &[8]),
                ("layer1.0.conv1", &[8, 8, 3, 3]),
                ("layer1.0.bn1", &[8]),
                ("layer1.0.conv2", &[12, 8, 3, 3]),
                ("layer1.0.bn2", &[12]),
                ("layer1.0.downsample.0", &[12, 8, 1, 1]),
                ("layer1.0.downsample.1", &[12]),
                ("fc", &[5, 12]),
            ],
            &[
                ("conv1", "bn1"),
                ("layer1.0.conv1", "layer1.0.bn1"),
                ("layer1.0.conv2", "layer1.0.bn2"),
                ("layer1.0.downsample.0", "layer1.0.downsample.1"),
                ("fc", "-"),
            ],
        );
    }

    #[test]
    fn by_order_where_gates_have_none() {
        // EfficientNet's block, with squeeze-and-excite; MONAI's convolution, alone in its module.
        check(
            &[
                ("_expand_conv", &[24, 4, 1, 1]),
                ("_bn0", &[24]),
                ("_depthwise_conv", &[24, 1, 3, 3]),
                ("_bn1", &[24]),
                ("_se_reduce", &[6, 24, 1, 1]),
                ("_se_expand", &[24, 6, 1, 1]),
                ("_project_conv", &[8, 24, 1, 1]),
                ("_bn2", &[8]),
                ("head.conv1.conv", &[10, 8, 3, 3]),
                ("head.norm1", &[10]),
            ],
            &[
                ("_expand_conv", "_bn0"),
                ("_depthwise_conv", "_bn1"),
                ("_se_reduce", "-"),
                ("_se_expand", "-"),
                ("_project_conv", "_bn2"),
                ("head.conv1.conv", "head.norm1"),
            ],
        );
    }

    #[test]
    fn a_norm_before_its_convolution_belongs_to_the_one_before() {
        // DenseNet: what the last convolution of a layer gives is put beside other channels, and has no norm of its own.
        check(
            &[
                ("features.conv0", &[8, 3, 3, 3]),
                ("features.norm0", &[8]),
                ("features.a.norm1", &[8]),
                ("features.a.conv1", &[16, 8, 1, 1]),
                ("features.a.norm2", &[16]),
                ("features.a.conv2", &[4, 16, 3, 3]),
                ("features.b.norm1", &[12]),
                ("features.b.conv1", &[16, 12, 1, 1]),
                ("features.b.norm2", &[16]),
                ("features.b.conv2", &[4, 16, 3, 3]),
                ("features.norm5", &[16]),
            ],
            &[
                ("features.conv0", "features.norm0"),
                ("features.a.conv1", "features.a.norm2"),
                ("features.a.conv2", "-"),
                ("features.b.conv1", "features.b.norm2"),
                ("features.b.conv2", "-"),
            ],
        );
    }

    #[test]
    fn where_lengths_fit_both_orders_nothing_is_guessed() {
        let blocks: &[(&str, &[usize])] = &[
            ("a.norm1", &[8]),
            ("a.conv1", &[8, 8, 3, 3]),
            ("a.norm2", &[8]),
            ("a.conv2", &[8, 8, 3, 3]),
        ];
        check(blocks, &[("a.conv1", "?"), ("a.conv2", "?")]);
        // A block of the same file in which they can only be before.
        let widening: &[(&str, &[usize])] = &[
            ("b.norm1", &[8]),
            ("b.conv1", &[6, 8, 3, 3]),
            ("b.norm2", &[6]),
            ("b.conv2", &[9, 6, 3, 3]),
        ];
        check(
            &[blocks, widening].concat(),
            &[
                ("a.conv1", "a.norm2"),
                ("a.conv2", "?"),
                ("b.conv1", "b.norm2"),
                ("b.conv2", "-"),
            ],
        );
    }

    #[test]
    fn of_other_lengths_there_is_none() {
        check(
            &[
                ("conv1", &[8, 3, 3, 3]),
                ("bn1", &[12]),
                ("up.0", &[8, 8, 1, 1]),
                ("up.1", &[2]),
            ],
            &[("conv1", "-"), ("up.0", "-")],
        );
    }

    #[test]
    fn a_list_says_which_it_is_or_that_there_is_none() {
        let network: &[(&str, &[usize])] = &[
            ("a", &[8, 3, 3, 3]),
            ("b", &[8, 8, 3, 3]),
            ("n", &[8]),
            ("m", &[6]),
        ];
        let list = r#"[{"name":"a.weight","norm":"n"},{"name":"b.weight","norm":""}]"#;
        let found = norms(network, Some(list)).unwrap();
        let expected = [("a", "n"), ("b", "none")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found, expected);
        for (norm, says) in [
            ("bn", "no BatchNorm with running statistics at `bn`"),
            ("m", "`m` has 6 channels"),
        ] {
            let list = format!(r#"[{{"name":"a.weight","norm":"{norm}"}},"b.weight"]"#);
            let error = norms(network, Some(&list)).unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("--layers"),
                "{error}"
            );
        }
    }
}
