//! Starting and ending.

use std::{fs, time::Duration};

use http::Method;
use system_tests::{Options, Service, System, holds_soon, office, system::signal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(20);

/// A PUT of an act of which only the head and half of the body are sent; and the other half.
async fn half_a_put(system: &System) -> (TcpStream, String, String) {
    let body = office::act("Slow Act").to_string();
    let path = format!("/api/v1/catalog/acts/{}", office::id());
    let mut socket = TcpStream::connect(system.public().trim_start_matches("http://"))
        .await
        .expect("connected");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        system.token(),
        body.len()
    );
    let (first, rest) = body.split_at(body.len() / 2);
    socket
        .write_all(format!("{head}{first}").as_bytes())
        .await
        .expect("sent");
    (socket, path, rest.to_owned())
}

/// What is answered until the other side closes.
async fn rest_of(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, socket.read_to_end(&mut answer))
        .await
        .expect("it closes");
    read.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_finishes_what_it_accepted() {
    let mut system = System::start().await;
    let (mut socket, path, rest) = half_a_put(&system).await;
    // It is accepted for certain once another request, sent later, has been answered.
    assert_eq!(system.get("/api/v1/catalog/shows").await.status, 200);
    signal("TERM", system.pid());
    holds_soon("it has heard", SOON, || async {
        system.log().contains("asked to stop")
    })
    .await;
    holds_soon("nobody new gets in", SOON, || async {
        TcpStream::connect(system.public().trim_start_matches("http://"))
            .await
            .is_err()
    })
    .await;
    assert!(office::runs(system.pid().into()), "it waits for the upload");
    socket.write_all(rest.as_bytes()).await.expect("sent");
    let answer = rest_of(socket).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(system.stop_was_asked().code(), Some(0));
    system.start_again().await;
    assert_eq!(system.get(&path).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_stopped_finishes_what_it_accepted() {
    let system = System::start().await;
    let mut service = Service::start(&system, "catalog", &[]).await;
    system.stage("catalog", "remote").await;
    let (mut socket, path, rest) = half_a_put(&system).await;
    assert_eq!(system.get("/api/v1/catalog/shows").await.served("catalog"), "remote");
    signal("TERM", service.pid());
    holds_soon("it has left", SOON, || async {
        system.healthy_pids("catalog").await.is_empty()
    })
    .await;
    socket.write_all(rest.as_bytes()).await.expect("sent");
    holds_soon("the act is there", SOON, || async {
        system.get(&path).await.status == 200
    })
    .await;
    assert_eq!(service.stopped().code(), Some(0));
    drop(socket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_served_once() {
    let system = System::start().await;
    let mut second = system.command(&["serve", "--listen", "127.0.0.1:0"]);
    second
        .env("BANYAN_INTERNAL__LISTEN", "127.0.0.1:0")
        .env_remove("BANYAN_PUBLIC__LISTEN");
    let out = tokio::task::spawn_blocking(move || second.output().expect("it runs"))
        .await
        .expect("joined");
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(
        told.contains("another banyan serves") && told.contains("data.folder"),
        "{told}"
    );
    assert_eq!(system.get("/readyz").await.status, 200, "the first goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sample_it_is_empty_and_stays_so() {
    let mut system = System::with(Options {
        args: vec!["--no-sample".to_owned()],
        ..Options::default()
    })
    .await;
    assert!(system.shows(10).await.is_empty());
    let (show, made) = system.announce().await;
    assert_eq!(made.map(|a| a.status), [201; 3]);
    assert!(system.stop().success());
    // A later start without the flag does not fill it either.
    let plain = system.spawn(&["serve"]);
    let pid = plain.id();
    holds_soon("it is ready", SOON, || async {
        system
            .send(Method::GET, "/readyz", &[], "")
            .await
            .is_ok_and(|a| a.status == 200)
    })
    .await;
    assert_eq!(system.shows(10).await, [show.to_string()]);
    signal("TERM", pid);
    let ended = tokio::task::spawn_blocking({
        let mut plain = plain;
        move || plain.wait().expect("collected")
    });
    assert!(ended.await.expect("joined").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_ids_over_a_restart() {
    let mut system = System::start().await;
    let (shows, token, join) = (system.shows(100).await, system.token(), system.join_token());
    holds_soon("every show is in the log", SOON, || async {
        let announced = system
            .events("catalog")
            .await
            .iter()
            .filter(|e| e["type"] == "catalog.show.announced")
            .count();
        announced == shows.len()
    })
    .await;
    let happened = system.events("catalog").await.len();
    for _ in 0..2 {
        assert!(system.stop().success());
        system.start_again().await;
    }
    assert_eq!(
        (system.shows(100).await, system.token(), system.join_token()),
        (shows, token, join)
    );
    assert_eq!(
        system.events("catalog").await.len(),
        happened,
        "the sample was not loaded again"
    );
    assert!(fs::metadata(system.data().join("lock")).is_ok());
}
