//! Schemas of their own on PostgreSQL, whose roles reach nothing else.

use strangler_store::{
    Db, DbOptions, StoreError,
    provision::{provision, role_url},
};
use tokio::task::JoinSet;

use crate::support::{Home, PASSWORD, connect, on_postgres};

fn parts(home: &Home) -> (&str, &str) {
    match home {
        Home::Postgres { admin, database } => (admin, database),
        Home::Sqlite(_) => panic!("PostgreSQL only"),
    }
}

async fn reaches_nothing_else(home: &Home) {
    home.db("notes").await.close().await;
    home.db("secrets").await.close().await;
    let raw = home.raw("notes").await;
    assert_eq!(raw.number("SELECT count(*) FROM notes").await, 0);
    for forbidden in [
        "SELECT * FROM secrets.notes",
        "CREATE TABLE public.x (a int)",
        "CREATE SCHEMA more",
    ] {
        let error = raw.error(forbidden).await;
        assert!(error.contains("permission denied"), "{forbidden}: {error}");
    }
}

async fn many_at_once(home: &Home) {
    let (admin, database) = parts(home);
    let mut provisioning = JoinSet::new();
    for n in 0..12 {
        let admin = admin.to_owned();
        provisioning.spawn(async move {
            provision(&admin, &format!("sch-{}\"'ä", n % 3), PASSWORD)
                .await
                .unwrap()
        });
    }
    for url in provisioning.join_all().await {
        assert!(url.contains(&format!("{database}_sch-")), "{url}");
        assert!(!url.contains('\''));
        let db = Db::open(&url, "odd", DbOptions::default()).await.unwrap();
        db.migrate(strangler_store::migrations()).await.unwrap();
        db.close().await;
    }
    assert_eq!(
        role_url(admin, "x", PASSWORD).unwrap(),
        provision(admin, "x", PASSWORD).await.unwrap(),
        "the URL that is worked out and the one that is made are the same"
    );
    let wrong = role_url(admin, "x", "another-word").unwrap();
    let raw = connect(admin).await;
    // Where the server trusts everybody a wrong password is no mistake, so there is nothing to see.
    if raw
        .number("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'trust'")
        .await
        > 0
        && let Err(error) = Db::open(&wrong, "x", DbOptions::default()).await
    {
        assert!(!error.to_string().contains("another-word"), "{error}");
    }
}

/// An administrator who is no superuser and owns nothing.
async fn by_a_lesser_admin(home: &Home) {
    let (admin, database) = parts(home);
    let raw = connect(admin).await;
    raw.run(&format!(
        "CREATE ROLE \"{database}_admin\" LOGIN CREATEROLE PASSWORD 'pw'"
    ))
    .await;
    raw.run(&format!("GRANT CREATE ON DATABASE {database} TO \"{database}_admin\""))
        .await;
    let lesser = admin.replacen("postgres@", &format!("{database}_admin:pw@"), 1);
    for _ in 0..2 {
        let url = provision(&lesser, "notes", PASSWORD).await.unwrap();
        let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
        db.migrate(strangler_store::migrations()).await.unwrap();
        db.close().await;
    }
    let membership = format!(
        "SELECT count(*) FROM pg_auth_members WHERE roleid = '\"{database}_notes\"'::regrole AND NOT admin_option"
    );
    assert_eq!(raw.number(&membership).await, 0);
    // What is somebody else's is left alone.
    raw.run("CREATE SCHEMA theirs").await;
    let error = provision(&lesser, "theirs", PASSWORD).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(error.to_string().contains("belongs to postgres"), "{error}");
    raw.run(&format!("CREATE ROLE \"{database}_mine\"")).await;
    let error = provision(&lesser, "mine", PASSWORD).await.unwrap_err();
    assert!(error.to_string().contains("was not made for"), "{error}");
    let error = provision(&lesser, &"x".repeat(60), PASSWORD).await.unwrap_err();
    assert!(error.to_string().contains("bytes long"), "{error}");
    // Without a grant on the schema that search_path names, there is nowhere to put tables.
    raw.run(&format!("CREATE ROLE \"{database}_bare\" LOGIN PASSWORD 'pw'"))
        .await;
    raw.run("REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
    let bare = admin.replacen("postgres@", &format!("{database}_bare:pw@"), 1);
    let error = Db::open(&bare, "bare", DbOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("search_path leads to no schema"), "{error}");
}

/// What the store sets for its sessions is what it relies on.
async fn sessions_are_set_up(home: &Home) {
    let (admin, database) = parts(home);
    let raw = connect(admin).await;
    raw.run(&format!(
        "ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'"
    ))
    .await;
    let db = home.db("notes").await;
    let mut uow = db.begin(&crate::notes::cx()).await.unwrap();
    assert_eq!(uow.find(Isolation).await.unwrap(), "read committed 5s");
}

#[derive(serde::Serialize)]
struct Isolation;

impl strangler_store::Query for Isolation {
    const NAME: &'static str = "isolation";
    type Answer = String;

    async fn run<C: sea_orm::ConnectionTrait>(self, connection: &C) -> Result<String, sea_orm::DbErr> {
        let ask = "SELECT current_setting('transaction_isolation') || ' ' || current_setting('lock_timeout')";
        let ask = sea_orm::Statement::from_string(connection.get_database_backend(), ask);
        let row = connection.query_one_raw(ask).await?;
        row.ok_or(sea_orm::DbErr::RecordNotFound("setting".into()))?
            .try_get_by_index(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_reaches_nothing_else() {
    on_postgres(reaches_nothing_else).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_provision_at_once() {
    on_postgres(many_at_once).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_superuser_is_needed() {
    on_postgres(by_a_lesser_admin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_do_not_depend_on_the_servers_defaults() {
    on_postgres(sessions_are_set_up).await;
}
