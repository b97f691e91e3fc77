//! Event logs on the internal address, for processes that joined: [`LogDesk`] behind the door of the two tokens.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::any,
};
use strangler_store::{EventLog, LOGS, LogDesk};

use super::ControlProblem;
use crate::{auth::InternalDoor, identity::Tokens};

/// The longest report of a reader.
const LONGEST: usize = 4 << 10;

/// Serves these logs under [`LOGS`], each under the name of its source, to whoever shows one of the tokens. What is asked
/// and answered, [`LogDesk::answer`] says.
pub fn router(logs: impl IntoIterator<Item = Arc<dyn EventLog>>, tokens: Arc<Tokens>) -> Router {
    Router::new()
        .route(&format!("{LOGS}{{*rest}}"), any(answer))
        .with_state((LogDesk::new(logs), tokens))
}

async fn answer(State((desk, tokens)): State<(LogDesk, Arc<Tokens>)>, request: Request) -> Response {
    if let Err(why) = InternalDoor(tokens).insider(request.headers()) {
        return ControlProblem::new(StatusCode::UNAUTHORIZED, why).into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
        let why = "the body broke off or is too long";
        return ControlProblem::new(StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
    };
    let answer = desk
        .answer(&parts.method, parts.uri.path(), parts.uri.query(), &body)
        .await;
    answer.map(Body::from)
}

#[cfg(test)]
mod tests {
    use http::{Method, header};
    use strangler::pool::http_client;
    use strangler_store::{Db, DbOptions, RemoteLog};
    use tower::ServiceExt;

    use super::*;

    async fn at(folder: &std::path::Path) -> (Db, Arc<Tokens>, Router) {
        let url = format!("sqlite:{}", folder.join("notes.db").display());
        let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
        db.migrate(strangler_store::migrations()).await.unwrap();
        let tokens = Arc::new(Tokens::open(folder).unwrap());
        let router = router([db.log()], tokens.clone());
        (db, tokens, router)
    }

    #[tokio::test]
    async fn nothing_is_told_without_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let (_db, tokens, router) = at(folder.path()).await;
        let ask = async |method: Method, path: &str, token: Option<&str>, body: String| {
            let mut request = http::Request::builder().method(method).uri(format!("{LOGS}{path}"));
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(Body::from(body)).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        let (join, operator) = (Some(tokens.join.expose()), Some(tokens.operator.expose()));
        for path in [
            "notes?after=0",
            "notes/head",
            "notes/wait?after=0&patience_ms=1",
            "nobody",
        ] {
            for token in [None, Some("other")] {
                assert_eq!(ask(Method::GET, path, token, String::new()).await, 401, "{path}");
            }
        }
        for token in [join, operator] {
            assert_eq!(
                ask(Method::GET, "notes?after=0&limit=5", token, String::new()).await,
                200
            );
        }
        assert_eq!(ask(Method::GET, "notes", join, String::new()).await, 400);
        assert_eq!(ask(Method::GET, "nobody", join, String::new()).await, 404);
        assert_eq!(ask(Method::DELETE, "notes/head", join, String::new()).await, 405);
        let report = r#"{"position": 3}"#.to_owned();
        assert_eq!(ask(Method::PUT, "notes/readers/a%2Fb", join, report).await, 204);
        assert_eq!(
            ask(Method::PUT, "notes/readers/a", join, "x".repeat(LONGEST + 1)).await,
            413
        );
    }

    #[tokio::test]
    async fn a_remote_log_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (db, tokens, router) = at(folder.path()).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let token = format!("Bearer {}", tokens.join.expose()).parse().unwrap();
        let log = RemoteLog::new("notes", &base, token, http_client());
        assert_eq!(log.head().await.unwrap(), db.log().head().await.unwrap());
        assert!(log.read(0, 10).await.unwrap().events.is_empty());
        log.report("a/b", 0).await.unwrap();
        assert_eq!(db.retention().readers().await.unwrap()[0].name, "a/b");
        server.abort();
    }
}
