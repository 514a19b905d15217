//! The analysis of one layer.

use crate::meter::Meter;
use crate::schedule::Load;
use crate::similarity::{Chance, Engine, Error, Kernels, Nearest, NonFinite, Precision, Scan};
use crate::weight::{ConvWeight, Rows};

use super::clusters::{self, Dissimilarities};
use super::map::{CELLS, MapOfTiles};
use super::spectrum;
use super::tally::Tally;
use super::{
    ByChance, Curve, Health, Pair, PairPicture, Relation, SimilarityMap, Spectrum, Spread,
    ThresholdHint,
};

/// One layer to analyse.
#[derive(Clone, Debug)]
pub struct LayerTask<'a> {
    /// The layer's weight.
    pub weight: ConvWeight<'a>,
    /// Whether to compute its spectrum.
    pub spectrum: bool,
    /// Whether to make what is drawn.
    pub drawings: bool,
}

/// What is kept of a layer: some numbers for each kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNumbers {
    /// Euclidean norm of every kernel; NaN where it holds a NaN, infinite where it holds an infinity.
    pub norms: Vec<f64>,
    /// What is wrong with them.
    pub health: Health,
    /// Unordered pairs that are compared: both kernels take part and are of the same group.
    pub pairs: u64,
    /// Of these, those above each threshold.
    pub pairs_above: Curve,
    /// Kernels with a partner above each threshold.
    pub kernels_above: Curve,
    /// Every kernel's nearest neighbour.
    pub nearest: Nearest,
    /// Thresholds that merge `SHARES` of the layer's kernels, where there are any.
    pub hints: Vec<ThresholdHint>,
    /// What chance gives, and what is beyond it.
    pub by_chance: ByChance,
    /// The pairs of greatest similarity, falling; ties go to the lowest numbers.
    pub closest: Vec<Pair>,
    /// Those of similarity nearest to 0, the nearest first.
    pub orthogonal: Vec<Pair>,
    /// Those of least similarity, rising.
    pub opposite: Vec<Pair>,
    /// The spectrum, if it was asked for and every number is finite.
    pub spectrum: Option<Spectrum>,
}

impl LayerNumbers {
    /// The spread of the kernels' greatest similarities; `None` where no two kernels can be compared.
    pub fn nearest_spread(&self) -> Option<Spread> {
        let nearest = self.nearest.by_kernel().iter().flatten();
        Spread::of(
            &nearest
                .map(|nearest| nearest.similarity)
                .collect::<Vec<_>>(),
        )
    }
}

/// What is drawn of a layer, and then forgotten.
#[derive(Clone, Debug)]
pub struct LayerDrawings {
    /// The similarity matrix in file order.
    pub in_file_order: SimilarityMap,
    /// The same in an order that puts similar kernels side by side; `None` for layers too large to be ordered.
    pub clustered: Option<SimilarityMap>,
    /// Pictures of the kernels of some pairs; empty where kernels have no spatial extent.
    pub pairs: Vec<PairPicture>,
}

/// What one pass over a layer's similarities collects.
struct Comparisons {
    nearest: Nearest,
    tally: Tally,
    /// In file order, where it is to be drawn.
    map: Option<MapOfTiles>,
    /// The kernels in an order that shows clusters; empty where they are not ordered.
    order: Vec<usize>,
    /// The map in that order, where a cell stands for several pairs.
    clustered: Option<MapOfTiles>,
}

impl LayerTask<'_> {
    /// The multiply-adds it takes, without those of the few pairs that are computed again exactly.
    pub fn products(&self) -> u64 {
        let spectrum = if self.spectrum {
            spectrum::products(&self.weight)
        } else {
            0
        };
        self.weight.pairs_products().saturating_add(spectrum)
    }

    /// The time and memory it takes.
    pub fn load(&self) -> Load<'_> {
        let layout = self.weight.layout();
        let (n, d) = (layout.kernels(), layout.kernel_len());
        let groups = self.weight.groups();
        let copy = if layout.is_contiguous() {
            0
        } else {
            self.weight.bytes()
        };
        let units = groups * Precision::F32.memory(n / groups, d);
        let (mut maps, mut dissimilarities) = (0, 0);
        if self.drawings {
            maps = 2 * MapOfTiles::memory(n);
            // And the tree that is made of a copy.
            dissimilarities = 2 * Dissimilarities::memory(n / groups);
        }
        let similarities = units + dissimilarities;
        let spectrum = if self.spectrum {
            Spectrum::memory(&self.weight)
        } else {
            0
        };
        let memory = copy + maps + similarities.max(spectrum);
        Load {
            tensor: self.weight.tensor(),
            copies: &[],
            work: self.products(),
            memory,
            // So that of two of the largest one can be drawn while the other is computed.
            allowance: memory.saturating_mul(2),
        }
    }

    /// Whether kernels are put in an order that shows clusters.
    fn is_ordered(&self) -> bool {
        let layout = self.weight.layout();
        self.drawings && layout.kernels() / self.weight.groups() <= clusters::MOST
    }

    /// Analyses the layer, whose weight has these values, by an engine, in float32: bytes are too coarse to be drawn.
    /// `meter` is told of the multiply-adds.
    ///
    /// The numbers depend on the values alone, but for the spectrum and the drawings, whose last digits are the BLAS's; on
    /// the number of threads nothing depends.
    ///
    /// # Errors
    ///
    /// Where the spectrum does not converge, or a device fails.
    pub fn analyse(
        &self,
        values: &[u8],
        engine: Engine<'_>,
        meter: &dyn Meter,
    ) -> Result<(LayerNumbers, Option<LayerDrawings>), Error> {
        let kernels = self.kernels(self.weight.rows(values), engine)?;
        let n = kernels.len();
        let norms = kernels.norms();
        let Comparisons {
            nearest,
            tally,
            map,
            order,
            clustered,
        } = self.compare(&kernels, meter)?;
        let tallied = tally.finish(&norms);
        let health = Health::of(&kernels, &nearest);
        let map = map.map(|map| map.finish((0..n).collect(), |kernel| kernels.is_live(kernel)));
        let clustered = match clustered {
            Some(clustered) => {
                let is_live: Vec<bool> = order.iter().map(|&k| kernels.is_live(k)).collect();
                Some(clustered.finish(order, |place| is_live[place]))
            }
            // Each cell is a pair's.
            None if self.is_ordered() => map.as_ref().map(|map| map.in_order(&order)),
            None => None,
        };
        // What they are screened with is not needed beside a Gram matrix.
        let rows = kernels.into_rows();
        let spectrum = if self.spectrum && health.non_finite_numbers == 0 {
            Spectrum::of(&self.weight, &rows, meter)?
        } else {
            None
        };
        let drawings = map.map(|in_file_order| {
            let extremes = [
                (Relation::Similar, &tallied.similar[..]),
                (Relation::Orthogonal, &tallied.orthogonal),
                (Relation::Opposite, &tallied.opposite),
            ];
            LayerDrawings {
                in_file_order,
                clustered,
                pairs: PairPicture::of(&self.weight, &rows, extremes),
            }
        });
        let numbers = LayerNumbers {
            norms,
            health,
            pairs: tallied.counts.iter().sum(),
            pairs_above: Curve::of_intervals(&tallied.counts),
            kernels_above: Curve::of(nearest.similarities()),
            hints: ThresholdHint::for_shares(n, nearest.similarities().collect()),
            by_chance: ByChance::new(Chance::of(&self.weight), &tallied.counts, &nearest),
            nearest,
            closest: tallied.similar,
            orthogonal: tallied.orthogonal,
            opposite: tallied.opposite,
            spectrum,
        };
        Ok((numbers, drawings))
    }

    /// Goes through the tiles of all groups once.
    fn compare(&self, kernels: &Kernels<'_>, meter: &dyn Meter) -> Result<Comparisons, Error> {
        let n = kernels.len();
        let mut seen = Comparisons {
            nearest: Nearest::of_none(n),
            tally: Tally::new(),
            map: self.drawings.then(|| MapOfTiles::new(n)),
            order: Vec::new(),
            clustered: (self.is_ordered() && n > CELLS).then(|| MapOfTiles::new(n)),
        };
        for group in kernels.joined_groups() {
            // All are above it, so no pair is compared for its sake.
            let scan = Scan::new(&group, f64::NEG_INFINITY, |_| true);
            let mut dissimilarities = self.is_ordered().then(|| {
                let places = 0..group.len();
                let is_live = places.map(|place| kernels.is_live(group.kernel(place)));
                Dissimilarities::new(is_live.collect(), group.part())
            });
            let writer = dissimilarities.as_mut().map(Dissimilarities::writer);
            group.for_each_tile(
                meter,
                || f32::NEG_INFINITY,
                |tile| {
                    scan.visit(tile, &mut |_, _| ())?;
                    seen.tally.visit(&group, tile)?;
                    if let Some(map) = &seen.map {
                        map.visit(&group, tile)?;
                    }
                    if let Some(writer) = &writer {
                        writer.visit(tile)?;
                    }
                    Ok(())
                },
            )?;
            seen.nearest.add(&group, scan.nearest());
            if let Some(dissimilarities) = dissimilarities {
                let places = dissimilarities.order();
                if let Some(map) = &mut seen.clustered {
                    let after = |place| dissimilarities.after(place);
                    map.add_in_order(seen.order.len(), &places, after);
                }
                let kernels = places.into_iter().map(|place| group.kernel(place));
                seen.order.extend(kernels);
            }
        }
        Ok(seen)
    }

    fn kernels<'r>(&self, rows: Rows<'r>, engine: Engine<'_>) -> Result<Kernels<'r>, Error> {
        let screen = Some(engine.in_float32());
        Kernels::new(&self.weight, rows, NonFinite::LeaveAlone, screen)
    }
}
