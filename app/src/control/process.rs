//! What this process uses, as the kernel counts it.

use std::fs;

/// Clock ticks per second in `/proc`: Linux shows user space a hundred, whatever it uses itself.
const TICKS: f64 = 100.0;

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Memory that is in RAM, in bytes.
    pub(super) resident_bytes: u64,
    /// Address space, in bytes.
    pub(super) virtual_bytes: u64,
    /// Time on a processor, in seconds.
    pub(super) cpu_seconds: f64,
    /// When it started, in seconds since 1970.
    pub(super) start_seconds: f64,
    /// Threads.
    pub(super) threads: u64,
    /// Open files and connections.
    pub(super) open_files: u64,
}

/// What this process uses; `None` where there is no `/proc`.
pub(super) fn usage() -> Option<Usage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    parse(&status, &stat, &boot).map(|usage| Usage { open_files, ..usage })
}

fn parse(status: &str, stat: &str, boot: &str) -> Option<Usage> {
    let line = |name: &str| {
        status
            .lines()
            .find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
    };
    // The second field is the program's name in parentheses and may hold anything: fields are counted from its end.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |nth: usize| fields.get(nth - 3)?.parse::<f64>().ok();
    let booted = boot
        .lines()
        .find_map(|l| l.strip_prefix("btime ")?.trim().parse::<f64>().ok())?;
    Some(Usage {
        resident_bytes: line("VmRSS:")? << 10,
        virtual_bytes: line("VmSize:")? << 10,
        cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
        start_seconds: booted + ticks(22)? / TICKS,
        threads: line("Threads:")?,
        open_files: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_no_trouble() {
        let status = "Name:\ta b\nVmSize:\t  2048 kB\nVmRSS:\t     512 kB\nThreads:\t7\n";
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 3000 2097152 128";
        let usage = parse(status, stat, "cpu  1 2 3\nbtime 1000\n").unwrap();
        let want = Usage {
            resident_bytes: 512 << 10,
            virtual_bytes: 2 << 20,
            cpu_seconds: 2.0,
            start_seconds: 1030.0,
            threads: 7,
            open_files: 0,
        };
        assert_eq!(usage, want);
        assert_eq!(parse("", stat, ""), None);
    }
}
