//! Layers from epoch to epoch.

use plotters::series::LineSeries;
use plotters::style::text_anchor::HPos;

use crate::analysis::{EpochPoint, Evolution, Spread};

use super::axis::Axis;
use super::canvas::{Canvas, Chart, Rect, TICK, TICK_LENGTH, drawn, line};
use super::chart::{Caption, ChartFigure, HEIGHT, LegendKey, PADDING, WIDTH, Y_TITLE, empty};
use super::colour_bar::colour_bar;
use super::colours::{ACCENT, APART, INK, depth, depths};
use super::font::Weight;
use super::lines::dots;
use super::text::{name, room, shortened, things};
use super::{Figure, FigureKind};

/// Width of the colour bar, and from the data to it.
const BAR: f64 = 12.0;
const BAR_GAP: f64 = 18.0;
/// Steps of the colour bar.
const BAR_STEPS: usize = 64;
/// Width of an epoch's label at most.
const EPOCH: f64 = 90.0;

/// One quantity of the layers.
struct Quantity {
    kind: FigureKind,
    title: &'static str,
    subtitle: &'static str,
    axis: &'static str,
    of: fn(&EpochPoint) -> Option<f64>,
    scale: Scale,
}

/// How a quantity is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// As it is: a similarity.
    Plain,
    /// In percent of what it is in the first epoch in which it is known.
    OfFirst,
    /// In percent, from 0.
    Percent,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity {
        kind: FigureKind::RedundancyOverEpochs,
        title: "Redundancy from epoch to epoch",
        subtitle: "Median of each layer\u{2019}s greatest similarities",
        axis: "median greatest similarity",
        of: |point| point.nearest.map(|spread| spread.median),
        scale: Scale::Plain,
    },
    Quantity {
        kind: FigureKind::UpperRedundancyOverEpochs,
        title: "The most redundant kernels from epoch to epoch",
        subtitle: "95th percentile of each layer\u{2019}s greatest similarities",
        axis: "95th percentile",
        of: |point| point.nearest.map(|spread| spread.p95),
        scale: Scale::Plain,
    },
    Quantity {
        kind: FigureKind::AboveChanceOverEpochs,
        title: "Kernels beyond chance from epoch to epoch",
        subtitle: "Above the \u{3c4} at which random directions give 1\u{a0}% of the kernels a partner",
        axis: "share of kernels",
        of: |point| Some(point.above_chance),
        scale: Scale::Percent,
    },
    Quantity {
        kind: FigureKind::EffectiveRankOverEpochs,
        title: "Effective rank from epoch to epoch",
        subtitle: "In percent of each layer\u{2019}s first one",
        axis: "effective rank",
        of: |point| point.effective_rank,
        scale: Scale::OfFirst,
    },
    Quantity {
        kind: FigureKind::WeightChangeOverEpochs,
        title: "Weight change from epoch to epoch",
        subtitle: "\u{2016}W \u{2212} W\u{2032}\u{2016} / \u{2016}W\u{2032}\u{2016}, where W\u{2032} is the layer one epoch before",
        axis: "relative change",
        of: |point| point.relative_change,
        scale: Scale::Percent,
    },
];

/// A figure for each quantity, from epoch to epoch; that of the effective rank if it is known.
pub(super) fn evolution(evolution: &Evolution) -> Vec<Figure> {
    let figure = |quantity: &Quantity| {
        let lines = quantity.lines(evolution);
        let known = lines.iter().flatten().any(Option::is_some);
        (known || quantity.scale != Scale::OfFirst).then(|| quantity.draw(evolution, &lines))
    };
    QUANTITIES.iter().filter_map(figure).collect()
}

impl Quantity {
    /// By layer and epoch.
    fn lines(&self, evolution: &Evolution) -> Vec<Vec<Option<f64>>> {
        let layers = evolution.layers.iter();
        layers
            .map(|layer| {
                let numbers: Vec<Option<f64>> = layer.points.iter().map(self.of).collect();
                let first = numbers.iter().flatten().copied().find(|first| *first > 0.0);
                let scaled = |number: f64| match self.scale {
                    Scale::Plain => Some(number),
                    Scale::Percent => Some(100.0 * number),
                    Scale::OfFirst => first.map(|first| 100.0 * number / first),
                };
                numbers
                    .into_iter()
                    .map(|number| number.and_then(scaled).filter(|n| n.is_finite()))
                    .collect()
            })
            .collect()
    }

    fn y_axis(&self, lines: &[Vec<Option<f64>>]) -> Axis {
        let known = || lines.iter().flatten().flatten().copied();
        let greatest = known().reduce(f64::max);
        let least = known().reduce(f64::min);
        let ends = least.zip(greatest);
        let (least, greatest) = ends.unwrap_or((0.0, 1.0));
        match self.scale {
            Scale::Percent => Axis::percent(greatest, self.axis),
            Scale::Plain => Axis::similarities(ends, self.axis),
            Scale::OfFirst => {
                Axis::enclosing(least.min(99.0)..greatest.max(101.0), 5, self.axis).in_percent()
            }
        }
    }

    fn draw(&self, evolution: &Evolution, lines: &[Vec<Option<f64>>]) -> Figure {
        let taking_part = || evolution.layers.iter().filter(|layer| layer.takes_part);
        let depths = || taking_part().filter_map(|layer| layer.depth);
        let depths = depths().min().zip(depths().max()).filter(|(a, b)| a < b);
        let layers = evolution.layers.len();
        let mut legend = Vec::new();
        if layers > 1 {
            if taking_part().next().is_some() {
                let median = match taking_part().count() < layers {
                    true => "median of the layers that take part",
                    false => "median of the layers",
                };
                legend.push((LegendKey::Line(INK, 2.5), median.to_owned()));
            }
            let key = match depths {
                Some(_) => LegendKey::Line(depth(0.5), 1.0),
                None => LegendKey::Line(APART, 1.0),
            };
            if depths.is_some() || taking_part().next().is_some() {
                legend.push((key, "one layer".to_owned()));
            }
            let is_apart = depths.is_some() || taking_part().next().is_none();
            if is_apart && taking_part().count() < layers {
                legend.push((LegendKey::Line(APART, 1.0), "a layer left alone".to_owned()));
            }
        } else if let [layer] = &evolution.layers[..] {
            legend.push((LegendKey::Line(ACCENT, 2.0), name(&layer.name)));
        }
        let y = self.y_axis(lines);
        let right = match depths {
            Some((_, last)) => {
                let labels = room(&last.to_string(), Weight::Regular, TICK.size)
                    .max(room("depth", Weight::Regular, TICK.size) - BAR - 2.0 * TICK_LENGTH);
                PADDING + BAR_GAP + BAR + 2.0 * TICK_LENGTH + labels
            }
            None => PADDING,
        };
        let length = WIDTH + 2.0 * PADDING - right - ChartFigure::left(&y);
        let ending = common_ending(&evolution.epochs);
        let epochs: Vec<String> = evolution
            .epochs
            .iter()
            .map(|epoch| name(&epoch[..epoch.len() - ending]))
            .map(|epoch| shortened(&epoch, Weight::Regular, TICK.size, EPOCH))
            .collect();
        let figure = ChartFigure {
            kind: self.kind,
            caption: Caption::new(
                WIDTH,
                self.title,
                &format!(
                    "{} \u{b7} {}",
                    self.subtitle,
                    things(layers as u64, "layer")
                ),
                legend,
                &[],
            ),
            x: Axis::labelled(&epochs, length, TICK.size, "checkpoint"),
            y,
            height: HEIGHT,
            second: None,
            right,
        };
        figure.draw(|canvas, chart, place| {
            if let Some(depths) = depths {
                depth_bar(canvas, place, depths);
            }
            if lines.iter().flatten().all(Option::is_none) {
                empty(canvas, place, "There is nothing to show.");
                return;
            }
            for (layer, line_of) in evolution.layers.iter().zip(lines) {
                let style = match (layers, layer.depth, depths) {
                    (1, ..) => line(ACCENT, 2.0),
                    (_, Some(at), Some((first, last))) if layer.takes_part => {
                        line(depth((at - first) as f64 / (last - first) as f64), 1.0)
                    }
                    _ => line(APART, 1.0),
                };
                draw_line(chart, line_of, style);
            }
            if layers > 1 {
                let medians: Vec<Option<f64>> = (0..evolution.epochs.len())
                    .map(|epoch| {
                        let layers = evolution.layers.iter().zip(lines);
                        let taking_part = layers.filter(|(layer, _)| layer.takes_part);
                        let of_all = taking_part.filter_map(|(_, line)| *line.get(epoch)?);
                        Spread::of(&of_all.collect::<Vec<f64>>()).map(|spread| spread.median)
                    })
                    .collect();
                draw_line(chart, &medians, line(INK, 2.5));
            }
        })
    }
}

/// Length in bytes of the ending that all names share, from a dot or slash on: `.safetensors`, or `/model.safetensors`.
fn common_ending(names: &[String]) -> usize {
    let Some((first, others)) = names.split_first() else {
        return 0;
    };
    let starts = first.match_indices(['.', '/']).map(|(at, _)| at);
    let common = |at: &usize| {
        let (head, ending) = first.split_at(*at);
        let shared = |name: &String| name.len() > ending.len() && name.ends_with(ending);
        !head.is_empty() && others.iter().all(shared)
    };
    starts
        .filter(common)
        .map(|at| first.len() - at)
        .max()
        .unwrap_or(0)
}

/// A line that is broken where there is no number; what stands alone is a dot.
fn draw_line(chart: &mut Chart<'_>, numbers: &[Option<f64>], style: plotters::style::ShapeStyle) {
    let points: Vec<Option<(f64, f64)>> = numbers
        .iter()
        .enumerate()
        .map(|(epoch, number)| number.map(|number| (epoch as f64, number)))
        .collect();
    for run in points.split(Option::is_none) {
        let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
        if run.len() == 1 {
            let colour = plotters::style::RGBColor(style.color.0, style.color.1, style.color.2);
            dots(chart, run, 2.5, colour);
        } else {
            drawn(chart.draw_series(LineSeries::new(run, style)));
        }
    }
}

/// Which depth a colour stands for, right of the data.
fn depth_bar(canvas: &Canvas, data: Rect, (first, last): (usize, usize)) {
    let bar = Rect {
        left: data.right() + BAR_GAP,
        top: data.top,
        width: BAR,
        height: data.height,
    };
    let mut ticks = vec![first, (first + last) / 2, last];
    ticks.dedup();
    let axis = Axis::falling(last, first, &ticks);
    colour_bar(canvas, bar, depths(BAR_STEPS), &axis, Y_TITLE);
    canvas.text((bar.left, bar.top - Y_TITLE), HPos::Left, "depth", TICK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_names_end_in_is_left_out() {
        let ending = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            common_ending(&names)
        };
        assert_eq!(ending(&["e1.safetensors", "e2.safetensors"]), 12);
        assert_eq!(ending(&["1/model.st", "12/model.st"]), 9);
        assert_eq!(ending(&["/model.st", "2/model.st"]), 3);
        assert_eq!(ending(&["e1.st", "e2.pt"]), 0);
        assert_eq!(ending(&[".st", "e2.st"]), 0);
        assert_eq!(ending(&[]), 0);
    }
}
