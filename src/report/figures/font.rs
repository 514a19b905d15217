//! The font that comes with the program (`font/README.md`): by it text is measured, and drawn in PNG.

use std::sync::{Arc, LazyLock};

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};
use resvg::usvg::fontdb::Database;

/// What SVG asks for: the program's own font, or what the viewer has.
pub(super) const FAMILY: &str = "Inter, Helvetica Neue, Arial, sans-serif";

/// Added to every measured width: a viewer without Inter may have a wider font.
pub(super) const SLACK: f64 = 1.12;

const REGULAR: &[u8] = include_bytes!("font/Inter-Regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("font/Inter-SemiBold.ttf");

/// `ab_glyph` takes a size for the height from the font's ascender to its descender, SVG for the em.
const HEIGHT: f64 = (1984.0 + 494.0) / 2048.0;
/// Measured at this size, since `plotters` gives whole numbers.
const MEASURED: f64 = 1000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// 400.
    Regular,
    /// 600.
    SemiBold,
}

/// The font in `plotters`, at a size in its units.
pub(super) fn described(weight: Weight, size: f64) -> FontDesc<'static> {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        for (style, font) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, SEMIBOLD)] {
            register_font(FAMILY, style, font)
                .unwrap_or_else(|_| unreachable!("the program's own font is a font"));
        }
    });
    LazyLock::force(&REGISTERED);
    let style = match weight {
        Weight::Regular => FontStyle::Normal,
        Weight::SemiBold => FontStyle::Bold,
    };
    FontDesc::new(FontFamily::Name(FAMILY), size, style)
}

/// Width of a text at a size, both in pixels, without slack.
pub(super) fn width(text: &str, weight: Weight, size: f64) -> f64 {
    // Scripts that the font lacks are drawn with another one: no wider than an em a character, wherever that is.
    let (own, foreign): (String, String) = text.chars().partition(|c| *c < '\u{2500}');
    let font = described(weight, MEASURED * HEIGHT);
    let own = font.box_size(&own).expect("the font is registered").0;
    (f64::from(own) / MEASURED + foreign.chars().count() as f64) * size
}

/// The fonts for rendering: this one and no other, so that a PNG is the same everywhere.
pub(super) fn database() -> Arc<Database> {
    static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = Database::new();
        for font in [REGULAR, SEMIBOLD] {
            fonts.load_font_data(font.to_vec());
        }
        fonts.set_sans_serif_family("Inter");
        Arc::new(fonts)
    });
    Arc::clone(&DATABASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // The advances of the digits of Inter, of 2048 units an em, that `hmtx` lists.
        let em = |text| width(text, Weight::Regular, 1.0);
        assert!((em("00") - 2.0 * em("0")).abs() < 0.002);
        assert!((0.55..0.70).contains(&em("0")), "{}", em("0"));
        assert!(width("n", Weight::SemiBold, 12.0) > width("n", Weight::Regular, 12.0));
        assert!((em("\u{6f22}\u{5b57}") - 2.0).abs() < 0.002);
    }

    #[test]
    fn every_sign_that_figures_write_is_in_the_font() {
        let absent = |weight| width("\u{416}", weight, 1.0);
        for weight in [Weight::Regular, Weight::SemiBold] {
            for sign in "\u{3c4}\u{3b1}\u{3bb}\u{3c3}+\u{2212}\u{2264}\u{2265}\u{d7}\u{b7}\u{2013}\u{b0}\u{2026}\u{2016}\u{2248}\u{b1}\u{2070}\u{2079}\u{207b}\u{fffd}%="
                .chars()
            {
                let sign_width = width(&sign.to_string(), weight, 1.0);
                assert_ne!(sign_width, absent(weight), "{sign}");
            }
        }
    }
}
