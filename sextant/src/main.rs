//! The program `sextant`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sextant::main()
}
