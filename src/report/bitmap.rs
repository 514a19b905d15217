//! Pictures as PNG, in memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

/// What the bytes of a picture are.
pub(super) enum Colours {
    /// Red, green and blue of each pixel.
    Rgb,
    /// Each pixel's place in a palette.
    Indexed {
        /// Red, green and blue of each place.
        palette: Vec<u8>,
        /// How opaque each place is; those beyond its end are wholly.
        opacity: Vec<u8>,
    },
}

/// A picture whose bytes stand row by row.
pub(super) fn png(
    [width, height]: [usize; 2],
    colours: Colours,
    bytes: &[u8],
    compression: Compression,
) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = Encoder::new(&mut png, width as u32, height as u32);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    // Neighbouring cells have little in common, and places of a palette are no numbers to take differences of.
    encoder.set_filter(Filter::NoFilter);
    match colours {
        Colours::Rgb => encoder.set_color(ColorType::Rgb),
        Colours::Indexed { palette, opacity } => {
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(palette);
            if !opacity.is_empty() {
                encoder.set_trns(opacity);
            }
        }
    }
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(bytes));
    written.expect("a picture of the size that it has, written to memory");
    png
}

/// A PNG as an address that holds it.
pub(super) fn uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}
