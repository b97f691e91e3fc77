//! A way from client to server without sockets, which can be told to fail.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use strangler::{
    BoxFuture, Contract, Cx, Fault, Principal, Serve, Transport,
    wire::{Answered, Ask, Asked},
};

/// Carries requests straight into a server.
pub struct InMemoryWay {
    server: Arc<dyn Serve>,
    /// Answered in the server's place.
    pub instead: Mutex<Option<Answered>>,
    /// How many requests were sent.
    pub sent: AtomicUsize,
    /// The last request and its answer.
    pub last: Mutex<Option<(Ask, Answered)>>,
}

impl InMemoryWay {
    /// A way to `server`.
    pub fn new(server: Arc<dyn Serve>) -> Self {
        Self {
            server,
            instead: Mutex::default(),
            sent: AtomicUsize::new(0),
            last: Mutex::default(),
        }
    }
}

impl Transport for InMemoryWay {
    fn send<'a>(&'a self, cx: &'a Cx, contract: &'static Contract, ask: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            self.sent.fetch_add(1, SeqCst);
            let instead = self.instead.lock().unwrap().clone();
            let answer = match instead {
                Some(answer) => answer,
                None => {
                    let mut headers = ask.headers.clone();
                    cx.to_headers(&mut headers);
                    request(
                        &*self.server,
                        contract,
                        cx.principal(),
                        ask.index,
                        &ask.target,
                        &headers,
                        &ask.body,
                    )
                    .await
                }
            };
            *self.last.lock().unwrap() = Some((ask, answer.clone()));
            Ok(answer)
        })
    }
}

/// Asks the operation `index`, having checked that `target` leads to it.
pub async fn request(
    server: &dyn Serve,
    contract: &'static Contract,
    principal: &Principal,
    index: usize,
    target: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Answered {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let path = path.strip_prefix(&contract.prefix()).expect("the contract's prefix");
    let template: Vec<_> = contract.operations[index].path.split('/').collect();
    let segments: Vec<_> = path.split('/').collect();
    assert_eq!(template.len(), segments.len(), "{path}");
    let mut params = Vec::new();
    for (template, segment) in template.into_iter().zip(segments) {
        if template.starts_with('{') {
            params.push(segment);
        } else {
            assert_eq!(template, segment, "{path}");
        }
    }
    let cx = Cx::from_headers(headers, principal.clone(), std::time::Duration::from_secs(5), true);
    server
        .serve(
            index,
            &cx,
            Asked {
                params: &params,
                query,
                headers,
                body,
            },
        )
        .await
}

/// An answer that no contract names.
pub fn gibberish() -> Answered {
    Answered {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: HeaderMap::new(),
        body: "oops".into(),
    }
}

/// What a server says when nobody is there to answer.
pub fn unavailable() -> Answered {
    let body = r#"{"type":"urn:problem-type:way:unavailable","title":"Nobody is there","status":503}"#;
    Answered {
        status: StatusCode::SERVICE_UNAVAILABLE,
        headers: HeaderMap::new(),
        body: body.into(),
    }
}
