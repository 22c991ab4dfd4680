//! What was measured, and where.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::statistics::{Measure, Summary};

/// Everything that is known about one run.
#[derive(Debug, Serialize)]
pub struct Report {
    kernel: String,
    processor: String,
    processors: usize,
    virtual_machine: bool,
    /// What was measured.
    about: String,
    /// All in milliseconds.
    measures: Vec<Measure>,
}

impl Report {
    /// Adds what is known about this machine.
    pub fn new(about: String, measures: Vec<Measure>) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let information = read("/proc/cpuinfo");
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: processor.to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            virtual_machine: information.contains("hypervisor"),
            about,
            measures,
        }
    }

    /// Writes everything as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = if self.virtual_machine {
            "virtual machine"
        } else {
            "hardware"
        };
        writeln!(
            f,
            "Linux {} on {} x {} ({machine}), {}; milliseconds\n",
            self.kernel, self.processors, self.processor, self.about
        )?;
        let heads = ["runs", "min", "p10", "median", "p90", "p99", "max"];
        write!(f, "{:44}", "")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>9}"))?;
        writeln!(f)?;
        for Measure { name, summary, .. } in &self.measures {
            let Summary {
                runs,
                min,
                p10,
                median,
                p90,
                p99,
                max,
            } = summary;
            write!(f, "{name:44}{runs:>9}")?;
            [min, p10, median, p90, p99, max]
                .iter()
                .try_for_each(|value| write!(f, "{value:>9.2}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
