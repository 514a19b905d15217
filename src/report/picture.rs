//! Pictures of a pixel for each number, as elements of an SVG.

use sha2::{Digest, Sha256};

use super::bitmap::{self, Colours};

/// A place of no colour: what is behind the picture shows.
pub(super) const CLEAR: u8 = u8::MAX;

/// A picture to be put into an SVG.
pub(super) struct Picture {
    size: [usize; 2],
    png: Vec<u8>,
    /// Where the PNG has only what is below the diagonal, to be mirrored: a digest of the pixels.
    half: Option<[u8; 32]>,
}

impl Picture {
    /// Keeps pixels apart.
    pub const STYLE: &str = "image-rendering:pixelated";

    /// Of red, green and blue of each pixel, row by row.
    pub fn rgb(size: [usize; 2], colours: &[u8]) -> Self {
        Self {
            size,
            png: bitmap::cells(size, Colours::Rgb, colours),
            half: None,
        }
    }

    /// A square of each pixel's place in a palette, or [`CLEAR`], row by row. A symmetric one takes half the bytes.
    pub fn square(side: usize, palette: &[[u8; 3]], places: &[u8]) -> Self {
        let is_half = is_symmetric(side, places);
        // What is clear comes first, so that no other place's opacity has to be said.
        let mut pixels: Vec<u8> = places.iter().map(|place| place.wrapping_add(1)).collect();
        if is_half {
            // Up to one above the diagonal: a viewer that blends neighbouring pixels then blends the same ones as in a whole picture.
            for (row, pixels) in pixels.chunks_exact_mut(side).enumerate() {
                pixels.iter_mut().skip(row + 2).for_each(|pixel| *pixel = 0);
            }
        }
        // Its colour, from the corner farthest from the diagonal, shows in viewers that blend colours without their opacity.
        let corner = places.get(side.saturating_sub(1));
        let behind = corner.and_then(|&place| palette.get(usize::from(place)));
        let clear = [*behind.unwrap_or(&[0; 3])];
        let palette = clear.iter().chain(palette).flatten().copied().collect();
        let colours = Colours::Indexed {
            palette,
            opacity: vec![0],
        };
        Self {
            size: [side; 2],
            png: bitmap::cells([side; 2], colours, &pixels),
            half: is_half.then(|| Sha256::digest(&pixels).into()),
        }
    }

    /// The element that draws it at a left, top, width and height, within one that has [`Picture::STYLE`].
    pub fn svg(&self, [left, top, wide, high]: [f64; 4]) -> String {
        let [across, down] = self.size.map(|side| side as f64);
        let stretched = match wide * down == high * across {
            true => "",
            false => " preserveAspectRatio=\"none\"",
        };
        let look = format!(
            "width=\"{wide}\" height=\"{high}\"{stretched} href=\"{}\"",
            bitmap::uri(&self.png)
        );
        let Some(digest) = self.half else {
            return format!("<image x=\"{left}\" y=\"{top}\" {look}/>");
        };
        // A name by what it names, so that two of one name are the same where a document holds several drawings.
        let digest: String = digest[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = format!("map-{digest}-{wide}");
        format!(
            "<g transform=\"translate({left} {top})\"><image id=\"{name}\" {look}/>\
             <use href=\"#{name}\" transform=\"matrix(0 1 1 0 0 0)\"/></g>"
        )
    }
}

fn is_symmetric(side: usize, places: &[u8]) -> bool {
    let row_and_column = |row: usize| {
        let below = &places[row * side..][..row];
        let mut above = (0..row).map(|column| places[column * side + row]);
        below.iter().all(|&place| Some(place) == above.next())
    };
    // A mirror of less than three pixels gains nothing.
    side > 2 && (0..side).all(row_and_column)
}

#[cfg(test)]
impl Picture {
    /// Red, green, blue and opacity of the pixels of a square that is this wide, as drawn by an SVG renderer.
    pub fn pixels(&self, side: usize) -> Vec<[u8; 4]> {
        use resvg::tiny_skia::{Pixmap, Transform};
        use resvg::usvg::{Options, Tree};

        let size = side as f64;
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" style=\"{}\">{}</svg>",
            Self::STYLE,
            self.svg([0.0, 0.0, size, size])
        );
        let tree = Tree::from_str(&svg, &Options::default()).unwrap();
        let mut map = Pixmap::new(side as u32, side as u32).unwrap();
        resvg::render(&tree, Transform::identity(), &mut map.as_mut());
        let pixels = map.data().chunks_exact(4);
        pixels.map(|pixel| pixel.try_into().unwrap()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const PALETTE: [[u8; 3]; 9] = [
        [10, 0, 0],
        [20, 0, 0],
        [30, 0, 0],
        [0, 40, 0],
        [0, 50, 0],
        [0, 60, 0],
        [0, 0, 70],
        [0, 0, 80],
        [0, 0, 90],
    ];

    fn looks_like(places: &[u8], side: usize) -> bool {
        let picture = Picture::square(side, &PALETTE, places);
        for scale in [1, 3] {
            let drawn = picture.pixels(side * scale);
            for (place, &colour) in places.iter().enumerate() {
                let (x, y) = (place % side * scale, place / side * scale);
                let wanted = match PALETTE.get(usize::from(colour)) {
                    Some(&[r, g, b]) => [r, g, b, 255],
                    None => [0; 4],
                };
                for (dx, dy) in [(0, 0), (scale - 1, 0), (0, scale - 1)] {
                    let found = drawn[(y + dy) * side * scale + x + dx];
                    assert_eq!(found, wanted, "{place} of {places:?} at scale {scale}");
                }
            }
        }
        picture.half.is_some()
    }

    #[test]
    fn a_symmetric_square_is_half_stored_and_wholly_drawn() {
        let side = 5;
        let symmetric: Vec<u8> = (0..side * side)
            .map(|place| {
                let (row, column): (usize, usize) = (place / side, place % side);
                match row.abs_diff(column) {
                    4 => CLEAR,
                    apart => (apart + row.min(column)) as u8,
                }
            })
            .collect();
        assert!(looks_like(&symmetric, side));
        let mut other = symmetric;
        other[side - 2] += 1;
        assert!(!looks_like(&other, side));
        assert!(!looks_like(&[0, 1, 1, 2], 2));
    }

    #[test]
    fn pictures_of_one_name_are_the_same() {
        let name = |colour, size| {
            let svg = Picture::square(3, &PALETTE, &[colour; 9]).svg([1.0, 2.0, size, size]);
            svg.split('"').nth(3).unwrap().to_owned()
        };
        assert!(name(0, 9.0).starts_with("map-"));
        assert_eq!(name(0, 9.0), name(0, 9.0));
        assert_ne!(name(0, 9.0), name(1, 9.0));
        assert_ne!(name(0, 9.0), name(0, 8.0));
    }
}
