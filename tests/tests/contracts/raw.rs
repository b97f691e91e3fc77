//! Requests that no client library would send, byte by byte.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use system_tests::{Address, Answer, System};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes to one of its addresses and reads what comes until the connection ends. `None` when nothing came that is an
/// answer.
pub async fn send(system: &System, address: Address, request: &[u8]) -> Option<Answer> {
    let address = system.url(address).trim_start_matches("http://").to_owned();
    let exchange = async {
        let mut socket = TcpStream::connect(address).await.expect("somebody listens");
        let (mut from, mut to) = socket.split();
        let mut answer = Vec::new();
        // Written while it is read: a refusal may come before the end of the request, and end it.
        let (_written, _read) = tokio::join!(to.write_all(request), from.read_to_end(&mut answer));
        answer
    };
    let bytes = tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("the connection ends");
    parse(&bytes)
}

/// Sends bytes to one of its addresses and goes away without waiting for anything.
pub async fn send_and_leave(system: &System, address: Address, request: &[u8]) {
    let address = system.url(address).trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(address).await.expect("somebody listens");
    socket.write_all(request).await.expect("written");
    socket.shutdown().await.expect("left");
}

/// An answer with `content-length` or to the end of the connection.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let pairs = lines.filter_map(|l| l.split_once(':'));
    let headers: HeaderMap = pairs
        .filter_map(|(n, v)| Some((n.parse::<HeaderName>().ok()?, v.trim().parse::<HeaderValue>().ok()?)))
        .collect();
    Some(Answer {
        status,
        headers,
        body: Bytes::copy_from_slice(&bytes[end + 4..]),
    })
}

/// A request of this start line, headers and body; the connection ends with it.
pub fn request(line: &str, token: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// A body in chunks, with `total` bytes of white space after it.
pub fn chunked(body: &str, total: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !body.is_empty() {
        bytes.extend(format!("{:x}\r\n{body}\r\n", body.len()).into_bytes());
    }
    let chunk = " ".repeat(32 << 10);
    for _ in 0..total.div_ceil(chunk.len()) {
        bytes.extend(format!("{:x}\r\n{chunk}\r\n", chunk.len()).into_bytes());
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
