//! The `banyan` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    banyan::cli::main()
}
