//! Listing the points of a sweep.

use std::collections::BTreeSet;

use crate::plan::{Control, Fraction, Threshold};

use super::stages::stages;
use super::{InvalidSweep, Point, Scope, Series, SweptLayer, Variation, Vary};

/// The maximum number of points of a sweep; at a second each, they take more than a day.
pub const MAX_POINTS: usize = 100_000;

/// The maximum number of depths past which all layers are merged.
const MAX_PAST: usize = 16;

/// The parameters that a sweep varies, checked to fit together.
#[derive(Clone, Debug, PartialEq)]
pub struct Variations {
    vary: Vec<Vary>,
    grid: Option<(Series, Series)>,
    /// How many times each variant is made, each time with another seed.
    repeats: u32,
    /// What is made beside each variant.
    controls: BTreeSet<Control>,
}

impl Variations {
    /// Checks the parameters to vary, and the pair to cross.
    ///
    /// # Errors
    ///
    /// If a parameter varies twice, the pair to cross does not vary, or there would be too many points.
    pub fn check(
        vary: Vec<Vary>,
        grid: Option<(Series, Series)>,
        repeats: u32,
    ) -> Result<Self, InvalidSweep> {
        let mut seen = BTreeSet::new();
        for series in vary.iter().flat_map(Vary::series) {
            if !seen.insert(series) {
                return Err(InvalidSweep::Twice(series));
            }
        }
        if let Some((one, other)) = grid {
            let missing = [one, other].into_iter().find(|side| !seen.contains(side));
            if let Some(missing) = missing {
                return Err(InvalidSweep::NotVaried(missing));
            }
            if one == other {
                return Err(InvalidSweep::WithItself(one));
            }
        }
        let variations = Self {
            vary,
            grid,
            repeats,
            controls: BTreeSet::new(),
        };
        variations.check_values()?;
        Ok(variations)
    }

    /// The same with these controls beside each variant: see [`Control`].
    ///
    /// # Errors
    ///
    /// If there are too many points.
    pub fn with_controls(self, controls: BTreeSet<Control>) -> Result<Self, InvalidSweep> {
        let variations = Self { controls, ..self };
        variations.check_values()?;
        Ok(variations)
    }

    fn check_values(&self) -> Result<(), InvalidSweep> {
        let counts = self.vary.iter().map(|vary| vary.count() as u128);
        self.check_count(counts.sum::<u128>() + self.crossings())
    }

    /// The number of pairs of values of the crossed parameters.
    fn crossings(&self) -> u128 {
        let Some((one, other)) = self.grid else {
            return 0;
        };
        let count = |series: Series| -> u128 {
            let vary = self.vary.iter();
            let vary = vary.filter(|vary| vary.series().contains(&series));
            vary.map(|vary| vary.count() as u128).sum()
        };
        count(one).saturating_mul(count(other))
    }

    /// Refuses more points than a sweep can have, given the number of variants in one repetition.
    fn check_count(&self, variants: u128) -> Result<(), InvalidSweep> {
        // 1 for the baseline.
        let points = variants
            .saturating_mul(1 + self.controls.len() as u128)
            .saturating_mul(self.repeats.into())
            .saturating_add(1);
        if points > MAX_POINTS as u128 {
            return Err(InvalidSweep::TooManyPoints(points));
        }
        Ok(())
    }

    /// The points: the baseline, then every variant once, then every variant again with the next seed, so that a sweep that is
    /// stopped early has points of every series.
    ///
    /// # Errors
    ///
    /// If only stages are asked for and the layers' names show none, or there are too many points.
    pub fn points(&self, layers: &[SweptLayer], seed: u64) -> Result<Vec<Point>, InvalidSweep> {
        let mut settings = Vec::new();
        for series in Series::ALL {
            let variations = self.variations(series, layers)?;
            settings.extend(variations.into_iter().map(|variation| (series, variation)));
        }
        self.check_count(settings.len() as u128)?;
        let settings: Vec<(Series, Variation)> = settings
            .into_iter()
            .flat_map(|(series, variation)| {
                let controls = self.controls.iter().copied().map(Some);
                [None].into_iter().chain(controls).map(move |control| {
                    let variation = variation.clone();
                    (
                        series,
                        Variation {
                            control,
                            ..variation
                        },
                    )
                })
            })
            .collect();
        let baseline = Point {
            series: Series::Baseline,
            variation: Variation::default(),
            repeat: 0,
            seed,
        };
        let repeated = (0..self.repeats).flat_map(|repeat| {
            settings.iter().map(move |(series, variation)| Point {
                series: *series,
                variation: variation.clone(),
                repeat,
                seed: seed.wrapping_add(repeat.into()),
            })
        });
        Ok([baseline].into_iter().chain(repeated).collect())
    }

    fn variations(
        &self,
        series: Series,
        layers: &[SweptLayer],
    ) -> Result<Vec<Variation>, InvalidSweep> {
        if series == Series::Grid {
            return Ok(self.crossed());
        }
        let vary = self.vary.iter();
        let Some(vary) = vary.clone().find(|vary| vary.series().contains(&series)) else {
            return Ok(Vec::new());
        };
        let scopes = match (vary, series) {
            (Vary::Layers(_), Series::Layer) => each(layers),
            (Vary::Layers(_), Series::Past) => past(layers),
            (Vary::Layers(ways), _) => {
                let stages = distinct_depths(stages(layers));
                // Stages may be missing unless they are the only way that was asked for.
                if stages.is_empty() && ways.len() == 1 {
                    return Err(InvalidSweep::NoStages);
                }
                stages
            }
            (vary, _) => return Ok(values(vary)),
        };
        let variation = |scope| Variation {
            layers: Some(scope),
            ..Variation::default()
        };
        Ok(scopes.into_iter().map(variation).collect())
    }

    /// Every pair of values of the crossed parameters.
    fn crossed(&self) -> Vec<Variation> {
        let Some((one, other)) = self.grid else {
            return Vec::new();
        };
        let of = |series: Series| {
            let vary = self.vary.iter();
            vary.filter(move |vary| vary.series().contains(&series))
                .flat_map(values)
        };
        let cross = |a: Variation| of(other).map(move |b| a.clone().and(b));
        of(one).flat_map(cross).collect()
    }
}

impl Variation {
    /// The settings of this variation and, where it has none, those of the other.
    fn and(self, other: Self) -> Self {
        Self {
            layers: self.layers.or(other.layers),
            tau: self.tau.or(other.tau),
            alpha: self.alpha.or(other.alpha),
            prob: self.prob.or(other.prob),
            skip_shallow: self.skip_shallow.or(other.skip_shallow),
            control: None,
        }
    }
}

fn values(vary: &Vary) -> Vec<Variation> {
    let base = Variation::default;
    let tau = |&tau: &Threshold| Variation {
        tau: Some(tau),
        ..base()
    };
    let alpha = |&alpha: &Fraction| Variation {
        alpha: Some(alpha),
        ..base()
    };
    let prob = |&prob: &Fraction| Variation {
        prob: Some(prob),
        ..base()
    };
    let skip_shallow = |&count: &usize| Variation {
        skip_shallow: Some(count),
        ..base()
    };
    match vary {
        Vary::Layers(_) => Vec::new(),
        Vary::Tau(values) => values.iter().map(tau).collect(),
        Vary::Alpha(values) => values.iter().map(alpha).collect(),
        Vary::Prob(values) => values.iter().map(prob).collect(),
        Vary::SkipShallow(values) => values.iter().map(skip_shallow).collect(),
    }
}

/// Each layer alone; layers of the same depth, as in copies of a net, together.
fn each(layers: &[SweptLayer]) -> Vec<Scope> {
    let scope = |layer: &SweptLayer| Scope {
        label: layer.name.clone(),
        first: layer.depth,
        last: layer.depth,
    };
    distinct_depths(layers.iter().map(scope).collect())
}

/// All layers past a depth, for each depth, or for [`MAX_PAST`] depths evenly spaced among them.
fn past(layers: &[SweptLayer]) -> Vec<Scope> {
    let depths: BTreeSet<usize> = layers.iter().map(|layer| layer.depth).collect();
    let depths: Vec<usize> = depths.into_iter().collect();
    let Some(&last) = depths.last() else {
        return Vec::new();
    };
    // All layers, and those past each layer but the last.
    let cuts: Vec<usize> = [0]
        .into_iter()
        .chain(depths[..depths.len() - 1].iter().copied())
        .collect();
    let count = cuts.len().min(MAX_PAST);
    let cut = |index: usize| cuts[index * (cuts.len() - 1) / (count - 1).max(1)];
    let scope = |cut: usize| Scope {
        label: format!("past {cut}"),
        first: cut + 1,
        last,
    };
    (0..count).map(cut).map(scope).collect()
}

/// Drops scopes of the same depths as an earlier one.
fn distinct_depths(scopes: Vec<Scope>) -> Vec<Scope> {
    let mut seen = BTreeSet::new();
    let mut scopes = scopes;
    scopes.retain(|scope| seen.insert((scope.first, scope.last)));
    scopes
}

#[cfg(test)]
mod tests {
    use super::super::sweep::tests::layer;
    use super::*;

    fn variations(
        vary: &[&str],
        grid: Option<(Series, Series)>,
    ) -> Result<Variations, InvalidSweep> {
        let vary = vary.iter().map(|text| text.parse().unwrap()).collect();
        Variations::check(vary, grid, 2)
    }

    fn labels(points: &[Point], series: Series) -> Vec<String> {
        let points = points.iter().filter(|point| point.series == series);
        points
            .map(|point| format!("{} #{}", point.variation, point.repeat))
            .collect()
    }

    fn net(names: &[&str]) -> Vec<SweptLayer> {
        let names = names.iter().enumerate();
        names
            .map(|(index, name)| layer(name, index + 1, 8))
            .collect()
    }

    #[test]
    fn a_sweep_has_the_baseline_and_each_value_as_often_as_asked() {
        let variations = variations(&["tau=0.1,0.2", "prob=0.5"], None).unwrap();
        let points = variations.points(&net(&["a.weight"]), 7).unwrap();
        let all: Vec<String> = points
            .iter()
            .map(|p| format!("{} {} {}", p.variation, p.repeat, p.seed))
            .collect();
        let expected = [
            "unmerged 0 7",
            "tau 0.1 0 7",
            "tau 0.2 0 7",
            "p 0.5 0 7",
            "tau 0.1 1 8",
            "tau 0.2 1 8",
            "p 0.5 1 8",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_grid_crosses_two() {
        let grid = Some((Series::Prob, Series::Alpha));
        let variations = variations(&["alpha=0.1,0.2", "prob=0.5,1"], grid).unwrap();
        let points = variations.points(&net(&["a.weight"]), 0).unwrap();
        let expected = [
            "alpha 0.1, p 0.5 #0",
            "alpha 0.2, p 0.5 #0",
            "alpha 0.1, p 1 #0",
            "alpha 0.2, p 1 #0",
        ];
        assert_eq!(labels(&points, Series::Grid)[..4], expected);
    }

    #[test]
    fn layers_merge_alone_by_stage_and_past_each_depth() {
        let names = [
            "stem.weight",
            "l1.a.weight",
            "l1.b.weight",
            "l2.a.weight",
            "l2.b.weight",
        ];
        let variations = variations(&["layers"], None).unwrap();
        let points = variations.points(&net(&names), 0).unwrap();
        let points: Vec<Point> = points.into_iter().filter(|p| p.repeat == 0).collect();
        assert_eq!(labels(&points, Series::Layer).len(), 5);
        assert_eq!(labels(&points, Series::Layer)[1], "l1.a.weight #0");
        assert_eq!(
            labels(&points, Series::Stage),
            ["stem #0", "l1 #0", "l2 #0"]
        );
        let past = [
            "past 0 #0",
            "past 1 #0",
            "past 2 #0",
            "past 3 #0",
            "past 4 #0",
        ];
        assert_eq!(labels(&points, Series::Past), past);
        let scope = points.iter().find(|p| p.variation.to_string() == "past 3");
        let depths = scope.unwrap().variation.layers.as_ref().unwrap().depths();
        assert_eq!(depths, 4..=5);
    }

    #[test]
    fn deep_nets_are_cut_at_some_depths_the_first_and_last_among_them() {
        let names: Vec<String> = (0..120).map(|i| format!("{i}.weight")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cuts = past(&net(&names));
        assert_eq!(cuts.len(), MAX_PAST);
        assert_eq!((cuts[0].first, cuts[MAX_PAST - 1].first), (1, 120));
        assert!(cuts.windows(2).all(|pair| pair[0].first < pair[1].first));
    }

    #[test]
    fn copies_of_a_net_merge_together() {
        let mut layers = net(&["a.weight", "b.weight"]);
        layers.extend(net(&["ema.a.weight", "ema.b.weight"]));
        assert_eq!(each(&layers).len(), 2);
    }

    #[test]
    fn more_points_than_anybody_waits_for_are_counted_and_not_made() {
        let range = "0:1:0.0001";
        let (alpha, prob) = (format!("alpha={range}"), format!("prob={range}"));
        let grid = Some((Series::Alpha, Series::Prob));
        let vary = |text: &str| text.parse::<Vary>().unwrap();
        // 10,001 values would be one too many.
        let [alpha, prob] = [alpha, prob].map(|text| text.replace("0:1", "0.0001:1"));
        let both = || vec![vary(&alpha), vary(&prob)];
        let refused = |grid, repeats| Variations::check(both(), grid, repeats).unwrap_err();
        assert_eq!(
            refused(grid, 1),
            InvalidSweep::TooManyPoints(100_020_001),
            "10,000 times 10,000, each alone, and the baseline"
        );
        let most = InvalidSweep::TooManyPoints(20_000 * u128::from(u32::MAX) + 1);
        assert_eq!(refused(None, u32::MAX), most);
        assert_eq!(refused(None, 5), InvalidSweep::TooManyPoints(100_001));
        Variations::check(both(), None, 4).unwrap();

        // Layers count once they are known.
        let layers = Variations::check(vec![vary("layers=each")], None, 1000).unwrap();
        let names: Vec<String> = (0..100).map(|i| format!("{i}.weight")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let refused = layers.points(&net(&names), 0);
        assert_eq!(refused, Err(InvalidSweep::TooManyPoints(100_001)));
        assert_eq!(layers.points(&net(&names[1..]), 0).unwrap().len(), 99_001);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let twice = variations(&["tau=0.1", "tau=0.2"], None);
        assert_eq!(twice, Err(InvalidSweep::Twice(Series::Tau)));
        let grid = variations(&["tau=0.1"], Some((Series::Tau, Series::Prob)));
        assert_eq!(grid, Err(InvalidSweep::NotVaried(Series::Prob)));
        let itself = variations(&["tau=0.1"], Some((Series::Tau, Series::Tau)));
        assert_eq!(itself, Err(InvalidSweep::WithItself(Series::Tau)));
        let stages = variations(&["layers=stages"], None).unwrap();
        let points = stages.points(&net(&["a.weight"]), 0);
        assert_eq!(points, Err(InvalidSweep::NoStages));
    }
}
