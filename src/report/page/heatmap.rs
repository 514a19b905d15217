//! Small pictures of similarity matrices.

use maud::{Markup, html};

use crate::analysis::SimilarityMap;
use crate::report::bitmap::{self, Colours};
use crate::report::figures::colour;

/// Cells along a side at most.
const CELLS: usize = 128;

/// Steps of the colour map, an odd number so that 0 has one of its own. More would not be told apart, and would compress
/// worse: 512 random kernels take 10 kB with these.
const STEPS: usize = 127;

/// The place in the palette behind the colours, for cells without pairs.
const EMPTY: u8 = STEPS as u8;

/// The colour of a step.
fn step(place: usize) -> [u8; 3] {
    colour(2.0 * place as f32 / (STEPS - 1) as f32 - 1.0)
}

/// The step of a similarity; [`EMPTY`] for NaN.
fn place(similarity: f32) -> u8 {
    if similarity.is_nan() {
        EMPTY
    } else {
        ((similarity.clamp(-1.0, 1.0) + 1.0) / 2.0 * (STEPS - 1) as f32).round() as u8
    }
}

/// Of a reduced map the upper triangle, with the diagonal, shows the maximum of each cell, in which a single hot pair shows, and
/// the lower one the mean, in which structure does.
fn png(map: &SimilarityMap) -> Vec<u8> {
    let side = map.cells;
    let pixels: Vec<u8> = (0..side * side)
        .map(|cell| {
            if cell % side >= cell / side {
                place(map.max[cell])
            } else {
                place(map.mean[cell])
            }
        })
        .collect();
    let palette: Vec<u8> = (0..STEPS).flat_map(step).chain([0; 3]).collect();
    let mut opacity = vec![255; STEPS];
    opacity.push(0);
    let colours = Colours::Indexed { palette, opacity };
    bitmap::cells([side; 2], colours, &pixels)
}

/// A map as an image that is all in the page.
pub fn image(map: &SimilarityMap, label: &str) -> Markup {
    if map.cells == 0 {
        return html! {};
    }
    let map = map.reduced(CELLS);
    html! { img.map src=(bitmap::uri(&png(&map))) alt=(label) width=(map.cells) height=(map.cells); }
}

/// Whether the image of a layer of so many kernels has cells that stand for several pairs.
pub fn is_reduced(kernels: usize) -> bool {
    kernels > CELLS
}

/// The colour map as a gradient for the page's style.
pub fn style() -> String {
    let stops: Vec<String> = (0..=20)
        .map(|stop| {
            let [r, g, b] = colour(stop as f32 / 10.0 - 1.0);
            format!("#{r:02x}{g:02x}{b:02x}")
        })
        .collect();
    format!(
        ":root{{--map:linear-gradient(to right,{})}}",
        stops.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_colours_of_their_similarities() {
        let map = SimilarityMap {
            order: (0..4).collect(),
            cells: 2,
            mean: vec![-1.0, 0.0, 0.0, f32::NAN],
            max: vec![1.0, 0.5, 0.5, f32::NAN],
        };
        let bytes = png(&map);
        let mut decoder = png::Decoder::new(std::io::Cursor::new(&bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let near = |pixel: usize, similarity: f32| {
            let pixel = &pixels[pixel * 4..][..4];
            let wanted = colour(similarity);
            assert_eq!(pixel[3], 255);
            for (found, wanted) in pixel.iter().zip(wanted) {
                assert!(found.abs_diff(wanted) <= 4, "{pixel:?} for {wanted:?}");
            }
        };
        near(0, 1.0);
        near(1, 0.5);
        near(2, 0.0);
        assert_eq!(pixels[15], 0, "a cell without pairs is see-through");
    }

    #[test]
    fn steps_are_even() {
        assert_eq!(place(0.0), 63);
        assert_eq!((place(-1.0), place(1.0)), (0, 126));
        assert_eq!(step(63), colour(0.0));
        assert_eq!(place(f32::NAN), EMPTY);
    }
}
