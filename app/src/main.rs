//! The `banyan` binary.

use std::process::ExitCode;

/// A tenth of the time of an order was the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    banyan::cli::main()
}
