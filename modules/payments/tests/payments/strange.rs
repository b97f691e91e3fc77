//! Providers that the sandbox cannot be: garbage, broken servers, answers after the timeout, two answers, no answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use payments::HttpProvider;
use payments_contract::{PaymentStatus as Status, PaymentsError, PaymentsService};
use serde_json::{Value, json};
use strangler::{Cx, Put};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::support::{draft, id, on_sqlite};

fn intent(n: u128, amount: i64, state: &str) -> Value {
    json!({"id": "pi_9", "key": id(n), "amount": amount, "currency": "EUR", "state": state})
}

fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

async fn posts(server: &MockServer) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|r| r.method == "POST").count()
}

/// Whatever it says, it is not believed, and not taken for a refusal either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_settles_nothing() {
    let bodies = [
        ResponseTemplate::new(201).set_body_string("<html>"),
        ResponseTemplate::new(201),
        ResponseTemplate::new(200).set_body_bytes(vec![0xff; 200_000]),
        answer(201, &intent(2, 100, "authorized")),
        answer(201, &intent(1, 1, "authorized")),
        answer(201, &intent(1, 100, "paid")),
        answer(201, &json!({"key": id(1), "state": "authorized"})),
        answer(204, &json!({})),
        ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
        ResponseTemplate::new(401),
        ResponseTemplate::new(404),
        ResponseTemplate::new(429),
        ResponseTemplate::new(500).set_body_json(intent(1, 100, "authorized")),
    ];
    for body in bodies {
        on_sqlite(async |till| {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .respond_with(body.clone())
                .mount(&server)
                .await;
            Mock::given(method("GET"))
                .respond_with(body.clone())
                .mount(&server)
                .await;
            let (payments, cx) = (till.payments(&server.uri()), &till.cx);
            let open = payments.authorise(cx, id(1), draft(100, "tok_ok")).await;
            assert!(
                matches!(open, Err(PaymentsError::Unsettled { .. })),
                "{open:?} after {body:?}"
            );
            assert_eq!(payments.payment(cx, id(1)).await.unwrap().status, Status::Authorising);
            // It comes to its senses.
            server.reset().await;
            Mock::given(method("GET"))
                .and(path(format!("/intents/{}", id(1))))
                .respond_with(answer(200, &intent(1, 100, "authorized")))
                .mount(&server)
                .await;
            let paid = payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
            assert_eq!(paid, Put::Kept(paid.value().clone()));
            assert_eq!((paid.value().status, posts(&server).await), (Status::Authorised, 0));
        })
        .await;
    }
}

/// Every repeat carries the key of the first, and an answer that comes too late is asked about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_timeout_is_asked_about() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        let late = answer(201, &intent(1, 100, "authorized")).set_delay(Duration::from_secs(20));
        Mock::given(method("POST"))
            .and(path("/intents"))
            .and(header("idempotency-key", id(1).to_string()))
            .respond_with(late)
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .respond_with(answer(200, &intent(1, 100, "authorized")))
            .mount(&server)
            .await;
        let payments = till.payments(&server.uri()).with_patience(Duration::from_millis(300));
        let paid = payments.authorise(&till.cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!((paid.value().status, posts(&server).await), (Status::Authorised, 1));
    })
    .await;
}

/// The caller's time is up before the provider's: the answer is there in time, and says that it is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_deadline_holds() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        let late = answer(201, &intent(1, 100, "authorized")).set_delay(Duration::from_secs(20));
        Mock::given(method("POST")).respond_with(late).mount(&server).await;
        let (payments, cx) = (
            till.payments(&server.uri()),
            Cx::system("hurried").within(Duration::from_millis(400)),
        );
        let began = std::time::Instant::now();
        let open = payments.authorise(&cx, id(1), draft(100, "tok_ok")).await;
        assert!(matches!(open, Err(PaymentsError::Unsettled { .. })), "{open:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_pass_and_the_capture_is_one() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        let (created, captured) = (intent(1, 100, "authorized"), intent(1, 100, "captured"));
        Mock::given(method("POST"))
            .and(path("/intents"))
            .respond_with(answer(201, &created))
            .mount(&server)
            .await;
        let capture = format!("/intents/{}/capture", id(1));
        let broken = ResponseTemplate::new(500);
        Mock::given(path(&*capture))
            .respond_with(broken)
            .up_to_n_times(2)
            .mount(&server)
            .await;
        Mock::given(path(&*capture))
            .and(header("idempotency-key", format!("{}:capture", id(1))))
            .respond_with(answer(200, &captured))
            .mount(&server)
            .await;
        let (payments, cx) = (till.payments(&server.uri()), &till.cx);
        payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!(payments.capture(cx, id(1)).await.unwrap().status, Status::Captured);
        assert_eq!(posts(&server).await, 4);
        assert_eq!(payments.capture(cx, id(1)).await.unwrap().status, Status::Captured);
        assert_eq!(posts(&server).await, 4, "what is settled is not asked again");
    })
    .await;
}

/// The provider let the money go by itself: the capture is refused, and the payment says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorisation_that_ran_out() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        let (created, gone) = (intent(1, 100, "authorized"), intent(1, 100, "voided"));
        Mock::given(method("POST"))
            .and(path("/intents"))
            .respond_with(answer(201, &created))
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .respond_with(answer(409, &gone))
            .mount(&server)
            .await;
        let (payments, cx) = (till.payments(&server.uri()), &till.cx);
        payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!(
            payments.capture(cx, id(1)).await,
            Err(PaymentsError::Void { id: id(1) })
        );
        assert_eq!(payments.void(cx, id(1)).await.unwrap().status, Status::Voided);
    })
    .await;
}

/// It does what it was asked, and then says that it did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_believed_when_nothing_happened() {
    for (there, status) in [(true, Status::Authorised), (false, Status::Declined)] {
        on_sqlite(async |till| {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .and(path("/intents"))
                .respond_with(ResponseTemplate::new(400))
                .mount(&server)
                .await;
            let known = match there {
                true => answer(200, &intent(1, 100, "authorized")),
                false => ResponseTemplate::new(404),
            };
            Mock::given(method("GET")).respond_with(known).mount(&server).await;
            let (payments, cx) = (till.payments(&server.uri()), &till.cx);
            let told = payments.authorise(cx, id(1), draft(100, "tok_ok")).await;
            assert_eq!(told.is_ok(), there, "{told:?}");
            assert_eq!(payments.payment(cx, id(1)).await.unwrap().status, status);
        })
        .await;
    }
}

/// The card expires between the reservation and the capture: no money was taken, and none is reserved any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_at_the_capture() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/intents"))
            .respond_with(answer(201, &intent(1, 100, "authorized")))
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path(format!("/intents/{}/capture", id(1))))
            .respond_with(answer(409, &intent(1, 100, "declined")))
            .mount(&server)
            .await;
        let (payments, cx) = (till.payments(&server.uri()), &till.cx);
        payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        for _ in 0..2 {
            let standing = Status::Declined;
            assert_eq!(
                payments.capture(cx, id(1)).await,
                Err(PaymentsError::NotAuthorised { id: id(1), standing })
            );
        }
        assert_eq!(payments.void(cx, id(1)).await.unwrap().status, Status::Declined);
    })
    .await;
}

/// Reads one request, without understanding it; the text of its first line.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = socket.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        text.extend_from_slice(&buffer[..n]);
        let said = String::from_utf8_lossy(&text).to_lowercase();
        if let Some((head, body)) = said.split_once("\r\n\r\n") {
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|t| t.lines().next()?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.lines().next().map(str::to_owned);
            }
        }
    }
}

/// A server that answers the nth request with these bytes and, when there are none, hangs up.
async fn raw(bytes: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (count, bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(bytes));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (count, bytes) = (counted.clone(), bytes.clone());
            tokio::spawn(async move {
                while let Some(line) = request(&mut socket).await {
                    let said = bytes(count.fetch_add(1, Ordering::SeqCst), &line);
                    if said.is_empty() || socket.write_all(said.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, count)
}

fn text(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The second answer belongs to no request; above all it does not belong to the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_answers_are_one() {
    on_sqlite(async |till| {
        let (url, _) = raw(|_, line| {
            let n = if line.contains(&id(2).to_string()) { 2 } else { 1 };
            let state = if line.contains("capture") {
                "captured"
            } else {
                "authorized"
            };
            let one = text("200 OK", &intent(n, 100, state));
            format!("{one}{}", text("200 OK", &intent(2, 100, "captured")))
        })
        .await;
        let (payments, cx) = (till.payments(&url), &till.cx);
        let paid = payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!(paid.value().status, Status::Authorised);
        assert_eq!(payments.capture(cx, id(1)).await.unwrap().status, Status::Captured);
        // Never captured by us, whatever was said about it.
        let open = payments.authorise(cx, id(2), draft(100, "tok_ok")).await;
        assert!(
            !matches!(&open, Ok(paid) if paid.value().status == Status::Captured),
            "{open:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_is_no_answer() {
    on_sqlite(async |till| {
        // Hangs up at once, in the middle of an answer, and after the head.
        let (url, count) = raw(|n, _| match n {
            0 => String::new(),
            1 => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
            2 => "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"key\"".to_owned(),
            _ => text("200 OK", &intent(1, 100, "authorized")),
        })
        .await;
        let payments = till.payments(&url).with_patience(Duration::from_millis(300));
        let paid = payments.authorise(&till.cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!(paid.value().status, Status::Authorised);
        assert_eq!(count.load(Ordering::SeqCst), 4);
    })
    .await;
}

/// Whoever asked went away while the provider was being called: the next one finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away() {
    on_sqlite(async |till| {
        let server = MockServer::start().await;
        let slow = answer(201, &intent(1, 100, "authorized")).set_delay(Duration::from_secs(20));
        Mock::given(method("POST")).respond_with(slow).mount(&server).await;
        Mock::given(method("GET"))
            .respond_with(answer(200, &intent(1, 100, "authorized")))
            .mount(&server)
            .await;
        let (payments, cx) = (till.payments(&server.uri()), &till.cx);
        let gone = payments.authorise(cx, id(1), draft(100, "tok_ok"));
        assert!(tokio::time::timeout(Duration::from_millis(300), gone).await.is_err());
        assert_eq!(payments.payment(cx, id(1)).await.unwrap().status, Status::Authorising);
        let paid = payments.authorise(cx, id(1), draft(100, "tok_ok")).await.unwrap();
        assert_eq!((paid.value().status, posts(&server).await), (Status::Authorised, 1));
    })
    .await;
}

#[test]
fn an_address_is_checked_before_it_is_used() {
    for good in [
        "http://127.0.0.1:9090",
        "http://127.0.0.1:9090/",
        "http://pay.example.org/v1",
    ] {
        assert!(HttpProvider::new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "127.0.0.1:9090",
        "ftp://x",
        "http://",
        "http://x/?y",
        "https://x",
        "not a url",
    ] {
        assert!(HttpProvider::new(bad).is_err(), "{bad}");
    }
}
