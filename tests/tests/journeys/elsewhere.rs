//! A service on a machine of its own, as in `docs/compose.yaml`: it is given the join token and its own database's address,
//! and nothing else of the monolith's.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
};

use system_tests::{Database, Options, System, office, system::free_port};

/// Ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

async fn with_two_secrets(database: Option<&Database>) {
    let system = System::with(Options {
        database: database.map(Database::url),
        ..Options::default()
    })
    .await;
    let folder = system.folder().join("elsewhere");
    fs::create_dir(&folder).expect("a folder");
    let url = system.run(&["config", "database", "catalog"]).await;
    fs::write(folder.join("database-url"), &url).expect("a file");
    fs::copy(system.data().join("join-token"), folder.join("join-token")).expect("a file");
    // It writes nothing there.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("its mode");

    let listen = format!("127.0.0.1:{}", free_port());
    let (data, join) = (folder.display().to_string(), system.internal());
    let args = [
        "serve", "--only", "catalog", "--join", &join, "--listen", &listen, "--data", &data,
    ];
    let service = system
        .command(&args)
        .env_remove("BANYAN_DATABASE__URL")
        .env_remove("BANYAN_DATA__FOLDER")
        .env(
            "BANYAN_MODULES__CATALOG__DATABASE_URL_FILE",
            folder.join("database-url"),
        )
        .stdout(Stdio::null())
        .spawn()
        .map(Ended)
        .expect("it starts");
    system.healthy("catalog").await;
    system.stage("catalog", "remote").await;
    let (show, made) = system.announce().await;
    assert_eq!(made.each_ref().map(|a| a.served("catalog")), ["remote"; 3]);
    system.stage("catalog", "local").await;
    assert_eq!(system.get(&office::show_path(show)).await.status, 200);
    drop(service);

    let out = system.cli(&["config", "database", "opera"]).await;
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("catalog"));
    // Nowhere else is that address to be read with its password.
    let shown = system.run(&["config", "show"]).await;
    assert!(database.is_none() || !shown.contains(url.trim()), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_needs_its_token_and_its_database_alone() {
    with_two_secrets(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_needs_its_token_and_its_database_alone_postgres() {
    if let Some(database) = Database::make("a service elsewhere").await {
        with_two_secrets(Some(&database)).await;
    }
}
