//! A figure read back from its SVG.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use resvg::usvg::roxmltree::{Document, Node};

use crate::report::figures::font::{Weight, width};
use crate::report::figures::{Figure, Titles};

/// Width of text in a viewer with a wider font than ours.
const WIDER: f64 = 1.1;

/// A text and the pixels that it takes.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: String,
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Text {
    pub fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// A picture within a figure.
pub struct Picture {
    /// Left, top, width and height.
    pub place: [f64; 4],
    /// Pixels along its sides.
    pub width: usize,
    pub height: usize,
    /// Its pixels' colours, row by row.
    pub pixels: Vec<[u8; 3]>,
}

/// What a figure consists of.
pub struct Drawing {
    /// Where it begins, and how large it is.
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub texts: Vec<Text>,
    pub pictures: Vec<Picture>,
    /// Data and colour (of stroke or fill) of its paths.
    pub paths: Vec<(String, String)>,
    /// Those of its paths that are dashed.
    pub dashed: Vec<(String, String)>,
    pub circles: Vec<Circle>,
}

/// A dot or ring.
#[derive(Clone, Debug)]
pub struct Circle {
    pub x: f64,
    pub y: f64,
    pub radius: f64,
    pub fill: String,
}

/// An attribute of an element, or of the group that it is in.
fn inherited<'a>(node: Node<'a, '_>, attribute: &str) -> Option<&'a str> {
    node.attribute(attribute)
        .or_else(|| node.parent_element()?.attribute(attribute))
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    let text = inherited(node, attribute).unwrap_or_else(|| panic!("{attribute} of {node:?}"));
    text.parse()
        .unwrap_or_else(|_| panic!("{attribute}={text}"))
}

impl Drawing {
    pub fn of(figure: &Figure) -> Self {
        Self::with(figure, Titles::Drawn)
    }

    pub fn with(figure: &Figure, titles: Titles) -> Self {
        let svg = figure.svg(titles);
        let document = Document::parse(&svg).expect("well-formed XML");
        let root = document.root_element();
        let view = root.attribute("viewBox").unwrap().split(' ');
        let view: Vec<f64> = view.map(|side| side.parse().unwrap()).collect();
        let [0.0, top, width, height] = view[..] else {
            panic!("{view:?}");
        };
        let mut drawing = Self {
            top,
            width,
            height,
            texts: Vec::new(),
            pictures: Vec::new(),
            paths: Vec::new(),
            dashed: Vec::new(),
            circles: Vec::new(),
        };
        for node in root.children().filter(Node::is_element) {
            drawing.add(node);
        }
        drawing
    }

    fn add(&mut self, node: Node<'_, '_>) {
        match node.tag_name().name() {
            "text" => self.texts.push(text(node)),
            "image" => self.pictures.push(picture(node)),
            "path" => {
                let colour = inherited(node, "stroke")
                    .or(inherited(node, "fill"))
                    .unwrap();
                let data = node.attribute("d").unwrap();
                let path = (data.to_owned(), colour.to_owned());
                if node.attribute("stroke-dasharray").is_some() {
                    self.dashed.push(path.clone());
                }
                self.paths.push(path);
            }
            "circle" => self.circles.push(Circle {
                x: number(node, "cx"),
                y: number(node, "cy"),
                radius: number(node, "r"),
                fill: inherited(node, "fill").unwrap().to_owned(),
            }),
            "rect" => assert_eq!(node.attribute("fill"), Some("#ffffff")),
            "g" => match node.attribute("transform") {
                Some(place) => self.pictures.push(mirrored(node, place)),
                None => node
                    .children()
                    .filter(Node::is_element)
                    .for_each(|node| self.add(node)),
            },
            other => panic!("<{other}> is not known"),
        }
    }

    pub fn says(&self, text: &str) -> bool {
        self.texts.iter().any(|found| found.text.contains(text))
    }

    /// How many shapes of a colour there are.
    pub fn shapes(&self, colour: &str) -> usize {
        let paths = self.paths.iter().filter(|path| path.1 == colour);
        paths.map(|path| path.0.matches(['M', 'm']).count()).sum()
    }
}

/// The corners of a path, in pixels, each of its parts by itself.
pub fn corners(path: &str) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut rest = path;
    let mut command = 'M';
    let (mut x, mut y) = (0.0, 0.0);
    let next = |rest: &mut &str| -> f64 {
        let trimmed = rest.trim_start();
        let end = trimmed[1..].find([' ', 'm', 'l', 'h', 'v', 'z', '-']);
        let (number, after) = trimmed.split_at(end.map_or(trimmed.len(), |end| end + 1));
        *rest = after;
        number
            .parse()
            .unwrap_or_else(|_| panic!("{number} in {path}"))
    };
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        if let Some(letter) = rest.chars().next().filter(char::is_ascii_alphabetic) {
            command = letter;
            rest = &rest[1..];
        }
        match command {
            'M' | 'm' => {
                (x, y) = (x + next(&mut rest), y + next(&mut rest));
                parts.push(Vec::new());
                command = 'l';
            }
            'l' => (x, y) = (x + next(&mut rest), y + next(&mut rest)),
            'h' => x += next(&mut rest),
            'v' => y += next(&mut rest),
            'z' => {
                (x, y) = parts.last().unwrap()[0];
                continue;
            }
            other => panic!("{other} in {path}"),
        }
        // Tenths, without what adding them up leaves.
        (x, y) = ((x * 10.0).round() / 10.0, (y * 10.0).round() / 10.0);
        parts.last_mut().unwrap().push((x, y));
    }
    parts
}

fn text(node: Node<'_, '_>) -> Text {
    // Subscripts stand in elements of their own.
    let parts = node.descendants().filter(Node::is_text);
    let text: String = parts.filter_map(|part| part.text()).collect();
    let size = number(node, "font-size");
    let weight = match inherited(node, "font-weight") {
        Some(_) => Weight::SemiBold,
        None => Weight::Regular,
    };
    let wide = width(&text, weight, size) * WIDER;
    let (x, y) = (number(node, "x"), number(node, "y"));
    let left = match inherited(node, "text-anchor") {
        None => x,
        Some("middle") => x - wide / 2.0,
        Some("end") => x - wide,
        Some(other) => panic!("{other}"),
    };
    let (above, below) = (0.78 * size, 0.24 * size);
    match node.attribute("transform") {
        None => Text {
            text,
            left,
            top: y - above,
            right: left + wide,
            bottom: y + below,
        },
        Some(turned) => {
            assert_eq!(turned, format!("rotate(-90 {x} {y})"));
            // What was right of the turning point is above it now.
            let from_point = left - x;
            Text {
                text,
                left: x - above,
                top: y - from_point - wide,
                right: x + below,
                bottom: y - from_point,
            }
        }
    }
}

fn picture(node: Node<'_, '_>) -> Picture {
    let (width, height, pixels) = pixels(&png(node));
    Picture {
        place: ["x", "y", "width", "height"].map(|name| number(node, name)),
        width,
        height,
        pixels: pixels.iter().map(|&[r, g, b, _]| [r, g, b]).collect(),
    }
}

/// A picture of which an image has what is below the diagonal.
fn mirrored(group: Node<'_, '_>, place: &str) -> Picture {
    let children: Vec<_> = group.children().filter(Node::is_element).collect();
    let [image, mirror] = children[..] else {
        panic!("{children:?}");
    };
    let name = image.attribute("id").unwrap();
    assert_eq!(mirror.attribute("href"), Some(&format!("#{name}")[..]));
    assert_eq!(mirror.attribute("transform"), Some("matrix(0 1 1 0 0 0)"));
    let place = place
        .strip_prefix("translate(")
        .and_then(|place| place.strip_suffix(')'));
    let place: Vec<f64> = place
        .unwrap()
        .split(' ')
        .map(|at| at.parse().unwrap())
        .collect();
    let (side, _, half) = pixels(&png(image));
    let pixel = |row: usize, column: usize| {
        let [r, g, b, opacity] = half[row.max(column) * side + row.min(column)];
        assert_eq!(opacity, 255);
        [r, g, b]
    };
    Picture {
        place: [
            place[0],
            place[1],
            number(image, "width"),
            number(image, "height"),
        ],
        width: side,
        height: side,
        pixels: (0..side * side)
            .map(|at| pixel(at / side, at % side))
            .collect(),
    }
}

/// The PNG of an image.
fn png(image: Node<'_, '_>) -> Vec<u8> {
    let mut around = image.ancestors();
    assert!(around.any(|node| node.attribute("style") == Some("image-rendering:pixelated")));
    let uri = image.attribute("href").unwrap();
    STANDARD
        .decode(uri.strip_prefix("data:image/png;base64,").unwrap())
        .unwrap()
}

/// Width, height, and colours and opacities of a PNG.
pub fn pixels(png: &[u8]) -> (usize, usize, Vec<[u8; 4]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgba);
    let pixels = bytes
        .chunks_exact(4)
        .map(|p| p.try_into().unwrap())
        .collect();
    (info.width as usize, info.height as usize, pixels)
}
