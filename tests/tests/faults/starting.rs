//! Starts that cannot succeed: each ends with 1 or 2 and a sentence that names the thing and what to do.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use sea_orm::{ConnectionTrait, Database};
use system_tests::{Options, System, system::free_port};

/// What a command says that must fail in a sentence with these words.
async fn says(mut command: Command, words: &[&str]) -> String {
    let out = tokio::task::spawn_blocking(move || command.output().expect("it runs"))
        .await
        .expect("joined");
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(matches!(out.status.code(), Some(1 | 2)), "{:?}: {told}", out.status);
    assert!(!told.contains("panicked") && !told.contains("RUST_BACKTRACE"), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is missing in: {told}");
    }
    assert!(!told.contains("is ready"), "{told}");
    told
}

/// A system that ran once and was stopped.
async fn used() -> System {
    let mut system = System::start().await;
    assert!(system.stop().success());
    system
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
}

#[tokio::test]
async fn a_port_in_use() {
    let system = System::start().await;
    for (key, setting) in [
        ("BANYAN_PUBLIC__LISTEN", "public.listen"),
        ("BANYAN_INTERNAL__LISTEN", "internal.listen"),
    ] {
        let taken = if setting == "public.listen" {
            system.public()
        } else {
            system.internal()
        };
        let other = System::prepare(Options::default());
        let mut command = other.command(&["serve"]);
        command.env(key, taken.trim_start_matches("http://"));
        says(command, &["in use", taken.trim_start_matches("http://"), setting]).await;
    }
    let public = system.public();
    let listen = public.trim_start_matches("http://");
    says(
        system.command(&[
            "serve",
            "--only",
            "catalog",
            "--join",
            &system.internal(),
            "--listen",
            listen,
        ]),
        &["in use", "--listen"],
    )
    .await;
    let same = format!("127.0.0.1:{}", free_port());
    let mut command = System::prepare(Options::default()).command(&["serve"]);
    command
        .current_dir("/")
        .env("BANYAN_PUBLIC__LISTEN", &same)
        .env("BANYAN_INTERNAL__LISTEN", &same);
    says(command, &["public.listen", "internal.listen", "same"]).await;
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used() {
    let system = System::prepare(Options::default());
    fs::write(system.data(), "a file").expect("written");
    says(system.command(&["serve"]), &[&system.data().display().to_string()]).await;
    says(system.command(&["migrate"]), &[&system.data().display().to_string()]).await;
    fs::remove_file(system.data()).expect("removed");
    symlink("/nowhere/at/all", system.data()).expect("linked");
    says(system.command(&["serve"]), &[&system.data().display().to_string()]).await;
}

#[tokio::test]
async fn a_data_folder_without_permission() {
    let system = used().await;
    let program = system_tests::banyan();
    // Root may do everything, so somebody else has to try.
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout.starts_with(b"0"));
    let somebody = |command: Command| {
        if !root {
            return command;
        }
        let mut other = Command::new("setpriv");
        other
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&program)
            .args(command.get_args());
        other
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir("/");
        other
    };
    if root {
        let open = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&program)
            .arg("--version")
            .current_dir("/")
            .output();
        if !open.is_ok_and(|out| out.status.success()) {
            println!("SKIPPED (nobody else may run the program): a data folder without permission");
            return;
        }
        mode(system.folder(), 0o755);
    }
    if !root {
        mode(&system.data(), 0o000);
    }
    says(somebody(system.command(&["serve"])), &["ermission denied", "data"]).await;
    // Readable, yet not writable.
    mode(&system.data(), 0o555);
    for entry in fs::read_dir(system.data()).expect("listed").flatten() {
        let folder = entry.path().is_dir();
        let owned = !root
            || Command::new("chown")
                .arg("-R")
                .arg("65534")
                .arg(entry.path())
                .status()
                .is_ok_and(|s| s.success());
        assert!(owned);
        mode(&entry.path(), if folder { 0o500 } else { 0o400 });
    }
    says(somebody(system.command(&["serve"])), &["lock", "writable"]).await;
    mode(&system.data(), 0o755);
}

#[tokio::test]
async fn damaged_settings() {
    let system = System::prepare(Options::default());
    let file = system.folder().join("banyan.toml");
    for (text, words) in [
        (&b"[public\nlisten = 1"[..], &["banyan.toml"][..]),
        (b"\xff\xfe\x00", &["banyan.toml"]),
        (
            b"[public]\nlisten = 8080\n",
            &["banyan.toml:2", "public.listen", "127.0.0.1:8080"],
        ),
        (b"[database]\nurl = \"mysql://x\"\n", &["banyan.toml:2", "postgres://"]),
    ] {
        fs::write(&file, text).expect("written");
        let mut command = system.command(&["serve"]);
        command.env_remove("BANYAN_PUBLIC__LISTEN");
        says(command, words).await;
    }
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a folder");
    says(system.command(&["serve"]), &["banyan.toml"]).await;
    says(
        system.command(&["serve", "--config", "nowhere.toml"]),
        &["nowhere.toml"],
    )
    .await;
}

#[tokio::test]
async fn damaged_tokens_and_keys() {
    let system = used().await;
    for name in ["operator-token", "join-token"] {
        let path = system.data().join(name);
        let good = fs::read(&path).expect("read");
        for (bad, said) in [
            (&b""[..], "is empty"),
            (b"\n\n", "is empty"),
            (b"banyan", "is damaged"),
            (b"\xff\xff\xff", "is damaged"),
        ] {
            fs::write(&path, bad).expect("written");
            says(system.command(&["serve"]), &[name, said]).await;
        }
        fs::write(&path, &good).expect("written");
        mode(&path, 0o644);
        let told = says(system.command(&["serve"]), &[name, "others may read it", "chmod 600"]).await;
        assert!(
            !told.contains(String::from_utf8_lossy(&good).trim()),
            "the token itself is not shown"
        );
        mode(&path, 0o600);
    }
    let keys = system.data().join("keys");
    let key = fs::read_dir(&keys)
        .expect("listed")
        .flatten()
        .map(|e| e.path())
        .find(|p| p.is_file())
        .expect("a key");
    let good = fs::read(&key).expect("read");
    let name = key.file_name().expect("a name").to_string_lossy().into_owned();
    for bad in [&b""[..], &good[..good.len() / 2]] {
        fs::write(&key, bad).expect("written");
        says(system.command(&["serve"]), &[&name]).await;
    }
    fs::write(&key, &good).expect("written");
    mode(&key, 0o640);
    says(system.command(&["serve"]), &[&name, "chmod 600"]).await;
}

#[tokio::test]
async fn damaged_databases() {
    for schema in ["catalog", "strangler"] {
        let system = used().await;
        let file = system.data().join(format!("{schema}.db"));
        let good = fs::read(&file).expect("read");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let mut header = good.clone();
        header[..64].fill(b'x');
        let mut schema_page = good.clone();
        schema_page[100..4096].fill(0xff);
        for (what, bad) in [
            ("header", header),
            ("first page", schema_page),
            ("text", b"this is no database, but a letter".repeat(200).to_vec()),
        ] {
            fs::write(&file, &bad).expect("written");
            let told = says(system.command(&["serve"]), &[&name]).await;
            assert!(told.contains("backup") || told.contains("restore"), "{what}: {told}");
        }
        // Damaged in the middle: a page of a table or an index. It may start, as long as it says so where it matters.
        let mut middle = good.clone();
        let pages = middle.len() / 4096;
        for page in 2..pages {
            middle[page * 4096..(page + 1) * 4096].fill(0xff);
        }
        fs::write(&file, &middle).expect("written");
        let told = says(system.command(&["serve"]), &[&name]).await;
        assert!(told.contains("damaged"), "{told}");
        fs::write(&file, &good).expect("written");
    }
}

#[tokio::test]
async fn a_damaged_page_is_a_problem_and_no_crash() {
    let mut system = used().await;
    let file = system.data().join("catalog.db");
    let database = Database::connect(format!("sqlite:{}", file.display()))
        .await
        .expect("opened");
    let backend = database.get_database_backend();
    let ask = sea_orm::Statement::from_string(backend, "SELECT rootpage FROM sqlite_schema WHERE name = 'shows'");
    let row = database
        .query_one_raw(ask)
        .await
        .expect("answered")
        .expect("a table of shows");
    let page = usize::try_from(row.try_get_by_index::<i64>(0).expect("a number")).expect("positive") - 1;
    database
        .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .expect("folded back");
    database.close().await.expect("closed");
    let mut bytes = fs::read(&file).expect("read");
    bytes[page * 4096..(page + 1) * 4096].fill(0xff);
    fs::write(&file, &bytes).expect("written");
    system.start_again().await;
    let answer = system.get("/api/v1/catalog/shows").await;
    assert!(answer.status == 503 && answer.is_problem(), "{answer:?}");
    assert!(
        system.log().contains("damaged data") && !system.log().contains("panicked"),
        "{}",
        system.log()
    );
    assert_eq!(system.get("/livez").await.status, 200);
    assert!(system.stop().success());
}

#[tokio::test]
async fn a_damaged_route() {
    let system = used().await;
    let url = format!("sqlite:{}", system.data().join("strangler.db").display());
    let database = Database::connect(url).await.expect("opened");
    let sql = "INSERT INTO routes (target, stage, fallback) VALUES ('catalog', 'sideways', 'local')";
    database.execute_unprepared(sql).await.expect("inserted");
    database.close().await.expect("closed");
    let told = says(
        system.command(&["serve"]),
        &["sideways", "local, shadow, canary, remote, verify"],
    )
    .await;
    assert!(told.contains("route"), "{told}");
}

#[tokio::test]
async fn a_joining_process_without_a_token_or_a_monolith() {
    let system = System::prepare(Options::default());
    let nobody = format!("http://127.0.0.1:{}", free_port());
    says(
        system.command(&["serve", "--only", "catalog", "--join", &nobody]),
        &["BANYAN_JOIN_TOKEN"],
    )
    .await;
    let mut command = system.command(&["serve", "--only", "catalog", "--join", &nobody]);
    command.env("BANYAN_JOIN_TOKEN", "not-a-token");
    says(command, &["BANYAN_JOIN_TOKEN"]).await;
}
