//! The binary itself, as it is called. Being a test of this package it also makes cargo build `banyan`, which the system tests start.

use std::process::Command;

#[test]
fn version_is_printed_to_stdout() {
    let output = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .arg("--version")
        .output()
        .expect("banyan can be started");
    assert!(
        output.status.success(),
        "exit status {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        concat!("banyan ", env!("CARGO_PKG_VERSION"))
    );
}
