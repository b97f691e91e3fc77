//! What is said at a path of the public address where nothing is: a page to a browser, a line to anybody else.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use strangler::page::{protect, wants_html};

/// The path is not repeated: what somebody else wrote into an address is not put into our mouth.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nothing is at this path</title>
</head>
<body>
<main>
<h1>Nothing is at this path</h1>
<p>The address is mistyped, or what was here is gone.</p>
<ul>
<li><a href="/">The box office</a></li>
<li><a href="/console">The operator’s console</a></li>
<li><a href="/docs/">The interfaces</a></li>
</ul>
</main>
</body>
</html>
"#;

/// Answers whatever nobody else does.
pub(super) async fn at_this_path(headers: HeaderMap) -> Response {
    let (media, body) = match wants_html(&headers) {
        true => ("text/html; charset=utf-8", PAGE),
        false => (
            "text/plain; charset=utf-8",
            "Nothing is at this path; /, /docs and /console are.\n",
        ),
    };
    let mut answer = (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, media)], body).into_response();
    protect(answer.headers_mut());
    answer
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_browser_gets_a_page_and_a_program_a_line() {
        for (accept, media) in [("text/html,*/*;q=0.8", "text/html"), ("*/*", "text/plain")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            let answer = at_this_path(headers).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let said = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
            assert!(said.starts_with(media), "{said}");
            assert!(answer.headers().contains_key("content-security-policy"));
        }
    }
}
