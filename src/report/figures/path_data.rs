//! The data of an SVG path, written as short as it can be.

use plotters_backend::BackendCoord;

/// Data of a path, whose points are in units of a tenth of a pixel.
#[derive(Default)]
pub(super) struct PathData {
    data: String,
    /// Where the part that was begun last begins, and where the pen is; `None` before the first.
    begin: BackendCoord,
    at: Option<BackendCoord>,
    /// The command of the last number, which need not be written again.
    command: char,
}

impl PathData {
    /// The attribute's text.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Lines from point to point. Points within a level or an upright stretch are left out.
    pub fn polyline(&mut self, points: impl IntoIterator<Item = BackendCoord>) {
        let mut points = points.into_iter().peekable();
        let Some(mut last) = points.next() else {
            return;
        };
        self.begin(last);
        while let Some(point) = points.next() {
            if points
                .peek()
                .is_some_and(|&next| goes_on(last, point, next))
            {
                continue;
            }
            self.line_to(point);
            last = point;
        }
    }

    /// A rectangle between two corners.
    pub fn rectangle(&mut self, (left, top): BackendCoord, (right, bottom): BackendCoord) {
        self.polyline([(left, top), (right, top), (right, bottom), (left, bottom)]);
        self.close();
    }

    /// A line back to where the part begins.
    pub fn close(&mut self) {
        self.write('z', &[]);
        self.at = self.at.map(|_| self.begin);
    }

    /// Lifts the pen.
    fn begin(&mut self, point: BackendCoord) {
        match self.at {
            None => self.write('M', &[point.0, point.1]),
            Some(at) => self.write('m', &[point.0 - at.0, point.1 - at.1]),
        }
        self.begin = point;
        self.at = Some(point);
    }

    fn line_to(&mut self, point: BackendCoord) {
        let at = self.at.expect("a part is begun before its lines");
        match (point.0 - at.0, point.1 - at.1) {
            (across, 0) => self.write('h', &[across]),
            (0, down) => self.write('v', &[down]),
            (across, down) => self.write('l', &[across, down]),
        }
        self.at = Some(point);
    }

    fn write(&mut self, command: char, numbers: &[i32]) {
        // Numbers after those of `m` are lines, and `z` has none.
        let is_implied = self.command == command && !matches!(command, 'M' | 'm' | 'z');
        if !is_implied {
            self.data.push(command);
        }
        for (place, &number) in numbers.iter().enumerate() {
            if number >= 0 && (place > 0 || is_implied) {
                self.data.push(' ');
            }
            self.data.push_str(&units(number));
        }
        self.command = command;
    }
}

/// Whether three points are on a level or upright line, in this order.
fn goes_on(from: BackendCoord, over: BackendCoord, to: BackendCoord) -> bool {
    let between = |from: i32, over: i32, to: i32| {
        (from <= over && over <= to) || (from >= over && over >= to)
    };
    (from.1 == over.1 && over.1 == to.1 && between(from.0, over.0, to.0))
        || (from.0 == over.0 && over.0 == to.0 && between(from.1, over.1, to.1))
}

/// A number of units in pixels.
pub(super) fn units(number: i32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let (whole, tenth) = (number.unsigned_abs() / 10, number.unsigned_abs() % 10);
    match tenth {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{tenth}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_written() {
        let mut path = PathData::default();
        path.polyline([(0, 0), (5, 12)]);
        path.polyline([(7, 0), (6, 20), (6, 31), (6, 33), (26, 33), (20, 33)]);
        path.rectangle((0, 0), (10, 25));
        path.rectangle((12, 0), (22, 25));
        path.polyline([(3, 3), (4, 4), (2, 5), (1, 7)]);
        assert_eq!(
            path.data(),
            "M0 0l0.5 1.2m0.2-1.2l-0.1 2v1.3h2-0.6m-2-3.3h1v2.5h-1zm1.2 0h1v2.5h-1zm-0.9 0.3l0.1 0.1-0.2 0.1-0.1 0.2"
        );
    }
}
