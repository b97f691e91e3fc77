//! The catalog once more, in Python (`tests/candidate`), registered with the monolith: a candidate in another language.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    System, holds_soon,
    system::{START, signal},
};

/// A running one, killed when it is dropped.
pub struct PythonCatalog {
    process: Child,
}

impl PythonCatalog {
    /// Whether there is a `python3` to run it. When there is none, that is said loudly.
    pub fn can_run(test: &str) -> bool {
        let asked = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
        let found = asked.is_ok_and(|status| status.success());
        if !found {
            println!("SKIPPED (there is no python3): {test}");
        }
        found
    }

    /// Starts one with these further arguments and waits until the monolith knows it, and it knows the catalog.
    ///
    /// # Panics
    /// When it does not start; what it said is in `python.log` in the system's folder.
    pub async fn start(system: &System, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("candidate/catalog.py");
        let log = || {
            let path = system.folder().join("python.log");
            fs::File::options().create(true).append(true).open(path).expect("a log")
        };
        let process = Command::new("python3")
            .arg("-B")
            .arg(script)
            .args(["--monolith", &system.internal()])
            // Each has a file of its own, which it fills from the catalog's log.
            .args(["--file", &format!("python-{}.sqlite", crate::office::id())])
            .args(more)
            .env("BANYAN_JOIN_TOKEN", system.join_token())
            .current_dir(system.folder())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("python3 starts");
        let candidate = Self { process };
        let pid = u64::from(candidate.process.id());
        holds_soon("the candidate is registered and healthy", START, || async move {
            system.healthy_pids("catalog").await.contains(&pid)
        })
        .await;
        candidate
    }

    /// Asks it to end, and waits until it has taken its leave of the monolith.
    pub async fn end(mut self, system: &System) {
        signal("TERM", self.process.id());
        self.process.wait().expect("collected");
        holds_soon("the monolith has forgotten the candidate", START, || async move {
            system.healthy_pids("catalog").await.is_empty()
        })
        .await;
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|ended| ended.is_some())
    }
}

impl Drop for PythonCatalog {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
