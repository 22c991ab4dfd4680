//! Requests per second of one client that does not wait for answers.

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Arguments,
    site::{Setup, Site},
    wire,
};
use crate::statistics::Measure;

/// Installed containers.
const CONTAINERS: usize = 100;
/// Lines that are written at once.
const BATCH: usize = 64;
/// How often each kind is measured.
const RUNS: usize = 5;
/// No client is slowed down here.
const OPTIONS: &str = "options = { max_requests_per_sec = 1000000000, \
     max_requests_per_sec_per_peer = 1000000000 }";

/// The request with a number.
type Ask<'a> = &'a dyn Fn(usize) -> String;

pub fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let setup = Setup {
        options: OPTIONS,
        packages: CONTAINERS,
        ..Setup::default()
    };
    let site = Site::start(&arguments.northstar, &arguments.scratch, setup)?;
    let inspect = |number: usize| {
        let container = format!("bench-{:04}:0.0.1", number % CONTAINERS);
        format!("{{\"inspect\":{{\"container\":\"{container}\"}}}}")
    };
    let list = |_: usize| "\"list\"".to_owned();
    let runs: [(&str, bool, Ask<'_>); 4] = [
        ("list", true, &list),
        ("list, in order", false, &list),
        ("inspect", true, &inspect),
        ("inspect, in order", false, &inspect),
    ];
    let mut measures = Vec::new();
    for (name, ids, request) in runs {
        let lines = lines(arguments.requests, ids, request);
        let mut taken = Vec::new();
        for _ in 0..RUNS {
            let before = site.processor()?;
            let elapsed = pipelined(&site, ids, &lines, arguments.requests)?;
            let processor = site.processor()?.saturating_sub(before);
            taken.push(elapsed);
            let rate = arguments.requests as f64 / elapsed.as_secs_f64();
            let each = processor.as_secs_f64() * 1e6 / arguments.requests as f64;
            eprintln!(
                "{name}: {rate:.0} requests/s, {each:.1} us of the daemon's processor time for each"
            );
        }
        let name = format!("{} x {name} of {CONTAINERS}", arguments.requests);
        measures.push(Measure::new(name, &taken));
    }
    site.stop()?;
    Ok(measures)
}

/// Requests as they go over the wire, some at a time.
fn lines(count: usize, ids: bool, request: Ask<'_>) -> Vec<String> {
    let numbers: Vec<usize> = (0..count).collect();
    let batch = |numbers: &[usize]| {
        numbers.iter().fold(String::new(), |mut batch, number| {
            let request = request(*number);
            // Writing into a string does not fail.
            let _ = if ids {
                writeln!(batch, "{{\"id\":{number},\"request\":{request}}}")
            } else {
                writeln!(batch, "{{\"request\":{request}}}")
            };
            batch
        })
    };
    numbers.chunks(BATCH).map(batch).collect()
}

fn pipelined(site: &Site, ids: bool, lines: &[String], count: usize) -> Result<Duration> {
    let connect = if ids {
        wire::CONNECT_IDS
    } else {
        wire::CONNECT
    };
    let wire = wire::unix(&site.socket(), connect)?;
    let (mut reader, mut writer) = (wire.reader, wire.writer);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            lines
                .iter()
                .try_for_each(|batch| writer.write_all(batch.as_bytes()))
        });
        wire::skip(&mut reader, count)?;
        let elapsed = begin.elapsed();
        match writing.join() {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(elapsed)
    })
}
