//! Numbers as tables: printed, and kept for `docs/benchmarks/`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::peers::Peer;
use crate::place::Place;

/// What was measured.
pub struct Report {
    text: String,
    /// Names and values of the plot, in microseconds.
    pub bars: Vec<(String, f64)>,
}

impl Report {
    pub fn new(place: &Place) -> Self {
        let size = std::fs::metadata(&place.ringfence).unwrap().len();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let machine = if cpu.contains(" hypervisor") { "a virtual machine" } else { "a machine" };
        let mut report = Self { text: String::new(), bars: Vec::new() };
        report.line(&format!(
            "Measured on {machine} with {cores} processors, Linux {}, with a binary of {:.2} MiB. Times are those of one \
             machine on one day; the ratios are what counts.",
            kernel.trim(),
            size as f64 / f64::from(1 << 20)
        ));
        report
    }

    pub fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub fn heading(&mut self, text: &str) {
        self.line(&format!("\n## {text}\n"));
    }

    /// A table; the first column is words, the rest is numbers.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.line(&format!("| {} |", head.join(" | ")));
        self.line(&format!("|---{}|", "|--:".repeat(head.len() - 1)));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
    }

    /// Medians of what was measured of each kind inside of each peer, and the ratios to the first one's.
    pub fn ratios(&mut self, kinds: &[&str], peers: &[&Peer], times: &[Vec<Vec<f64>>]) {
        let outside: Vec<_> = times[0].iter().map(|times| median(times)).collect();
        let cell = |(times, outside): (&Vec<f64>, &f64)| match times.as_slice() {
            [] => "-".to_owned(),
            times => format!("{:.1} ({:.2})", median(times), median(times) / outside),
        };
        let row = |(peer, times): (&&Peer, &Vec<Vec<f64>>)| {
            [peer.name.to_owned()].into_iter().chain(times.iter().zip(&outside).map(cell)).collect()
        };
        let rows: Vec<_> = peers.iter().zip(times).map(row).collect();
        self.table(&[&[""], kinds].concat(), &rows);
    }

    /// Into the documentation.
    pub fn write(&self) {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks");
        std::fs::create_dir_all(&directory).unwrap();
        let mut page = String::from("# Benchmarks\n\n`just bench` writes this page. ");
        page.push_str("![medians of a start](start.svg)\n\n");
        writeln!(page, "{}", self.text.trim_end()).unwrap();
        std::fs::write(directory.join("README.md"), page).unwrap();
        std::fs::write(directory.join("start.svg"), crate::plot::bars(&self.bars)).unwrap();
    }
}

/// The value below which so many percent lie.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}
