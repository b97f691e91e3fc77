//! A file that may not grow: what a quota does, and what every user may try, root or not.

use std::{
    fs::File,
    process::{Child, Command},
    time::{Duration, Instant},
};

use system_tests::{Bear, Load, Options, System, holds_soon, office, seed, system::signal};

/// The system in a shell that limits the size of every file it writes, in half KiB.
fn launch(system: &System, limit: u32) -> Child {
    let plain = system.command(&["serve", "--no-sample"]);
    let log = || {
        let file = File::options()
            .create(true)
            .append(true)
            .open(system.folder().join("serve.log"));
        file.expect("a log")
    };
    let script = format!("trap '' XFSZ; ulimit -S -f {limit}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .arg(plain.get_program())
        .args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let shell = shell.current_dir(system.folder()).stdout(log()).stderr(log());
    shell.spawn().expect("a shell starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_loses_nothing_that_was_acknowledged() {
    let mut random = seed("a_file_that_may_not_grow_loses_nothing_that_was_acknowledged");
    let mut system = System::prepare(Options {
        args: vec!["--no-sample".to_owned()],
        ..Options::default()
    });
    let mut process = launch(&system, 2800);
    holds_soon("it is ready", Duration::from_secs(30), || async {
        let answer = system.send(http::Method::GET, "/readyz", &[], "").await;
        answer.is_ok_and(|a| a.status == 200)
    })
    .await;
    let (show, made) = system.announce().await;
    assert_eq!(made.map(|a| a.status), [201; 3]);
    let load = Load::start(&system, 1, 2, Bear::Problems, &mut random).await;
    let (began, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 20 {
        assert!(began.elapsed() < Duration::from_secs(60), "the limit is never reached");
        let path = format!("/api/v1/catalog/acts/{}", office::id());
        let answer = system.put(&path, &office::act("Too Much")).await;
        in_a_row = if answer.status == 201 { 0 } else { in_a_row + 1 };
        let refused = answer.status == 503 && answer.is_problem();
        assert!(answer.status == 201 || refused, "{answer:?}");
        let there = system.get(&path).await.status;
        assert_eq!(
            there == 200,
            answer.status == 201,
            "what is acknowledged is there, and nothing else"
        );
        assert_eq!(system.get(&office::show_path(show)).await.status, 200, "reads go on");
    }
    // The limit is lifted: nobody has to help it any further.
    let pid = process.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    assert!(lifted.is_ok_and(|s| s.success()), "prlimit lifts the limit");
    load.goes_on(10, 10).await;
    let promises = load.end().await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;
    signal("KILL", process.id());
    process.wait().expect("collected");
    system.start_again().await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;
    assert!(!system.log().contains("panicked"));
}
