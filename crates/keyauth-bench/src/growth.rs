//! How figures grow with what there is: tables on screen, and plots of them.

use std::fs;
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::bench::Bench;
use crate::data;
use crate::fixture::with_limits;
use crate::plot::{Line, Plot};
use crate::rows::{layer, server, store};

/// Measures all that grows, prints it, and draws it into a folder.
pub(crate) fn measure(bench: &Bench, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    tell(&folder.join("keys.svg"), &keys(bench));
    tell(&folder.join("limits.svg"), &limits(bench));
    tell(&folder.join("connections.svg"), &connections(bench));
    match misses(bench) {
        Some(plot) => tell(&folder.join("misses.svg"), &plot),
        None => println!("misses are not measured: the keys are made by `just bench-data`"),
    }
}

fn tell(file: &Path, plot: &Plot) {
    println!("\n{}, {}\n{}", plot.title, plot.found, table(plot));
    plot.draw(file).expect("a picture");
}

fn keys(bench: &Bench) -> Plot {
    let found = [1_000, 10_000, 100_000, 1_000_000].map(|count| {
        let rounds = layer::hits(bench, count);
        let ours = rounds.median(|[bare, ours, _]| ours - bare);
        (count as f64, [ours, rounds.median(|[bare, _, theirs]| theirs - bare)])
    });
    Plot {
        title: "What a request with a cached key costs besides the service",
        of: "keys in the cache, brought in random order",
        found: "ns",
        lines: lines(["the layer, with a limit", "by hand"], &found),
    }
}

fn limits(bench: &Bench) -> Plot {
    let found = [1, 4, 16, 64].map(|count| {
        let rounds = layer::beside_plain(bench, move |number| with_limits(number, count));
        (count as f64, [rounds.median(|[bare, ours, _]| ours - bare)])
    });
    Plot {
        title: "What a request with a cached key costs besides the service, 1000 keys",
        of: "limits of each key",
        found: "ns",
        lines: lines(["the layer"], &found),
    }
}

fn connections(bench: &Bench) -> Plot {
    let found = [1, 4, 16, 64].map(|count| {
        let rounds = server::layered(bench, count, bench.rounds(8));
        let rate = |at: usize| rounds.median(|times| 1e9 / times[at]);
        (count as f64, [rate(0), rate(1), rate(2), rate(3)])
    });
    let names = ["the layer", "a layer that does nothing", "a layer by hand", "no layer"];
    Plot {
        title: "What an axum server on one thread answers",
        of: "connections",
        found: "requests a second",
        lines: lines(names, &found),
    }
}

fn misses(bench: &Bench) -> Option<Plot> {
    let rounds = store::misses(bench)?;
    let mut found = data::COUNTS.map(|count| (count as f64, [0.0]));
    // The most come first there.
    for (at, (_, [found])) in found.iter_mut().rev().enumerate() {
        *found = rounds.median(|times| times[at]) / 1e3;
    }
    Some(Plot {
        title: "What it takes to find a key that nobody has cached",
        of: "keys in PostgreSQL",
        found: "µs",
        lines: lines(["a miss"], &found),
    })
}

fn lines<const N: usize>(names: [&'static str; N], found: &[(f64, [f64; N])]) -> Vec<Line> {
    let line = |(at, name)| Line {
        name,
        points: found.iter().map(|(of, found)| (*of, found[at])).collect(),
    };
    names.into_iter().enumerate().map(line).collect()
}

fn table(plot: &Plot) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([plot.of].into_iter().chain(plot.lines.iter().map(|line| line.name)));
    for row in 0..plot.lines[0].points.len() {
        let of = plot.lines[0].points[row].0;
        let found = plot.lines.iter().map(|line| format!("{:.0}", line.points[row].1));
        table.add_row([format!("{of}")].into_iter().chain(found));
    }
    table
}
