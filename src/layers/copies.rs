//! One weight stored under several names: tensors that are equal in every byte.
//!
//! nnU-Net saves each convolution two to four times (`encoder.stages.0.0.convs.0.conv.weight`, `….all_modules.0.weight`,
//! `decoder.encoder.…`), and so do temporal convolutional networks and models that tie weights. A safetensors file cannot
//! record that two names share values, so the values are compared. A file of `torch.save` can: its tensors then lie in the same
//! bytes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::candidates::{self, Candidate, Companions};
use super::name::Segment;
use super::order::networks::Networks;
use super::pattern::NamePattern;
use super::select::Selection;
use crate::checkpoint::{Arrangement, Dtype, Tensor};

/// Which tensors of a checkpoint hold the same weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Indices into the tensor table; no tensor is in two groups.
    groups: Vec<Vec<usize>>,
}

impl Copies {
    /// Bytes of each tensor that are compared first, to rule out most copies cheaply.
    pub const PAGE_BYTES: usize = 4096;

    /// No copies: every tensor is a weight of its own.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes groups of indices into the tensor table. A tensor belongs to one group at most.
    pub fn of(groups: Vec<Vec<usize>>) -> Self {
        Self { groups }
    }

    /// Groups of indices into the tensor table.
    pub fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// Finds the copies among the tensors that can be weights of layers.
    ///
    /// `page` reads the first [`PAGE_BYTES`](Self::PAGE_BYTES) of a tensor's values, or all if there are fewer. It is called
    /// only for tensors that share dtype and shape with another. `with_values` shows all values of a tensor, and is called
    /// only where pages are equal.
    ///
    /// Tensors whose elements are all the same, such as a ControlNet's zero convolutions, are not copies: equality says
    /// nothing. Tensors that lie in the same bytes are, whatever these hold.
    ///
    /// # Errors
    ///
    /// Those of `page` and `with_values`.
    pub fn find<E>(
        tensors: &[Tensor],
        selection: &Selection,
        page: impl Fn(&Tensor) -> Result<Vec<u8>, E>,
        with_values: impl Fn(&Tensor, &mut dyn FnMut(&[u8])) -> Result<(), E>,
    ) -> Result<Self, E> {
        let compare = |a: usize, b: usize| {
            let (mut order, mut read) = (Ordering::Equal, Ok(()));
            with_values(&tensors[a], &mut |a| {
                read = with_values(&tensors[b], &mut |b| order = a.cmp(b));
            })?;
            read.map(|()| order)
        };
        let mut groups = Vec::new();
        for alike in by_dtype_and_shape(tensors, selection) {
            let mut shared: BTreeMap<usize, Vec<usize>> = by_place(tensors, &alike);
            let alike: Vec<usize> = match shared.len() {
                1 => Vec::new(),
                _ => shared.keys().copied().collect(),
            };
            // A hash, not the page, so that thousands of tensors take little memory.
            let mut by_page: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for index in alike {
                let (tensor, page) = (&tensors[index], page(&tensors[index])?);
                if page.len() == tensor.bytes.len() && is_constant(&page, tensor) {
                    continue;
                }
                by_page.entry(hash(&page)).or_default().push(index);
            }
            for alike in by_page.into_values().filter(|alike| alike.len() > 1) {
                for equal in equal(&alike, compare)? {
                    let tensor = &tensors[equal[0]];
                    let mut is_one_value = false;
                    with_values(tensor, &mut |values| {
                        is_one_value = is_constant(values, tensor);
                    })?;
                    if !is_one_value {
                        let all = equal.iter().filter_map(|index| shared.remove(index));
                        groups.push(all.flatten().collect());
                    }
                }
            }
            groups.extend(shared.into_values().filter(|shared| shared.len() > 1));
        }
        Ok(Self { groups })
    }

    /// Keeps one candidate per weight and network. Where several networks hold a weight (a moving average that has not moved
    /// yet), one candidate represents it and lists all the other names; those of the other networks are marked as
    /// duplicates, which keep their position in their network but are not layers.
    pub(super) fn fold<'a>(
        &self,
        mut candidates: Vec<Candidate<'a>>,
        tensors: &[Tensor],
        networks: &Networks,
    ) -> Vec<Candidate<'a>> {
        let known: HashSet<usize> = candidates.iter().map(|c| c.tensor).collect();
        let mut copies_of: HashMap<usize, Vec<usize>> = HashMap::new();
        let (mut folded, mut duplicates) = (HashSet::new(), HashSet::new());
        for group in &self.groups {
            let group: Vec<usize> = group
                .iter()
                .copied()
                .filter(|tensor| known.contains(tensor))
                .collect();
            let Some((first, mut others)) = representative(group.clone(), tensors) else {
                continue;
            };
            let mut by_network: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
            for &tensor in &group {
                by_network
                    .entry(networks.index_of(tensor))
                    .or_default()
                    .push(tensor);
            }
            for (_, own) in by_network {
                let Some((own_first, own_others)) = representative(own, tensors) else {
                    continue;
                };
                folded.extend(own_others);
                if own_first != first {
                    duplicates.insert(own_first);
                }
            }
            others.sort_by(|&a, &b| tensors[a].name.cmp(&tensors[b].name));
            copies_of.insert(first, others);
        }
        candidates.retain(|candidate| !folded.contains(&candidate.tensor));
        for candidate in &mut candidates {
            candidate.copies = copies_of.remove(&candidate.tensor).unwrap_or_default();
            candidate.is_duplicate = duplicates.contains(&candidate.tensor);
        }
        candidates
    }
}

/// The tensor that represents a group, and the others. Its name has the fewest segments, and is the first in natural order
/// among equals: the layer's own name rather than that of a list that also holds it.
fn representative(mut group: Vec<usize>, tensors: &[Tensor]) -> Option<(usize, Vec<usize>)> {
    let path = |index: usize| -> Vec<Segment> {
        let segments = tensors[index].name.split('.');
        segments.map(Segment::parse).collect()
    };
    let natural = |a: &[Segment], b: &[Segment]| {
        let mut steps = a.iter().zip(b).map(|(a, b)| a.natural(b));
        steps.find(|order| order.is_ne())
    };
    let first = group.iter().copied().min_by(|&a, &b| {
        let (own, other) = (path(a), path(b));
        let by_length = own.len().cmp(&other.len());
        by_length.then_with(|| {
            natural(&own, &other).unwrap_or_else(|| tensors[a].name.cmp(&tensors[b].name))
        })
    })?;
    group.retain(|&index| index != first);
    Some((first, group))
}

/// Groups of tensors that lie in the same bytes, by the first of each.
fn by_place(tensors: &[Tensor], alike: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut firsts: HashMap<(usize, usize), usize> = HashMap::new();
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &index in alike {
        let tensor = &tensors[index];
        let place = (tensor.shard, tensor.bytes.start);
        let first = *firsts.entry(place).or_insert(index);
        groups.entry(first).or_default().push(index);
    }
    groups
}

/// Groups of two or more candidates of equal dtype, shape and arrangement, as indices of tensors.
fn by_dtype_and_shape(tensors: &[Tensor], selection: &Selection) -> Vec<Vec<usize>> {
    let companions = Companions::of(tensors);
    // Invalid globs are refused where layers are selected.
    let include = selection.include.iter();
    let include = include.filter_map(|glob| NamePattern::new("--include", glob).ok());
    let include: Vec<NamePattern> = include.collect();
    let mut alike: BTreeMap<(Dtype, &[usize], &Arrangement), Vec<usize>> = BTreeMap::new();
    let (metadata, listed) = (BTreeMap::new(), HashSet::new());
    for candidate in candidates::find(tensors, &metadata, &companions, &include, &listed) {
        let tensor = &tensors[candidate.tensor];
        if !tensor.bytes.is_empty() && !tensor.is_view() {
            let key = (tensor.dtype, &tensor.shape[..], &tensor.arrangement);
            alike.entry(key).or_default().push(candidate.tensor);
        }
    }
    let several = alike.into_values().filter(|alike| alike.len() > 1);
    several.collect()
}

/// Groups tensors of equal values, and drops groups of one.
///
/// The groups stay sorted by value, so that a binary search compares each tensor with few of them: a file may hold thousands
/// that agree only in their first page.
fn equal<E>(
    tensors: &[usize],
    compare: impl Fn(usize, usize) -> Result<Ordering, E>,
) -> Result<Vec<Vec<usize>>, E> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &tensor in tensors {
        let (mut low, mut high) = (0, groups.len());
        let mut found = None;
        while low < high && found.is_none() {
            let middle = low.midpoint(high);
            match compare(tensor, groups[middle][0])? {
                Ordering::Less => high = middle,
                Ordering::Equal => found = Some(middle),
                Ordering::Greater => low = middle + 1,
            }
        }
        match found {
            Some(group) => groups[group].push(tensor),
            None => groups.insert(low, vec![tensor]),
        }
    }
    groups.retain(|group| group.len() > 1);
    Ok(groups)
}

fn hash(page: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    page.hash(&mut hasher);
    hasher.finish()
}

/// Whether all elements of a tensor are equal bit for bit.
fn is_constant(values: &[u8], tensor: &Tensor) -> bool {
    let size = (values.len() / tensor.elements().max(1)).max(1);
    values.len() <= size || values[size..] == values[..values.len() - size]
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// A checkpoint in memory that records what is read.
    #[derive(Default)]
    struct Memory {
        tensors: Vec<Tensor>,
        values: Vec<Vec<u8>>,
        pages_read: RefCell<Vec<String>>,
        read_whole: RefCell<Vec<String>>,
    }

    impl Memory {
        fn put(&mut self, name: &str, dtype: Dtype, shape: &[usize], values: Vec<u8>) {
            let elements: usize = shape.iter().product();
            assert_eq!(values.len(), elements * dtype.bitsize() / 8);
            self.tensors.push(Tensor {
                name: name.to_owned(),
                dtype,
                shape: shape.to_vec(),
                shard: self.tensors.len(),
                bytes: 0..values.len(),
                arrangement: Default::default(),
            });
            self.values.push(values);
        }

        fn of(&self, tensor: &Tensor, read: &RefCell<Vec<String>>) -> &[u8] {
            read.borrow_mut().push(tensor.name.clone());
            let place = self.tensors.iter().position(|own| own == tensor);
            &self.values[place.unwrap()]
        }

        /// The groups as sorted lists of names.
        fn copies(&self) -> Vec<Vec<&str>> {
            let page = |tensor: &Tensor| {
                let values = self.of(tensor, &self.pages_read);
                Ok(values[..values.len().min(Copies::PAGE_BYTES)].to_vec())
            };
            let with_values = |tensor: &Tensor, use_them: &mut dyn FnMut(&[u8])| {
                use_them(self.of(tensor, &self.read_whole));
                Ok::<_, Infallible>(())
            };
            let Ok(copies) = Copies::find(&self.tensors, &Selection::default(), page, with_values);
            let name = |&index: &usize| &self.tensors[index].name[..];
            let names = |group: &Vec<usize>| -> Vec<&str> {
                let mut names: Vec<&str> = group.iter().map(name).collect();
                names.sort_unstable();
                names
            };
            let mut groups: Vec<Vec<&str>> = copies.groups.iter().map(names).collect();
            groups.sort_unstable();
            groups
        }
    }

    fn counted(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn equal_candidates_are_copies_whatever_else_is_equal() {
        let mut file = Memory::default();
        let (conv, bytes) = ([4, 2, 3, 3], counted(288));
        for name in ["a.weight", "b.weight", "c.conv.weight"] {
            file.put(name, Dtype::F32, &conv, bytes.clone());
        }
        file.put("other.weight", Dtype::F32, &conv, vec![9; 288]);
        // The same bytes in another shape or dtype are another weight, and a running mean is not a weight.
        file.put("d.weight", Dtype::F32, &[4, 2, 9, 1], bytes.clone());
        file.put("e.weight", Dtype::I32, &conv, bytes.clone());
        file.put("f.running_mean", Dtype::F32, &conv, bytes.clone());
        file.put("fc.weight", Dtype::F32, &[8, 9], bytes.clone());
        file.put("tied.weight", Dtype::F32, &[8, 9], bytes);
        assert_eq!(
            file.copies(),
            [
                vec!["a.weight", "b.weight", "c.conv.weight"],
                vec!["fc.weight", "tied.weight"]
            ]
        );
    }

    #[test]
    fn a_tensor_is_read_whole_only_where_pages_are_equal() {
        let mut file = Memory::default();
        let shape = [16, 16, 3, 3];
        let bytes = counted(9216);
        let mut late = bytes.clone();
        late[Copies::PAGE_BYTES] ^= 1;
        let mut early = bytes.clone();
        early[7] ^= 1;
        file.put("a.weight", Dtype::F32, &shape, bytes.clone());
        file.put("b.weight", Dtype::F32, &shape, early);
        file.put("alone.weight", Dtype::F32, &[16, 16, 9, 1], bytes.clone());
        assert!(file.copies().is_empty());
        assert_eq!(*file.pages_read.borrow(), ["a.weight", "b.weight"]);
        assert!(file.read_whole.borrow().is_empty());
        file.put("c.weight", Dtype::F32, &shape, late);
        file.put("d.weight", Dtype::F32, &shape, bytes);
        assert_eq!(file.copies(), [["a.weight", "d.weight"]]);
        let wholes = file.read_whole.borrow();
        assert!(wholes.iter().all(|name| name != "b.weight"), "{wholes:?}");
    }

    #[test]
    fn weights_of_one_value_are_no_copies() {
        let mut file = Memory::default();
        let half = [0x00, 0x38].repeat(72);
        for name in ["a.weight", "b.weight"] {
            file.put(name, Dtype::F16, &[4, 2, 3, 3], half.clone());
        }
        for name in ["zero_convs.0.0.weight", "zero_convs.1.0.weight"] {
            file.put(name, Dtype::F32, &[4, 4, 1, 1], vec![0; 64]);
        }
        for name in ["c.weight", "d.weight"] {
            file.put(name, Dtype::F32, &[1, 1, 1], vec![1, 2, 3, 4]);
        }
        for name in ["none.weight", "nothing.weight"] {
            file.put(name, Dtype::F32, &[0, 4, 1, 1], Vec::new());
        }
        assert!(file.copies().is_empty());
        // The page is constant, but not all values after it.
        let mut values = vec![0; 8192];
        values[8000] = 1;
        for name in ["e.weight", "f.weight"] {
            file.put(name, Dtype::F32, &[32, 64, 1], values.clone());
        }
        assert_eq!(file.copies(), [["e.weight", "f.weight"]]);
    }

    #[test]
    fn many_weights_of_equal_pages_are_told_apart() {
        let mut file = Memory::default();
        for number in 0..60u8 {
            let mut values = counted(6000);
            values[5000] = number % 20;
            let name = format!("layers.{number}.weight");
            file.put(&name, Dtype::F32, &[10, 150, 1], values);
        }
        let copies = file.copies();
        assert_eq!(copies.len(), 20);
        assert!(copies.iter().all(|group| group.len() == 3));
        assert!(file.read_whole.borrow().len() < 60 * 8);
    }

    #[test]
    fn the_shortest_name_stands_and_numbers_count() {
        let stands = |names: &[&str]| {
            let mut file = Memory::default();
            for name in names {
                file.put(name, Dtype::F32, &[1], vec![0; 4]);
            }
            let (first, others) =
                representative((0..names.len()).collect(), &file.tensors).unwrap();
            assert!(!others.contains(&first));
            assert_eq!(others.len(), names.len() - 1);
            names[first].to_owned()
        };
        assert_eq!(
            stands(&[
                "decoder.encoder.stages.0.0.convs.0.conv.weight",
                "encoder.stages.0.0.convs.0.all_modules.0.weight",
                "encoder.stages.0.0.convs.0.conv.weight",
            ]),
            "encoder.stages.0.0.convs.0.conv.weight"
        );
        assert_eq!(
            stands(&["layers.10.weight", "layers.9.weight"]),
            "layers.9.weight"
        );
        assert_eq!(stands(&["model.a.weight", "ema.a.weight"]), "ema.a.weight");
        assert_eq!(stands(&["conv_1.weight", "conv1.weight"]), "conv1.weight");
        assert_eq!(representative(Vec::new(), &[]), None);
    }
}
