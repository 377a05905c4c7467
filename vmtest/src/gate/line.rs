//! Cost against size as a line.

use serde::Serialize;

use super::Point;

/// A line through the points of a curve, by least squares. Of the repetitions at one size the least counts:
/// an interrupt only adds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its slope.
    pub instructions_per_child: f64,
    /// Where it begins: what does not depend on the number of children.
    pub instructions_fixed: f64,
    /// How far the slopes are apart when each repetition is taken alone.
    pub spread_instructions_per_child: f64,
}

impl Line {
    /// Through these points.
    ///
    /// # Errors
    /// When there are not two sizes, or a size without a repetition.
    pub fn through(points: &[Point]) -> Result<Self, String> {
        let least = points.iter().map(|point| {
            let least = point.instructions.iter().min();
            least
                .map(|least| (precise(point.children_count), precise(*least)))
                .ok_or_else(|| format!("{} children: no repetition", point.children_count))
        });
        let least = least.collect::<Result<Vec<_>, _>>()?;
        let (slope, fixed) = fit(&least).ok_or("fewer than two sizes")?;
        let repeats_count = points.iter().map(|point| point.instructions.len()).min();
        let alone = (0..repeats_count.unwrap_or(0)).filter_map(|repeat| {
            let of = |point: &Point| {
                let x = precise(point.children_count);
                (x, precise(point.instructions[repeat]))
            };
            fit(&points.iter().map(of).collect::<Vec<_>>()).map(|(slope, _)| slope)
        });
        let (low, high) = alone.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), slope| {
            (low.min(slope), high.max(slope))
        });
        Ok(Self {
            instructions_per_child: rounded(slope),
            instructions_fixed: rounded(fixed),
            spread_instructions_per_child: rounded(high - low),
        })
    }
}

/// So many places behind the point, and no sign where it rounds to nothing: a slope of -0.001 is no "-0.00".
pub(super) fn decimal(value: f64, places: usize) -> String {
    format!("{:.places$}", (value * 100.0).round() / 100.0 + 0.0)
}

/// Without what floating point adds.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Slope and intercept.
fn fit(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = precise(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    (below > 0.0).then(|| {
        let slope = above / below;
        (slope, mean_y - slope * mean_x)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "instructions and counts far below 2^53"
)]
pub(super) fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(children_count: u64, instructions: &[u64]) -> Point {
        Point {
            children_count,
            instructions: instructions.to_vec(),
        }
    }

    #[test]
    fn an_interrupt_does_not_bend_the_line_but_is_in_the_spread() {
        let points = [
            point(5_000, &[34_686, 34_686, 34_686]),
            point(10_000, &[64_686, 64_686, 64_686]),
            point(20_000, &[124_686, 140_000, 124_686]),
        ];
        let line = Line::through(&points).expect("a line");
        assert!((line.instructions_per_child - 6.0).abs() < 1e-9, "{line:?}");
        assert!((line.instructions_fixed - 4_686.0).abs() < 1e-6, "{line:?}");
        assert!(
            (0.9..1.2).contains(&line.spread_instructions_per_child),
            "{line:?}"
        );
    }

    #[test]
    fn what_is_no_curve_has_no_line() {
        assert!(Line::through(&[]).is_err());
        assert!(Line::through(&[point(5, &[1]), point(5, &[2])]).is_err());
        assert!(Line::through(&[point(5, &[1]), point(6, &[])]).is_err());
    }
}
