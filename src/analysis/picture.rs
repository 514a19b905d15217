//! Kernels as pictures.

use std::ops::Range;

use crate::weight::{ConvWeight, Element, Rows, with_element};

use super::{Pair, Relation};

/// Pairs of each relation that are pictured.
const PAIRS: usize = 3;

/// Pixels along a side of a picture at most; of larger kernels some become one, their mean.
const PIXELS: usize = 64;

/// A kernel as a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelPicture {
    /// Pixels along the kernel's last axis, 64 at most.
    pub width: usize,
    /// Pixels along the axis before it; 1 for kernels of one axis.
    pub height: usize,
    /// Row by row, for every pixel one number for each colour, on a scale that the pictures of a pair share: the greatest
    /// magnitude of both is 1.
    pub values: Vec<f32>,
    /// 1, or 3 for the red, green and blue input channels.
    pub colours: usize,
}

/// Two kernels side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct PairPicture {
    /// What they are an example of.
    pub relation: Relation,
    pub pair: Pair,
    pub pictures: [KernelPicture; 2],
    /// What a pixel shows, for the caption: for example `mean over 64 input channels`.
    pub shows: String,
}

/// How kernels of a weight become pictures.
struct Camera {
    channels: usize,
    /// Whether the channels of one position are neighbours, rather than the positions of one channel.
    channels_last: bool,
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
                        pictures: camera.pictures(rows, pair.kernels),
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
        let shape = &weight.tensor().shape;
        let spatial = if weight.is_channels_last() {
            shape.get(1..shape.len().checked_sub(1)?)?
        } else {
            shape.get(2..)?
        };
        if spatial.iter().all(|&extent| extent <= 1) {
            return None;
        }
        let (others, plane) = spatial.split_at(spatial.len().saturating_sub(2));
        let (width, heights) = plane.split_last()?;
        let positions: usize = spatial.iter().product();
        Some(Self {
            channels: weight.layout().kernel_len() / positions,
            channels_last: weight.is_channels_last(),
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

    fn pictures(&self, rows: &Rows<'_>, kernels: [usize; 2]) -> [KernelPicture; 2] {
        let values = kernels.map(|kernel| self.values(rows, kernel));
        let magnitudes = values.iter().flatten().map(|value| value.abs());
        let greatest = magnitudes.fold(0.0, f64::max);
        let scale = if greatest > 0.0 { greatest } else { 1.0 };
        let [width, height] = [self.width, self.height].map(|side| side.min(PIXELS));
        values.map(|values| KernelPicture {
            width,
            height,
            values: values.iter().map(|value| (value / scale) as f32).collect(),
            colours: self.colours(),
        })
    }

    fn values(&self, rows: &Rows<'_>, kernel: usize) -> Vec<f64> {
        let row = rows.row(kernel);
        let numbers: Vec<f64> = with_element!(rows.float(), E => row
            .chunks_exact(E::SIZE)
            .map(|x| E::read(x).widen())
            .collect());
        let numbers = if self.channels_last {
            let channels = 0..self.channels;
            channels
                .flat_map(|channel| numbers.iter().skip(channel).step_by(self.channels))
                .copied()
                .collect()
        } else {
            numbers
        };
        let pixels = self.height * self.width;
        let planes: Vec<&[f64]> = numbers.chunks_exact(pixels).collect();
        let mean = |planes: Range<usize>, pixel: usize, all: &[&[f64]]| {
            let count = planes.len() as f64;
            // Each by itself, so that no sum is beyond float64.
            let parts = all[planes].iter().map(|plane| plane[pixel] / count);
            parts.sum::<f64>()
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
        self.reduced(values.collect())
    }

    /// With [`PIXELS`] along a side at most, each the mean of those in its place.
    fn reduced(&self, values: Vec<f64>) -> Vec<f64> {
        let [width, height] = [self.width, self.height].map(|side| side.min(PIXELS));
        if (width, height) == (self.width, self.height) {
            return values;
        }
        let colours = self.colours();
        let mut means = vec![0.0; height * width * colours];
        // Each mean gains its share of one more number, so that no sum is beyond float64.
        let mut counts = vec![0u32; means.len()];
        for (place, value) in values.into_iter().enumerate() {
            let (pixel, colour) = (place / colours, place % colours);
            let (y, x) = (pixel / self.width, pixel % self.width);
            let (y, x) = (y * height / self.height, x * width / self.width);
            let to = (y * width + x) * colours + colour;
            counts[to] += 1;
            means[to] += (value - means[to]) / f64::from(counts[to]);
        }
        means
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
