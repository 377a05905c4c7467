//! Cost against size, a line a kernel: one plot for each curve.

use anyhow::{Result, anyhow};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::IntoDrawingArea as _,
    element::{Circle, PathElement},
    prelude::SVGBackend,
    series::LineSeries,
    style::{BLACK, Color as _, RGBColor, WHITE},
};

use super::super::{
    GateResult, MeasuredCurve,
    line::{decimal, precise},
    measured::kinds,
};

/// Of a plot, in pixels.
const SIZE: (u32, u32) = (640, 360);
/// Space beyond the largest value; above it is room for the names.
const RIGHT_MARGIN: f64 = 1.05;
const TOP_MARGIN: f64 = 1.4;
/// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008), the baseline's first.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// A drawn plot.
pub struct Plot {
    /// Its file's name.
    pub file: String,
    /// SVG.
    pub svg: String,
}

/// The file's name of a curve's plot.
pub(super) fn file(curve: &MeasuredCurve) -> String {
    format!("{}-{}.svg", curve.curve.action, curve.curve.children)
}

/// All plots.
pub fn draw(result: &GateResult) -> Result<Vec<Plot>> {
    let plots = kinds(&result.kernels()).into_iter().map(|kind| {
        let curves: Vec<(&str, &MeasuredCurve)> = result
            .kernels()
            .into_iter()
            .filter_map(|kernel| {
                let curve = kernel.curve(&kind.subject())?;
                Some((kernel.kernel.as_str(), curve))
            })
            .collect();
        let svg = one(&kind.subject(), &curves)
            .map_err(|error| anyhow!("plot {}: {error}", file(kind)))?;
        Ok(Plot {
            file: file(kind),
            svg,
        })
    });
    plots.collect()
}

/// Every repetition: children, instructions.
fn points(curve: &MeasuredCurve) -> Vec<(f64, f64)> {
    let mut all = Vec::new();
    for point in &curve.curve.points {
        let x = precise(point.children_count);
        all.extend(point.instructions.iter().map(|y| (x, precise(*y))));
    }
    all
}

fn one(subject: &str, curves: &[(&str, &MeasuredCurve)]) -> Result<String, String> {
    let all = || curves.iter().flat_map(|(_, curve)| points(curve));
    let right = all().map(|(x, _)| x).fold(1.0, f64::max) * RIGHT_MARGIN;
    let top = all().map(|(_, y)| y).fold(1.0, f64::max) * TOP_MARGIN;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(said)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(subject, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, 0.0..top)
            .map_err(said)?;
        chart
            .configure_mesh()
            .x_desc("children")
            .y_desc("instructions")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()
            .map_err(said)?;
        for (index, (kernel, curve)) in curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()].to_rgba();
            let line = curve.line;
            let ends = [0.0, right]
                .map(|x| (x, line.instructions_fixed + line.instructions_per_child * x));
            chart
                .draw_series(LineSeries::new(ends, colour.stroke_width(2)))
                .map_err(said)?
                .label(format!(
                    "{kernel}: {} a child",
                    decimal(line.instructions_per_child, 2)
                ))
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            chart
                .draw_series(
                    points(curve)
                        .into_iter()
                        .map(|at| Circle::new(at, 3, colour.filled())),
                )
                .map_err(said)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
            .map_err(said)?;
        area.present().map_err(said)?;
    }
    Ok(svg)
}

#[expect(clippy::needless_pass_by_value, reason = "it is used with map_err")]
fn said(error: impl ToString) -> String {
    error.to_string()
}
