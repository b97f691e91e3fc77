//! PostgreSQL restarted under load: a cluster of the test's own, stopped as a power failure would stop it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Instant,
};

use system_tests::{Bear, Load, Options, System, seed, system::free_port};
use tempfile::TempDir;

struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts one; `None`, said loudly, where there are no programs or nobody to run them.
    fn make(test: &str) -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut all: Vec<PathBuf> = versions
            .map(|v| v.path().join("bin"))
            .filter(|p| p.join("initdb").exists())
            .collect();
        all.sort();
        let root = Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|out| out.stdout.starts_with(b"0"));
        let Some(programs) = all.pop().filter(|_| root) else {
            println!("SKIPPED (needs root and PostgreSQL's programs): {test}");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("banyan-test-cluster-")
            .tempdir()
            .expect("a folder");
        let owned = Command::new("chown")
            .arg("postgres")
            .arg(folder.path())
            .status()
            .expect("chown runs");
        assert!(owned.success());
        let cluster = Self {
            folder,
            programs,
            port: free_port(),
        };
        cluster.run("initdb", &["-A", "trust", "-E", "UTF8", "--no-sync"]);
        cluster.start();
        Some(cluster)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let data = self.folder.path().join("data");
        let mut command = Command::new("runuser");
        command
            .args(["-u", "postgres", "--"])
            .arg(self.programs.join(program))
            .arg("-D")
            .arg(data)
            .args(args);
        let out = command.current_dir("/").output().expect("runuser runs");
        assert!(
            out.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        out
    }

    fn start(&self) {
        let folder = self.folder.path().display();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}",
            self.port
        );
        let log = format!("{folder}/log");
        self.run("pg_ctl", &["-l", &log, "-s", "-w", "-o", &options, "start"]);
    }

    fn stop(&self) {
        self.run("pg_ctl", &["-m", "immediate", "-s", "-w", "stop"]);
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let mut command = Command::new("runuser");
        command
            .args(["-u", "postgres", "--"])
            .arg(self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(data);
        _ = command
            .args(["-m", "immediate", "-s", "stop"])
            .current_dir("/")
            .status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restarted_under_load_loses_nothing() {
    let mut random = seed("postgres_restarted_under_load_loses_nothing");
    let Some(cluster) = Cluster::make("PostgreSQL restarted under load") else {
        return;
    };
    let mut system = System::with(Options {
        database: Some(cluster.url()),
        ..Options::default()
    })
    .await;
    let load = Load::start(&system, 2, 3, Bear::Problems, &mut random).await;
    for _ in 0..3 {
        load.goes_on(10, 10).await;
        let began = Instant::now();
        cluster.stop();
        let answer = system.get("/readyz").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(system.get("/livez").await.status, 200);
        cluster.start();
        let started = began.elapsed();
        // Nobody has to help it.
        load.goes_on(10, 10).await;
        println!(
            "PostgreSQL was back after {started:.1?}, everybody after {:.1?}",
            began.elapsed()
        );
        assert_eq!(system.get("/readyz").await.status, 200);
        load.promises().are_kept(&system, true).await;
    }
    let promises = load.end().await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;
    assert!(!system.log().contains("panicked"));

    // A start without it ends with a sentence that names it, without its password.
    assert!(system.stop().success());
    cluster.stop();
    let out = system.cli(&["serve"]).await;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&cluster.port.to_string()) && !told.contains("panicked"),
        "{told}"
    );
    cluster.start();
    system.start_again().await;
    promises.are_kept(&system, false).await;
}
