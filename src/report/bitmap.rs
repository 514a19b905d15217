//! Pictures as PNG, in memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use png::{BitDepth, ColorType, Encoder, Filter, Writer, chunk};
use zlib_rs::{DeflateConfig, ReturnCode, Strategy};

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

/// A drawing, with flat areas and repeated glyphs, as red, green and blue of each pixel, row by row.
pub(super) fn drawing(size: [usize; 2], pixels: &[u8]) -> Vec<u8> {
    png(size, Colours::Rgb, |writer| writer.write_image_data(pixels))
}

/// A picture of data, a pixel for each number, row by row.
pub(super) fn cells(size: [usize; 2], colours: Colours, pixels: &[u8]) -> Vec<u8> {
    let [width, _] = size;
    let row = match colours {
        Colours::Rgb => 3 * width,
        Colours::Indexed { .. } => width,
    };
    // Similarities hardly repeat, so that a search for repetitions makes the file no smaller: a map of 512 random kernels is 2 %
    // smaller without, in a third of zlib's time or less. Runs of one colour are found all the same.
    let unfiltered: Vec<u8> = pixels
        .chunks(row)
        .flat_map(|row| {
            [Filter::NoFilter as u8]
                .into_iter()
                .chain(row.iter().copied())
        })
        .collect();
    let compressed = compress(&unfiltered);
    png(size, colours, |writer| {
        writer.write_chunk(chunk::IDAT, &compressed)
    })
}

/// As zlib, without a search for repetitions other than runs.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let config = DeflateConfig {
        strategy: Strategy::Rle,
        ..DeflateConfig::default()
    };
    let mut compressed = vec![0; zlib_rs::compress_bound(bytes.len())];
    let (written, code) = zlib_rs::compress_slice(&mut compressed, bytes, config);
    assert_eq!(code, ReturnCode::Ok, "the bound is room enough");
    let length = written.len();
    compressed.truncate(length);
    compressed
}

fn png(
    [width, height]: [usize; 2],
    colours: Colours,
    write: impl FnOnce(&mut Writer<&mut Vec<u8>>) -> Result<(), png::EncodingError>,
) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = Encoder::new(&mut png, width as u32, height as u32);
    encoder.set_depth(BitDepth::Eight);
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
        .and_then(|mut writer| write(&mut writer));
    written.expect("a picture of the size that it has, written to memory");
    png
}

/// A PNG as an address that holds it.
pub(super) fn uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}
