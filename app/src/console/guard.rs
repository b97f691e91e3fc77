//! What holds for every page: no request from another site, and headers that forbid whatever the pages do not need.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use strangler::page::same_origin;

use super::page;

/// Refuses whatever changes something and was not sent by a page of this very origin.
pub(super) async fn refuse_cross_site(request: Request, next: Next) -> Response {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if harmless || same_origin(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    page::message(
        StatusCode::FORBIDDEN,
        "Refused",
        "This request was sent by a page of another site. Open the console and do it there.",
    )
}

/// Headers of every answer; pages are not stored.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    strangler::page::protect(headers);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::Body,
        http::{HeaderMap, Uri},
        routing::post,
    };
    use tower::ServiceExt;

    use super::*;

    fn passes(list: &[(&'static str, &'static str)]) -> bool {
        let headers = list
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v)));
        same_origin(&headers.collect(), &Uri::from_static("/console/stage"))
    }

    #[test]
    fn a_page_of_this_origin_may_post_and_so_may_a_command_line() {
        assert!(passes(&[("host", "127.0.0.1:8080")]));
        assert!(passes(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(passes(&[
            ("host", "Console.example"),
            ("origin", "https://console.example"),
            ("sec-fetch-site", "none")
        ]));
    }

    #[test]
    fn another_site_another_port_and_nobody_in_particular_may_not() {
        assert!(!passes(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]));
        assert!(!passes(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-site")]));
        assert!(!passes(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "http://127.0.0.1:9000")
        ]));
        assert!(!passes(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "http://evil.example")
        ]));
        assert!(!passes(&[("host", "127.0.0.1:8080"), ("origin", "null")]));
        assert!(!passes(&[("origin", "http://127.0.0.1:8080")]));
        let both = [("origin", "http://a.example"), ("origin", "http://b.example")];
        let mut headers = HeaderMap::new();
        both.iter()
            .for_each(|(k, v)| _ = headers.append(*k, HeaderValue::from_static(v)));
        headers.insert("host", HeaderValue::from_static("a.example"));
        assert!(!same_origin(&headers, &Uri::from_static("/")));
    }

    #[tokio::test]
    async fn a_refusal_is_a_page_and_every_answer_is_protected() {
        let app = Router::new()
            .route("/console/stage", post(|| async { "done" }))
            .layer(axum::middleware::from_fn(refuse_cross_site))
            .layer(axum::middleware::map_response(protect));
        let ask = |site: &str| {
            let request = Request::post("/console/stage")
                .header("host", "h")
                .header("sec-fetch-site", site);
            app.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        let (refused, done) = (ask("cross-site").await.unwrap(), ask("same-origin").await.unwrap());
        assert_eq!(
            (refused.status(), done.status()),
            (StatusCode::FORBIDDEN, StatusCode::OK)
        );
        for answer in [refused, done] {
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; "),
                "{policy}"
            );
            assert_eq!(answer.headers()["cache-control"], "no-store");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }
}
