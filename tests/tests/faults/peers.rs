//! Clients that are slow, silent, or many.

use std::time::{Duration, Instant};

use system_tests::{Client, Options, Service, System, holds_soon, office};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn options(pairs: &[(&str, &str)]) -> Options {
    Options {
        env: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Options::default()
    }
}

async fn connect(system: &System) -> TcpStream {
    TcpStream::connect(system.public().trim_start_matches("http://"))
        .await
        .expect("connected")
}

/// The status of a GET over a connection of its own, however long it has to wait for its turn; 0 when there is no answer.
async fn fresh(system: &System, path: &str) -> u16 {
    let answer = Client::default()
        .send(http::Method::GET, &format!("{}{path}", system.public()), &[], "")
        .await;
    answer.map_or(0, |a| a.status)
}

/// What comes until the other side closes, or nothing comes for `patience`.
async fn read_all(socket: &mut TcpStream, patience: Duration) -> Option<String> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(patience, socket.read_to_end(&mut all))
        .await
        .ok()?;
    read.is_ok()
        .then(|| String::from_utf8_lossy(&all).into_owned())
        .or(Some(String::new()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_never_end_do_not_hold_a_connection() {
    let system = System::start().await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut socket = connect(&system).await;
        socket
            .write_all(b"GET /api/v1/catalog/shows HTTP/1.1\r\nhost: x\r\n")
            .await
            .expect("sent");
        slow.push(tokio::spawn(async move {
            // A byte now and then, for ever: the time for all headers is what counts, not the time between two.
            let (mut from, mut to) = socket.into_split();
            let drip = async {
                while to.write_all(b"x-a: b\r\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            };
            let ended = async {
                let mut all = Vec::new();
                _ = from.read_to_end(&mut all).await;
            };
            tokio::select! { () = drip => {}, () = ended => {} }
        }));
    }
    assert_eq!(
        system.get("/api/v1/catalog/shows").await.status,
        200,
        "others are answered meanwhile"
    );
    for socket in slow {
        tokio::time::timeout(Duration::from_secs(20), socket)
            .await
            .expect("it is closed")
            .expect("ended");
    }
    assert!(
        began.elapsed() >= Duration::from_secs(5),
        "a slow line is given time: {:?}",
        began.elapsed()
    );
    assert_eq!(system.get("/api/v1/catalog/shows").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_harms_nobody() {
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    let before = office::memory_kib(system.pid());
    let mut deaf = Vec::new();
    for stage in ["local", "remote"] {
        system.stage("catalog", stage).await;
        for _ in 0..8 {
            let mut socket = connect(&system).await;
            let ask = b"GET /api/v1/catalog/shows?limit=100 HTTP/1.1\r\nhost: x\r\n\r\n";
            // Pipelined until nobody takes more.
            let much = async { while socket.write_all(ask).await.is_ok() {} };
            _ = tokio::time::timeout(Duration::from_millis(300), much).await;
            deaf.push(socket);
        }
        for _ in 0..50 {
            assert_eq!(system.get("/api/v1/catalog/shows?limit=100").await.status, 200);
        }
    }
    let after = office::memory_kib(system.pid());
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_wait_and_then_it_goes_on() {
    let system = System::with(options(&[("BANYAN_PUBLIC__CONNECTIONS", "16")])).await;
    let mut idle = Vec::new();
    let address = system.public().trim_start_matches("http://").to_owned();
    for _ in 0..1000 {
        match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(&address)).await {
            Ok(Ok(socket)) => idle.push(socket),
            // The system's own queue is full as well.
            _ => break,
        }
    }
    assert!(idle.len() > 100, "{} connections", idle.len());
    // The internal address has places of its own: the operator still gets in.
    assert_eq!(system.on_map("catalog").await["stage"], "local");
    assert!(office::memory_kib(system.pid()) < 150 * 1024);
    drop(idle);
    // The first tries may find the kernel's own queue still full.
    holds_soon("it goes on once they have gone", Duration::from_secs(30), || async {
        fresh(&system, "/api/v1/catalog/shows").await == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_end_by_themselves_where_places_are_few() {
    let system = System::with(options(&[("BANYAN_PUBLIC__CONNECTIONS", "4")])).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(connect(&system).await);
    }
    // Nobody closes anything: whoever says nothing loses the place after the time for headers.
    assert_eq!(fresh(&system, "/livez").await, 200);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_is_ended_by_the_budget() {
    let system = System::with(options(&[("BANYAN_PUBLIC__BUDGET_MS", "1500")])).await;
    let _service = Service::start(&system, "catalog", &[]).await;
    for stage in ["local", "remote"] {
        system.stage("catalog", stage).await;
        for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
            let began = Instant::now();
            let mut socket = connect(&system).await;
            let head = format!(
                "PUT /api/v1/catalog/acts/{} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n",
                office::id(),
                system.token()
            );
            socket.write_all(head.as_bytes()).await.expect("sent");
            let (mut from, mut to) = socket.split();
            let piece: &[u8] = if framing.contains("chunked") {
                b"1\r\n \r\n"
            } else {
                b" "
            };
            let trickle = async {
                while to.write_all(piece).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                std::future::pending::<()>().await;
            };
            let mut answer = Vec::new();
            let answered = async {
                let mut buffer = [0; 4096];
                while !String::from_utf8_lossy(&answer).contains("\r\n\r\n{") {
                    match from.read(&mut buffer).await {
                        Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
                        _ => break,
                    }
                }
            };
            tokio::select! { () = trickle => {}, () = answered => {}, () = tokio::time::sleep(Duration::from_secs(20)) => {} }
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let status: u16 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
            assert!(
                matches!(status, 400 | 408 | 502 | 504),
                "{stage}, {framing}: {answer:?}"
            );
            assert!(
                answer.contains("application/problem+json"),
                "{stage}, {framing}: {answer}"
            );
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{stage}, {framing}: {:?}",
                began.elapsed()
            );
        }
    }
    let mut socket = connect(&system).await;
    assert_eq!(system.get("/api/v1/catalog/shows").await.status, 200);
    socket
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let said = read_all(&mut socket, Duration::from_secs(10)).await.expect("closed");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
