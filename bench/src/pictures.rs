//! Pictures of runs, as SVG: throughput over time, latencies, throughput by number of workers.

use crate::latency::Quantiles;
use crate::report::Report;
use anyhow::anyhow;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const SIZE: (u32, u32) = (900, 420);

/// A line: its name and its points.
type Line = (String, Vec<(f64, f64)>);

/// Which latencies of a run.
type Which = fn(&Report) -> Option<&Quantiles>;

/// Writes the pictures of these runs into a folder.
pub(crate) fn write(reports: &[Report], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let speed: Vec<Line> = reports.iter().map(|r| (name(r), throughput(r))).collect();
    lines(&folder.join("throughput.svg"), ["throughput over time", "seconds", "million clicks/s"], &speed)?;
    let kinds: [(&str, &str, Which); 2] = [
        ("freshness.svg", "from when a click was due to when a subscriber had its changes", |r| {
            r.freshness_ms.as_ref()
        }),
        ("peek.svg", "point queries", |r| r.peek_ms.as_ref()),
    ];
    for (file, title, which) in kinds {
        if let Some(quantiles) = reports.iter().rev().find_map(which) {
            histogram(&folder.join(file), title, quantiles)?;
        }
    }
    let mut by_workers: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for report in reports {
        let workers = report.run.workers * report.run.processes;
        by_workers.entry(workers).or_default().push(report.clicks_per_s as f64 / 1e6);
    }
    if by_workers.len() > 1 {
        let median = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let points: Vec<(f64, f64)> = by_workers.into_iter().map(|(w, all)| (w as f64, median(all))).collect();
        let even = points.iter().map(|p| (p.0, p.0 * points[0].1 / points[0].0)).collect();
        let both = [("measured".to_owned(), points), ("in proportion".to_owned(), even)];
        lines(&folder.join("scaling.svg"), ["scaling", "workers of all processes", "million clicks/s"], &both)?;
    }
    Ok(())
}

fn name(report: &Report) -> String {
    let rate = report.run.rate.map_or(String::new(), |r| format!(", {r}/s"));
    format!("{} × {} workers{rate}", report.run.processes, report.run.workers)
}

/// Million clicks a second between looks about half a second apart.
fn throughput(report: &Report) -> Vec<(f64, f64)> {
    let samples = &report.samples;
    let apart = (samples.len() / 100).clamp(1, 5);
    let ends = samples.iter().step_by(apart).zip(samples.iter().skip(apart).step_by(apart));
    ends.map(|(a, b)| (b.seconds, b.records.saturating_sub(a.records) as f64 / 1e6 / (b.seconds - a.seconds).max(1e-6)))
        .collect()
}

fn lines(file: &Path, [title, x, y]: [&str; 3], all: &[Line]) -> anyhow::Result<()> {
    let points = || all.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max).max(1e-3) * 1.05;
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..most(|p| p.0), 0.0..most(|p| p.1))?;
        chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
        for (i, (name, points)) in all.iter().enumerate() {
            let style = Palette99::pick(i).stroke_width(2);
            let series = chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(2))?;
            series.label(name.as_str()).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|e| anyhow!("cannot draw {}: {e}", file.display()))
}

fn histogram(file: &Path, title: &str, quantiles: &Quantiles) -> anyhow::Result<()> {
    let bars = &quantiles.buckets;
    let width = quantiles.max / 60.0;
    let most = bars.iter().map(|b| b.1).max().unwrap_or(1) as f64 * 100.0 / quantiles.count as f64;
    let caption = format!(
        "{title}: p50 {:.1}, p90 {:.1}, p99 {:.1}, max {:.1} ms",
        quantiles.p50, quantiles.p90, quantiles.p99, quantiles.max
    );
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(caption, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..quantiles.max.max(1e-3), 0.0..most * 1.05)?;
        chart.configure_mesh().x_desc("milliseconds").y_desc("% of all").light_line_style(WHITE).draw()?;
        chart.draw_series(bars.iter().map(|(to, count)| {
            let share = *count as f64 * 100.0 / quantiles.count as f64;
            Rectangle::new([((to - width).max(0.0), 0.0), (*to, share)], BLUE.mix(0.6).filled())
        }))?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|e| anyhow!("cannot draw {}: {e}", file.display()))
}
