//! Rows out of samples, in an order.

use std::{cmp::Ordering, collections::HashMap, time::Duration};

use clap::ValueEnum;
use northstar_api::Container;

use super::sample::{Sample, Usage};

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Name and version.
    Name,
    /// CPU time since the last update.
    #[default]
    Cpu,
    /// Memory in use.
    Memory,
    /// Processes and threads.
    Pids,
    /// Starts after the first one.
    Restarts,
    /// Time since the start.
    Uptime,
}

/// A container as it is shown. `None` is what is not known, or does not apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub container: Container,
    pub state: State,
    /// Percent of one CPU.
    pub cpu: Option<f64>,
    /// In bytes.
    pub memory: Option<u64>,
    /// In bytes.
    pub peak: Option<u64>,
    pub pids: Option<u64>,
    pub restarts: Option<u64>,
    pub uptime: Option<Duration>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Mounted,
    Installed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Mounted => "mounted",
            State::Installed => "installed",
        }
    }
}

/// The rows, their order, and the chosen one.
#[derive(Debug, Default)]
pub struct Model {
    last: Option<Sample>,
    rows: Vec<Row>,
    sort: Sort,
    is_inverted: bool,
    selected: Option<Container>,
}

impl Model {
    pub fn new(sort: Sort) -> Model {
        Model {
            sort,
            ..Model::default()
        }
    }

    /// Takes a new sample.
    pub fn update(&mut self, sample: Sample) {
        let last = self.last.as_ref();
        let elapsed = last.map(|last| sample.at.saturating_duration_since(last.at));
        let before: HashMap<&Container, &Usage> = last
            .iter()
            .flat_map(|sample| &sample.containers)
            .map(|usage| (&usage.container, usage))
            .collect();
        self.rows = sample
            .containers
            .iter()
            .map(|usage| row(usage, before.get(&usage.container).copied(), elapsed))
            .collect();
        self.last = Some(sample);
        self.order();
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn sort(&self) -> Sort {
        self.sort
    }

    /// Orders by `sort`; the same one again inverts the order.
    pub fn sort_by(&mut self, sort: Sort) {
        self.is_inverted = sort == self.sort && !self.is_inverted;
        self.sort = sort;
        self.order();
    }

    fn order(&mut self) {
        let (sort, is_inverted) = (self.sort, self.is_inverted);
        self.rows.sort_by(|a, b| {
            let order = compare(sort, a, b);
            let order = if is_inverted { order.reverse() } else { order };
            order.then_with(|| a.container.cmp(&b.container))
        });
    }

    /// Which row is chosen. It stays with its container when the order changes.
    pub fn selected(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|row| row.container == *selected)
    }

    /// The chosen row.
    pub fn chosen(&self) -> Option<&Row> {
        self.rows.get(self.selected()?)
    }

    /// Moves the choice by some rows.
    pub fn select(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        let next = match self.selected() {
            Some(at) => at.saturating_add_signed(by).min(last),
            None if by < 0 => last,
            None => 0,
        };
        self.selected = self.rows.get(next).map(|row| row.container.clone());
    }
}

/// The largest first, and what is not known last; names in their order.
fn compare(sort: Sort, a: &Row, b: &Row) -> Ordering {
    match sort {
        Sort::Name => a.container.cmp(&b.container),
        Sort::Cpu => b.cpu.unwrap_or(-1.0).total_cmp(&a.cpu.unwrap_or(-1.0)),
        Sort::Memory => b.memory.cmp(&a.memory),
        Sort::Pids => b.pids.cmp(&a.pids),
        Sort::Restarts => b.restarts.cmp(&a.restarts),
        Sort::Uptime => b.uptime.cmp(&a.uptime),
    }
}

fn row(usage: &Usage, before: Option<&Usage>, elapsed: Option<Duration>) -> Row {
    let process = usage.process.as_ref();
    let state = match process {
        Some(_) => State::Running,
        None if usage.mounted => State::Mounted,
        None => State::Installed,
    };
    Row {
        container: usage.container.clone(),
        state,
        cpu: elapsed.and_then(|elapsed| cpu(usage, before?, elapsed)),
        memory: process.and_then(|process| process.memory_usage()),
        peak: process.and_then(|process| process.memory_peak()),
        pids: process.and_then(|process| process.pids()),
        restarts: usage.starts.map(|starts| starts.saturating_sub(1)),
        uptime: process.map(|process| Duration::from_nanos(process.uptime)),
    }
}

/// Percent of one CPU between two samples of the same process.
#[allow(
    clippy::cast_precision_loss,
    reason = "a percentage is no exact number"
)]
fn cpu(now: &Usage, before: &Usage, elapsed: Duration) -> Option<f64> {
    let (now, before) = (now.process.as_ref()?, before.process.as_ref()?);
    // Another process has counters of its own.
    if now.pid != before.pid {
        return None;
    }
    let used = now.cpu_usage_us()?.checked_sub(before.cpu_usage_us()?)?;
    let elapsed = elapsed.as_micros();
    (elapsed > 0).then(|| used as f64 / elapsed as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn usage(name: &str, pid: u32, cpu: u64, memory: u64, starts: u64) -> Usage {
        let process = (pid > 0).then(|| {
            let text = format!(
                r#"{{"pid":{pid},"uptime":{pid}000000000,"statistics":{{"cpu":{{"usage_us":{cpu}}},"memory":{{"usage":{memory},"peak":{memory}}},"pids":{{"current":{pid}}}}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        });
        Usage {
            container: format!("{name}:0.0.1").parse().unwrap(),
            mounted: name == "m",
            starts: Some(starts),
            process,
        }
    }

    fn names(model: &Model) -> String {
        model
            .rows()
            .iter()
            .map(|row| row.container.name().to_string())
            .collect()
    }

    fn model() -> Model {
        let at = Instant::now();
        let mut model = Model::new(Sort::Cpu);
        model.update(Sample {
            at,
            containers: vec![
                usage("a", 1, 1000, 30, 1),
                usage("b", 2, 1000, 20, 5),
                usage("c", 3, 1000, 10, 2),
                usage("m", 0, 0, 0, 0),
            ],
        });
        model.update(Sample {
            at: at + Duration::from_secs(2),
            containers: vec![
                usage("a", 1, 1000, 30, 1),
                usage("b", 2, 1_001_000, 20, 5),
                // Started again: its counters began anew.
                usage("c", 4, 9_000_000, 10, 3),
                usage("m", 0, 0, 0, 0),
            ],
        });
        model
    }

    #[test]
    fn cpu_is_the_share_between_two_samples() {
        let model = model();
        let cpu = |name: &str| {
            let row = model
                .rows()
                .iter()
                .find(|row| row.container.name().as_ref() == name);
            row.unwrap().cpu
        };
        assert_eq!(cpu("a"), Some(0.0));
        assert_eq!(cpu("b"), Some(50.0));
        assert_eq!(cpu("c"), None);
        assert_eq!(cpu("m"), None);
    }

    #[test]
    fn rows_are_ordered_and_inverted() {
        let mut model = model();
        assert_eq!(names(&model), "bacm");
        for (sort, order, inverted) in [
            (Sort::Memory, "abcm", "mcba"),
            (Sort::Pids, "cbam", "mabc"),
            (Sort::Restarts, "bcam", "amcb"),
            (Sort::Uptime, "cbam", "mabc"),
            (Sort::Name, "abcm", "mcba"),
        ] {
            model.sort_by(sort);
            assert_eq!(names(&model), order, "{sort:?}");
            model.sort_by(sort);
            assert_eq!(names(&model), inverted, "{sort:?}");
        }
    }

    #[test]
    fn the_choice_stays_with_its_container() {
        let mut model = model();
        assert_eq!(model.selected(), None);
        model.select(1);
        model.select(1);
        assert_eq!(model.chosen().unwrap().container.name().as_ref(), "a");
        model.sort_by(Sort::Name);
        assert_eq!(model.selected(), Some(0));
        model.select(-1);
        assert_eq!(model.selected(), Some(0));
        model.select(100);
        assert_eq!(model.selected(), Some(3));
    }

    #[test]
    fn rows_tell_what_is_known() {
        let model = model();
        let row = |name: &str| {
            let row = model
                .rows()
                .iter()
                .find(|row| row.container.name().as_ref() == name);
            row.unwrap().clone()
        };
        let b = row("b");
        assert_eq!(
            (b.state, b.memory, b.pids, b.restarts),
            (State::Running, Some(20), Some(2), Some(4))
        );
        assert_eq!(b.uptime, Some(Duration::from_secs(2)));
        let m = row("m");
        assert_eq!(
            (m.state, m.memory, m.uptime, m.restarts),
            (State::Mounted, None, None, Some(0))
        );
    }
}
