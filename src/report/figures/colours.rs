//! The colours of figures, in one place.

use plotters::style::RGBColor;

// Those of a page in its light mode, but for the paper: the same thing has the same colour there and in a file.
/// Text that is read first, and lines of the same weight.
pub(super) const INK: RGBColor = RGBColor(0x1c, 0x21, 0x27);
/// Text that is read second, and axes.
pub(super) const SOFT: RGBColor = RGBColor(0x5d, 0x66, 0x73);
/// Lines behind the data.
pub(super) const GRID: RGBColor = RGBColor(0xe3, 0xe5, 0xe4);
/// What a figure is drawn on.
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Kernels, and what is shown alone.
pub(super) const ACCENT: RGBColor = RGBColor(0x1d, 0x5f, 0xa8);
/// Pairs, and what is shown beside the first. Lighter than it, so that the two are told apart without their hues.
pub(super) const SECOND: RGBColor = RGBColor(0x2f, 0x95, 0x66);
/// Thresholds, what was merged, and what is shown third.
pub(super) const MARK: RGBColor = RGBColor(0xc2, 0x57, 0x0a);
/// Data that do not take part, and cells that are not compared.
pub(super) const APART: RGBColor = RGBColor(0x86, 0x8d, 0x96);
/// What failed, and what is not to be overlooked.
pub(super) const ALARM: RGBColor = RGBColor(0xb2, 0x3a, 0x2e);
/// Text on cells: unlike [`INK`] and [`PAPER`] it is the same on a dark page, as the cells are. As dark and as light as
/// can be, so that one of them is read on every colour.
pub(super) const ON_LIGHT: RGBColor = RGBColor(0x00, 0x00, 0x00);
pub(super) const ON_DARK: RGBColor = RGBColor(0xff, 0xff, 0xfe);
/// Cells that are not compared: unlike any colour of [`diverging`], whose greyest is nearly white.
pub(super) const NOT_COMPARED: RGBColor = RGBColor(0xc4, 0xc8, 0xcd);

/// Similarities −1 to 1 in equal steps: ColorBrewer's RdBu turned round, which is told apart with every kind of colour
/// vision.
const ANCHORS: [RGBColor; 11] = [
    RGBColor(0x05, 0x30, 0x61),
    RGBColor(0x21, 0x66, 0xac),
    RGBColor(0x43, 0x93, 0xc3),
    RGBColor(0x92, 0xc5, 0xde),
    RGBColor(0xd1, 0xe5, 0xf0),
    RGBColor(0xf7, 0xf7, 0xf7),
    RGBColor(0xfd, 0xdb, 0xc7),
    RGBColor(0xf4, 0xa5, 0x82),
    RGBColor(0xd6, 0x60, 0x4d),
    RGBColor(0xb2, 0x18, 0x2b),
    RGBColor(0x67, 0x00, 0x1f),
];

/// Depths from the first to the last: of falling lightness, and as lines seen on white as on a dark page, which leaves
/// lightness little room.
const DEPTHS: [RGBColor; 4] = [
    RGBColor(0x3f, 0x9d, 0x7e),
    RGBColor(0x2f, 0x8f, 0xb5),
    RGBColor(0x4f, 0x74, 0xc8),
    RGBColor(0x85, 0x4f, 0xbd),
];

/// Cells from the least to the greatest: of lightness that falls as far as it can.
const CELLS: [RGBColor; 4] = [
    RGBColor(0x8c, 0xcf, 0xb4),
    RGBColor(0x4a, 0xa3, 0xc4),
    RGBColor(0x49, 0x6f, 0xc0),
    RGBColor(0x77, 0x3f, 0x9e),
];

/// Index of 0 in the palette; −1 is at 0 and 1 at twice this. More steps would not be told apart, and take a fifth more room.
const CENTRE: f32 = 63.0;
/// Index of NaN in the palette.
const NAN: u8 = 127;

/// Index in [`palette`] of a number in [−1, 1], to which others are clamped.
pub(in crate::report) fn diverging(number: f32) -> u8 {
    if number.is_nan() {
        NAN
    } else {
        // As it is not negative, cutting off after adding a half rounds it.
        ((number.clamp(-1.0, 1.0) + 1.0) * CENTRE + 0.5) as u8
    }
}

/// 127 colours for −1 to 1, and one for NaN.
pub(in crate::report) fn palette() -> Vec<RGBColor> {
    let steps = 2.0 * f64::from(CENTRE);
    (0..NAN)
        .map(|place| between(&ANCHORS, f64::from(place) / steps))
        .chain([NOT_COMPARED])
        .collect()
}

/// Red, green and blue of colours.
pub(in crate::report) fn bytes(colours: &[RGBColor]) -> Vec<[u8; 3]> {
    let bytes = |&RGBColor(red, green, blue): &RGBColor| [red, green, blue];
    colours.iter().map(bytes).collect()
}

/// Colour of a depth, as a share of the way from the first to the last.
pub(super) fn depth(share: f64) -> RGBColor {
    between(&DEPTHS, share)
}

/// Colours of so many depths, at equal steps from the first to the last.
pub(super) fn depths(count: usize) -> impl DoubleEndedIterator<Item = RGBColor> {
    steps(count, depth)
}

/// Colour of a cell, as a share of the way from the least to the greatest.
pub(super) fn cell(share: f64) -> RGBColor {
    between(&CELLS, share)
}

/// Colours of cells at equal steps from the least to the greatest.
pub(super) fn cells(count: usize) -> impl DoubleEndedIterator<Item = RGBColor> {
    steps(count, cell)
}

fn steps(count: usize, at: fn(f64) -> RGBColor) -> impl DoubleEndedIterator<Item = RGBColor> {
    (0..count).map(move |step| at(step as f64 / (count - 1) as f64))
}

/// The colour in which text can be read on another one.
pub(super) fn text_on(colour: RGBColor) -> RGBColor {
    let contrast_with = |text| contrast(luminance(text), luminance(colour));
    if contrast_with(ON_LIGHT) > contrast_with(ON_DARK) {
        ON_LIGHT
    } else {
        ON_DARK
    }
}

/// How light a colour is, as the WCAG reckon it.
pub(super) fn luminance(RGBColor(red, green, blue): RGBColor) -> f64 {
    let linear = |part: u8| match f64::from(part) / 255.0 {
        dark @ ..=0.04045 => dark / 12.92,
        light => ((light + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

/// The contrast of two luminances, as the WCAG reckon it.
pub(super) fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The colour at a share of the way along equally spaced ones.
fn between(anchors: &[RGBColor], share: f64) -> RGBColor {
    let way = share.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
    let from = (way as usize).min(anchors.len() - 2);
    let part = way - from as f64;
    let (a, b) = (anchors[from], anchors[from + 1]);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// The colours that a page replaces by its own, which are others in its dark mode, and the CSS variables that hold those.
pub(super) const OF_PAGE: [(RGBColor, &str); 9] = [
    (INK, "ink"),
    (SOFT, "soft"),
    (GRID, "grid"),
    (PAPER, "paper"),
    (ACCENT, "accent"),
    (SECOND, "second"),
    (MARK, "mark"),
    (APART, "apart"),
    (ALARM, "warm"),
];

/// As SVG writes it within a page.
pub(super) fn on_page(colour: RGBColor) -> String {
    match OF_PAGE.iter().find(|(own, _)| *own == colour) {
        Some((_, variable)) => format!("var(--{variable})"),
        None => hex(colour),
    }
}

/// As SVG writes it.
pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_centred_at_zero() {
        let palette = palette();
        assert_eq!(palette.len(), 128);
        let at = |number: f32| hex(palette[usize::from(diverging(number))]);
        assert_eq!(at(0.0), "#f7f7f7");
        assert_eq!(at(-1.0), "#053061");
        assert_eq!(at(1.0), "#67001f");
        assert_eq!(at(7.0), at(1.0));
        assert_eq!(at(f32::NAN), "#c4c8cd");
        assert_eq!(at(f32::from_bits(0xffc0_0001)), at(f32::NAN));
        // As far from the centre for a similarity as for its opposite.
        for step in 0..=63u8 {
            let number = f32::from(step) / 63.0;
            let (above, below) = (diverging(number), diverging(-number));
            assert_eq!(u16::from(above) + u16::from(below), 126);
        }
        let mut colours: Vec<_> = palette.iter().map(|c| (c.0, c.1, c.2)).collect();
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(
            colours.len(),
            128,
            "two numbers of the palette look the same"
        );
    }

    #[test]
    fn depths_and_cells_darken() {
        for at in [depth, cell] {
            for step in 0..20 {
                let share = f64::from(step) / 20.0;
                let light = |share| luminance(at(share));
                assert!(light(share) > light(share + 0.05), "{share}");
            }
        }
    }
}
