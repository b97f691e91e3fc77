//! A disk without room.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use system_tests::{Bear, Load, Options, System, holds_soon, office, seed};

/// A small file system of the test's own, unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one at `folder`; `None`, said loudly, where that is not allowed.
    fn mount(test: &str, folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        println!("SKIPPED (only root may mount a small disk): {test}");
        None
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).expect("a file");
        let mut size = 1 << 16;
        while size > 0 {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Makes room again.
    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the system that used it may be on its way out.
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_survived() {
    let mut random = seed("a_full_disk_is_said_and_survived");
    let mut system = System::prepare(Options {
        args: vec!["--no-sample".to_owned()],
        ..Options::default()
    });
    let Some(disk) = Disk::mount("a full disk", &system.data()) else {
        return;
    };
    system.start_again().await;
    let (show, made) = system.announce().await;
    assert_eq!(made.map(|a| a.status), [201; 3]);
    let load = Load::start(&system, 1, 2, Bear::Problems, &mut random).await;
    load.goes_on(5, 5).await;

    disk.fill();
    // What is reserved already is used up first.
    let path = || format!("/api/v1/catalog/acts/{}", office::id());
    let (mut refused, mut in_a_row) = (String::new(), 0);
    let began = Instant::now();
    while in_a_row < 5 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "writes still succeed on a full disk"
        );
        let answer = system.put(&path(), &office::act("Too Much")).await;
        in_a_row = if answer.status == 201 { 0 } else { in_a_row + 1 };
        assert!(
            answer.status == 201 || (answer.status == 503 && answer.is_problem()),
            "{answer:?}"
        );
        if answer.status == 503 {
            refused = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        }
        assert_eq!(system.get(&office::show_path(show)).await.status, 200, "reads go on");
    }
    assert!(refused.contains("disk is full"), "{refused:?}");
    let ready = system.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()["databases"]["catalog"].as_str()),
        (503, Some("cannot be written")),
        "{ready:?}"
    );
    // A toggle that cannot be written down is not in force; the sentence says so.
    for _ in 0..50 {
        let out = system
            .cli(&["stage", "catalog", "local", "--why", &"w".repeat(500)])
            .await;
        if !out.status.success() {
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(told.contains("room"), "{told}");
            break;
        }
    }
    let (reads, _) = load.done();
    holds_soon("readers go on", Duration::from_secs(20), || async {
        load.done().0 > reads + 5
    })
    .await;

    disk.free();
    load.goes_on(5, 5).await;
    let promises = load.end().await;
    // Under load so small a disk is full again and again.
    holds_soon("it is ready again", Duration::from_secs(60), || async {
        system.get("/readyz").await.status == 200
    })
    .await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;

    // Killed with a full disk, it starts again, or says why not; with room it starts, and nothing is lost.
    disk.fill();
    system.kill();
    let out = start(&system).await;
    println!("started with a full disk: {out}");
    disk.free();
    system.start_again().await;
    promises.are_kept(&system, false).await;
    assert!(system.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_on_a_full_disk_says_so() {
    let mut system = System::prepare(Options::default());
    let Some(disk) = Disk::mount("a first start on a full disk", &system.data()) else {
        return;
    };
    disk.fill();
    let told = start(&system).await;
    assert!(told.contains("room") || told.contains("No space"), "{told}");
    assert!(told.contains("data"), "{told}");
    disk.free();
    system.start_again().await;
    assert!(system.shows(100).await.len() >= 40);
    assert!(system.stop().success());
}

/// What a start says that ends by itself, or that it has started; ready it is not without room.
async fn start(system: &System) -> String {
    let before = system.log().len();
    let mut process = system.spawn(&["serve"]);
    let pid = process.id();
    let mut ready = false;
    holds_soon("it ends or has started", Duration::from_secs(30), || {
        let ended = process.try_wait().expect("its status");
        async move {
            let answer = system.send(http::Method::GET, "/startupz", &[], "").await;
            ended.is_some() || answer.is_ok_and(|a| a.status == 200)
        }
    })
    .await;
    if process.try_wait().expect("its status").is_none() {
        ready = true;
        system_tests::system::signal("KILL", pid);
    }
    let status = process.wait().expect("collected");
    let told = system.log()[before..].to_owned();
    assert!(ready || status.code() == Some(1), "{status}: {told}");
    assert!(!told.contains("panicked") && !told.is_empty(), "{told}");
    told
}
