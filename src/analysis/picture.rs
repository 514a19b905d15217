//! Kernels as pictures.

use std::ops::Range;

use crate::weight::{ConvWeight, Element, Rows, with_element};

use super::{Pair, Relation};

/// Pairs of each relation that are pictured.
const PAIRS: usize = 2;

/// A kernel as a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelPicture {
    /// Pixels along the kernel's last axis.
    pub width: usize,
    /// Pixels along the axis before it; 1 for kernels of one axis.
    pub height: usize,
    /// Row by row, for every pixel one number for each colour.
    pub values: Vec<f32>,
    /// 1, or 3 for the red, green and blue input channels.
    pub colours: usize,
}

/// Two kernels side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct PairPicture {
    /// What they are an example of.
    pub relation: Relation,
    /// Which they are.
    pub pair: Pair,
    /// Their pictures.
    pub pictures: [KernelPicture; 2],
    /// What a pixel shows, for the caption: for example `mean over 64 input channels`.
    pub shows: String,
}

/// How kernels of a weight become pictures.
struct Camera {
    channels: usize,
    /// Positions along all axes but the last two, which are averaged.
    slices: usize,
    height: usize,
    width: usize,
}

impl PairPicture {
    /// Of the first few pairs of each relation, none twice; of none where kernels have no spatial extent.
    pub(super) fn of(
        weight: &ConvWeight<'_>,
        rows: &Rows<'_>,
        pairs: [(Relation, &[Pair]); 3],
    ) -> Vec<Self> {
        let Some(camera) = Camera::new(weight) else {
            return Vec::new();
        };
        let mut pictures: Vec<Self> = Vec::new();
        for (relation, pairs) in pairs {
            let mut left = PAIRS;
            for pair in pairs {
                let is_known = |other: &Self| other.pair.kernels == pair.kernels;
                if left > 0 && !pictures.iter().any(is_known) {
                    left -= 1;
                    pictures.push(Self {
                        relation,
                        pair: *pair,
                        pictures: pair.kernels.map(|kernel| camera.picture(rows, kernel)),
                        shows: camera.shows(),
                    });
                }
            }
        }
        pictures
    }
}

impl Camera {
    /// `None` where kernels have no spatial extent.
    fn new(weight: &ConvWeight<'_>) -> Option<Self> {
        let spatial = weight.tensor().shape.get(2..)?;
        if spatial.iter().all(|&extent| extent <= 1) {
            return None;
        }
        let (others, plane) = spatial.split_at(spatial.len().saturating_sub(2));
        let (width, heights) = plane.split_last()?;
        let positions: usize = spatial.iter().product();
        Some(Self {
            channels: weight.layout().kernel_len() / positions,
            slices: others.iter().product(),
            height: heights.iter().product(),
            width: *width,
        })
    }

    fn colours(&self) -> usize {
        match self.channels {
            3 => 3,
            _ => 1,
        }
    }

    fn picture(&self, rows: &Rows<'_>, kernel: usize) -> KernelPicture {
        let row = rows.row(kernel);
        let numbers: Vec<f64> = with_element!(rows.float(), E => row
            .chunks_exact(E::SIZE)
            .map(|x| E::read(x).widen())
            .collect());
        let pixels = self.height * self.width;
        let planes: Vec<&[f64]> = numbers.chunks_exact(pixels).collect();
        let mean = |planes: Range<usize>, pixel: usize, all: &[&[f64]]| {
            let count = planes.len() as f64;
            // Each by itself, so that no sum is beyond float64.
            let parts = all[planes].iter().map(|plane| plane[pixel] / count);
            parts.sum::<f64>() as f32
        };
        let colours = self.colours();
        let planes_of_colour = planes.len() / colours;
        let values = (0..pixels).flat_map(|pixel| {
            let planes = &planes;
            (0..colours).map(move |colour| {
                let start = colour * planes_of_colour;
                mean(start..start + planes_of_colour, pixel, planes)
            })
        });
        KernelPicture {
            width: self.width,
            height: self.height,
            values: values.collect(),
            colours,
        }
    }

    fn shows(&self) -> String {
        let Self {
            channels, slices, ..
        } = *self;
        match (channels, slices) {
            (1, 1) => "its one input channel".to_owned(),
            (1, _) => format!("mean over {slices} slices of its one input channel"),
            (3, 1) => "red, green and blue input channels".to_owned(),
            (3, _) => format!("red, green and blue input channels, mean over {slices} slices"),
            (_, 1) => format!("mean over {channels} input channels"),
            _ => format!("mean over {channels} input channels and {slices} slices"),
        }
    }
}
