//! All layers over depth.

mod kinds;
mod nearest;
mod ranks;

use crate::layers::Layer;
use crate::layers::Reason;

use super::DepthPoint;
use super::axis::Axis;
use super::canvas::{Canvas, Chart, TICK};
use super::chart::{ChartFigure, LegendKey, WIDTH};
use super::colours::SOFT;
use super::font::Weight;
use super::lines::upright;
use super::text::{room, things};

pub(super) use nearest::nearest_over_depth;
pub(super) use ranks::ranks_over_depth;

/// Pixels per layer, and the greatest width of all layers.
const EACH: f64 = 8.0;
const WIDEST: f64 = 1000.0;

/// The layers in the order in which they are drawn: those without depth last.
struct Row<'p, 'a> {
    layers: Vec<&'p DepthPoint<'a>>,
    width: f64,
}

impl<'p, 'a> Row<'p, 'a> {
    fn new(points: &'p [DepthPoint<'a>]) -> Self {
        let mut layers: Vec<&DepthPoint<'_>> = points.iter().collect();
        layers.sort_by_key(|point| point.facts.depth.is_none());
        Self {
            width: (layers.len() as f64 * EACH).clamp(WIDTH, WIDEST),
            layers,
        }
    }

    /// The axis of depths, with as many labels as fit.
    fn axis(&self, y: &Axis) -> Axis {
        let length = self.width - ChartFigure::left(y);
        let deepest = self
            .layers
            .iter()
            .filter_map(|point| point.facts.depth)
            .max();
        let widest = room(
            &deepest.unwrap_or(1).to_string(),
            Weight::Regular,
            TICK.size,
        );
        let least = (widest + TICK.size) * self.layers.len() as f64 / length;
        let step = [1, 2, 5, 10, 20, 50, 100, 200, 500]
            .into_iter()
            .find(|step| *step as f64 >= least)
            .unwrap_or(1000);
        let labels: Vec<String> = self
            .layers
            .iter()
            .map(|point| match point.facts.depth {
                Some(depth) if depth == 1 || depth % step == 0 => depth.to_string(),
                Some(_) => String::new(),
                None => "\u{2013}".to_owned(),
            })
            .collect();
        Axis::labelled(&labels, length, TICK.size, "depth")
    }

    /// The legend's entry for the end of the shallow layers.
    fn shallow_key(&self, skip_shallow: usize) -> Option<(LegendKey, String)> {
        let any = self.cuts().next().is_some();
        any.then(|| {
            let text = format!("end of the shallow layers left alone, L_s = {skip_shallow}");
            (LegendKey::Dashed(SOFT), text)
        })
    }

    fn notes(&self) -> Vec<String> {
        let without = self
            .layers
            .iter()
            .filter(|point| point.facts.depth.is_none());
        match without.count() {
            0 => Vec::new(),
            count => vec![format!(
                "{} without depth at the right (\u{2013}).",
                things(count as u64, "layer")
            )],
        }
    }

    /// Which of the networks each layer belongs to, as a number that rises from one to the next: a network ends where the
    /// path changes, as those of several in a file do, or where depths begin anew.
    fn networks(&self) -> Vec<usize> {
        let mut network = 0;
        let next = self.layers.windows(2).map(|two| {
            let [before, after] = [two[0].facts, two[1].facts];
            let goes_on = before.network == after.network
                && before.depth.is_some()
                && before.depth < after.depth;
            network += usize::from(!goes_on);
            network
        });
        let first = self.layers.first().map(|_| 0);
        first.into_iter().chain(next).collect()
    }

    /// Between shallow layers and the next ones of the same network.
    fn cuts(&self) -> impl Iterator<Item = f64> {
        let pairs = self.layers.windows(2).enumerate();
        pairs.filter_map(|(place, two)| {
            let [before, after] = [two[0].facts, two[1].facts];
            let ends = is_shallow(before) && !is_shallow(after) && before.depth < after.depth;
            ends.then_some(place as f64 + 0.5)
        })
    }

    fn draw_cuts(&self, canvas: &Canvas, chart: &mut Chart<'_>) {
        for place in self.cuts() {
            upright(canvas, chart, place, SOFT, true);
        }
    }
}

fn is_shallow(layer: &Layer) -> bool {
    layer.reason == Some(Reason::Shallow)
}
