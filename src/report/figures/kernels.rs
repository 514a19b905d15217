//! Pictures of kernels.

use plotters::style::text_anchor::HPos;

use crate::analysis::{KernelPicture, PairPicture, Relation};
use crate::layers::Layer;
use crate::report::picture::Picture;

use super::canvas::{Canvas, LABEL, Rect, TICK};
use super::chart::{Caption, LEADING, PADDING, empty, frame};
use super::colours::{diverging, palette};
use super::heading;
use super::text::decimal;
use super::{Figure, FigureKind};

/// Longer side of a picture.
const SIDE: f64 = 72.0;
/// Least height of a picture: kernels of one axis are one pixel high.
const LEAST_HEIGHT: f64 = 14.0;
/// Between the pictures of a pair, and between pairs.
const GAP: f64 = 6.0;
const BETWEEN: f64 = 36.0;
/// Room for the relations' names.
const NAMES: f64 = 128.0;
/// Pairs in a row.
const ROW: usize = 3;

const RELATIONS: [(Relation, &str); 3] = [
    (Relation::Similar, "most similar"),
    (Relation::Orthogonal, "most orthogonal"),
    (Relation::Opposite, "most opposite"),
];

/// Kernels of similar, orthogonal and opposite pairs, in the manner of the paper's Figure 1.
pub(super) fn kernels(layer: &Layer, pairs: &[PairPicture]) -> Figure {
    let pair_width = 2.0 * SIDE + GAP;
    let width = NAMES + ROW as f64 * pair_width + (ROW - 1) as f64 * BETWEEN;
    let mut notes = Vec::new();
    if let Some(pair) = pairs.first() {
        let colours = match pair.pictures[0].colours {
            3 => "red, green and blue scaled from each pair\u{2019}s least number to its greatest",
            _ => "blue below 0, red above, scaled to each pair\u{2019}s greatest magnitude",
        };
        notes.push(format!("{}; {colours}.", capitalised(&pair.shows)));
    }
    let caption = Caption::new(
        width,
        &heading::title(layer),
        &heading::subtitle("Pairs of kernels", layer),
        Vec::new(),
        &notes,
    );

    let of = |relation: Relation| -> Vec<&PairPicture> {
        pairs
            .iter()
            .filter(|pair| pair.relation == relation)
            .collect()
    };
    let related = RELATIONS.map(|(relation, name)| (name, of(relation)));
    let height_of = |pairs: &[&PairPicture]| {
        let tallest = pairs
            .iter()
            .flat_map(|pair| &pair.pictures)
            .map(|picture| extent(picture).1);
        tallest.fold(0.0, f64::max) + 2.0 * LEADING + 14.0
    };
    let rows = |pairs: &[&PairPicture]| -> f64 { pairs.chunks(ROW).map(height_of).sum() };
    let all: f64 = related.iter().map(|(_, pairs)| rows(pairs)).sum();
    let top = caption.above();
    let end = top + if pairs.is_empty() { 60.0 } else { all - 6.0 };
    let canvas = Canvas::new(width + 2.0 * PADDING, end + caption.below());
    if pairs.is_empty() {
        let place = Rect {
            left: PADDING,
            top,
            width,
            height: 60.0,
        };
        empty(&canvas, place, "There are no pairs to show.");
    }
    let mut y = top;
    let mut frames = Vec::new();
    for (name, pairs) in &related {
        for (line, row) in pairs.chunks(ROW).enumerate() {
            let tall = height_of(row) - 2.0 * LEADING - 14.0;
            if line == 0 {
                let baseline = (PADDING, y + tall / 2.0 + 4.0);
                canvas.text(baseline, HPos::Left, name, LABEL);
            }
            for (column, pair) in row.iter().enumerate() {
                let left = PADDING + NAMES + column as f64 * (pair_width + BETWEEN);
                frames.extend(draw_pair(&canvas, pair, (left, y), tall));
            }
            y += height_of(row);
        }
    }
    for place in frames {
        frame(&canvas, place);
    }
    caption.finish(canvas, FigureKind::Kernels, end)
}

/// Draws a pair, and gives the places of its pictures.
fn draw_pair(canvas: &Canvas, pair: &PairPicture, (left, top): (f64, f64), tall: f64) -> [Rect; 2] {
    let pixels = colours(&pair.pictures);
    let places = [0, 1].map(|side| {
        let picture = &pair.pictures[side];
        let (width, height) = extent(picture);
        let place = Rect {
            left: left + side as f64 * (SIDE + GAP) + (SIDE - width) / 2.0,
            top: top + (tall - height) / 2.0,
            width,
            height,
        };
        let size = [picture.width, picture.height];
        canvas.image(place, &Picture::rgb(size, &pixels[side]));
        place
    });
    let middle = left + SIDE + GAP / 2.0;
    let similarity = format!("sim = {}", decimal(pair.pair.similarity, 2));
    let below = top + tall + LEADING - 2.0;
    canvas.text((middle, below), HPos::Center, &similarity, LABEL);
    let [first, second] = pair.pair.kernels;
    let numbers = format!("kernels {first}, {second}");
    let below = below + LEADING - 3.0;
    canvas.text((middle, below), HPos::Center, &numbers, TICK);
    places
}

/// Width and height of a picture in pixels, whole ones for each of its own where there is room.
fn extent(picture: &KernelPicture) -> (f64, f64) {
    let longer = picture.width.max(picture.height).max(1) as f64;
    let size = match (SIDE / longer).floor() {
        0.0 => SIDE / longer,
        whole => whole,
    };
    let height = (picture.height as f64 * size).max(LEAST_HEIGHT);
    (picture.width as f64 * size, height)
}

/// The pictures' pixels in red, green and blue, on one scale for both.
fn colours(pictures: &[KernelPicture; 2]) -> [Vec<u8>; 2] {
    let finite = || {
        let all = pictures.iter().flat_map(|picture| &picture.values);
        all.copied().filter(|value| value.is_finite())
    };
    let palette = palette();
    if pictures.iter().all(|picture| picture.colours == 3) {
        let (least, greatest) = (
            finite().fold(f32::INFINITY, f32::min),
            finite().fold(f32::NEG_INFINITY, f32::max),
        );
        // Halves, since the difference of two numbers may be beyond the greatest one.
        let span = greatest / 2.0 - least / 2.0;
        return pictures.each_ref().map(|picture| {
            let share = |value: f32| {
                if span > 0.0 {
                    (value / 2.0 - least / 2.0) / span
                } else {
                    0.5
                }
            };
            let level = |value: &f32| (share(*value) * 255.0).round() as u8;
            picture.values.iter().map(level).collect()
        });
    }
    let greatest = finite().map(f32::abs).fold(0.0, f32::max);
    pictures.each_ref().map(|picture| {
        let colour = |value: &f32| {
            let share = if greatest > 0.0 {
                value / greatest
            } else {
                *value
            };
            let colour = palette[usize::from(diverging(share))];
            [colour.0, colour.1, colour.2]
        };
        picture.values.iter().flat_map(colour).collect()
    })
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
