//! Plots of what grows.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// How something grows.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// How much there is, and what was found then.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What is drawn.
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    /// What there is, and what was found.
    pub(crate) of: &'static str,
    pub(crate) found: &'static str,
    pub(crate) lines: Vec<Line>,
}

const SIZE: (u32, u32) = (720, 400);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 96, 39), RGBColor(44, 140, 80), RGBColor(120, 80, 160)];

impl Plot {
    /// Draws it into a file, in SVG: how much there is on a logarithmic scale.
    pub(crate) fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let least = points().map(|(of, _)| of).fold(f64::MAX, f64::min);
        let most = points().map(|(of, _)| of).fold(0.0, f64::max);
        let highest = points().map(|(_, found)| found).fold(0.0, f64::max);
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(72)
            .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(self.of)
            .y_desc(self.found)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(series.point_size(3))?.label(line.name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
            });
        }
        let labels = &mut chart.configure_series_labels();
        let labels = labels.position(SeriesLabelPosition::LowerRight);
        labels.background_style(WHITE).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}
