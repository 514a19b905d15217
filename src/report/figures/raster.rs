//! Pictures of a pixel a cell, as `data:` URIs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use super::colours::palette;

/// A picture of places in [`palette`], row by row.
pub(super) fn indexed(width: usize, height: usize, places: &[u8]) -> String {
    let mut colours: Vec<u8> = Vec::new();
    for colour in palette() {
        colours.extend([colour.0, colour.1, colour.2]);
    }
    uri(width, height, ColorType::Indexed, Some(colours), places)
}

/// A picture of red, green and blue, row by row.
pub(super) fn rgb(width: usize, height: usize, colours: &[u8]) -> String {
    uri(width, height, ColorType::Rgb, None, colours)
}

fn uri(
    width: usize,
    height: usize,
    kind: ColorType,
    palette: Option<Vec<u8>>,
    data: &[u8],
) -> String {
    // Neighbouring cells have little in common, and places of a palette are no numbers to take differences of.
    let png = encoded(
        width,
        height,
        kind,
        palette,
        data,
        Compression::Balanced,
        Filter::NoFilter,
    );
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// A PNG of 8 bits a channel.
pub(super) fn encoded(
    width: usize,
    height: usize,
    kind: ColorType,
    palette: Option<Vec<u8>>,
    data: &[u8],
    compression: Compression,
    filter: Filter,
) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = Encoder::new(&mut png, width as u32, height as u32);
    encoder.set_color(kind);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    encoder.set_filter(filter);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(data));
    written.expect("a picture of the size that it has, written to memory");
    png
}
