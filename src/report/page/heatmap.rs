//! Small pictures of similarity matrices.

use maud::{Markup, PreEscaped, html};

use crate::analysis::SimilarityMap;
use crate::report::figures::{bytes, diverging, palette};
use crate::report::picture::{CLEAR, Picture};

/// Cells along a side at most.
const CELLS: usize = 128;

/// Of a reduced map the upper triangle, with the diagonal, shows the maximum of each cell, in which a single hot pair shows, and
/// the lower one the mean, in which structure does. Cells without pairs are clear.
fn picture(map: &SimilarityMap) -> Picture {
    let side = map.cells;
    let place = |similarity: f32| match similarity.is_nan() {
        true => CLEAR,
        false => diverging(similarity),
    };
    let places: Vec<u8> = (0..side * side)
        .map(|cell| {
            if cell % side >= cell / side {
                place(map.max[cell])
            } else {
                place(map.mean[cell])
            }
        })
        .collect();
    Picture::square(side, &bytes(&palette()), &places)
}

/// A map as an image that is all in the page.
pub fn image(map: &SimilarityMap, label: &str) -> Markup {
    if map.cells == 0 {
        return html! {};
    }
    let map = map.reduced(CELLS);
    let side = map.cells as f64;
    html! {
        svg.map role="img" aria-label=(label) viewBox={ "0 0 " (map.cells) " " (map.cells) } {
            (PreEscaped(picture(&map).svg([0.0, 0.0, side, side])))
        }
    }
}

/// Whether the image of a layer of so many kernels has cells that stand for several pairs.
pub fn is_reduced(kernels: usize) -> bool {
    kernels > CELLS
}

/// The colour map as a gradient for the page's style.
pub fn style() -> String {
    let stops: Vec<String> = (0..=20)
        .map(|stop| {
            let place = diverging(stop as f32 / 10.0 - 1.0);
            let [r, g, b] = bytes(&palette())[usize::from(place)];
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
            mean: vec![-1.0, 0.0, 0.25, f32::NAN],
            max: vec![1.0, 0.5, 0.5, f32::NAN],
        };
        let pixels = picture(&map).pixels(2);
        let colour = |similarity: f32| {
            let [r, g, b] = bytes(&palette())[usize::from(diverging(similarity))];
            [r, g, b, 255]
        };
        assert_eq!(pixels[..3], [1.0, 0.5, 0.25].map(colour));
        assert_eq!(pixels[3], [0; 4], "a cell without pairs is clear");
    }
}
