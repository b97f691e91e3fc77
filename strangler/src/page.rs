//! Pages for people: what a contract of pages answers, and what holds for every one of them. A page loads nothing from
//! elsewhere, runs no script that is not a file of its own, and is not sent by another site's form.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, LOCATION, ORIGIN,
        REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::{
    fault::FaultKind,
    problem::{PROBLEM_JSON, Problem},
    wire::{Answered, IN_THE_PATH},
};

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const NO_STORE: &str = "no-store";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// One answer of a page operation: a page, a redirect, or a file that pages need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPage {
    /// Its status.
    pub status: StatusCode,
    /// What it is: HTML, unless it is a file.
    pub media_type: Cow<'static, str>,
    /// Where to go on, of a redirect.
    pub location: Option<String>,
    /// Cookies to keep, as `Set-Cookie` says it.
    pub cookies: Vec<String>,
    /// How long it may be kept, as `Cache-Control` says it.
    pub cache: Cow<'static, str>,
    /// Its bytes.
    pub body: Bytes,
}

impl WebPage {
    /// A page that nobody keeps: it is made for whoever asked.
    pub fn html(status: StatusCode, html: impl Into<Bytes>) -> Self {
        Self {
            status,
            media_type: Cow::Borrowed(HTML),
            location: None,
            cookies: Vec::new(),
            cache: Cow::Borrowed(NO_STORE),
            body: html.into(),
        }
    }

    /// A redirect with GET to a path of this site (303): what follows a form.
    pub fn see_other(path: impl Into<String>) -> Self {
        let mut page = Self::html(StatusCode::SEE_OTHER, Bytes::new());
        page.location = Some(path.into());
        page
    }

    /// A file under an address that says its contents: it may be kept for ever.
    pub fn file(media_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let mut page = Self::html(StatusCode::OK, bytes);
        page.media_type = Cow::Borrowed(media_type);
        page.cache = Cow::Borrowed(FOR_EVER);
        page
    }

    /// The same page with a cookie for this site alone that no script can read; without `seconds` it ends with the browser.
    pub fn with_cookie(mut self, name: &str, value: &str, seconds: Option<u32>) -> Self {
        let lasts = seconds.map_or_else(String::new, |s| format!("; Max-Age={s}"));
        self.cookies
            .push(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{lasts}"));
        self
    }

    pub(crate) fn to_wire(&self) -> Answered {
        let mut headers = HeaderMap::with_capacity(8);
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                _ = headers.append(name, value);
            }
        };
        if !self.body.is_empty() {
            put(CONTENT_TYPE, &self.media_type);
        }
        put(CACHE_CONTROL, &self.cache);
        if let Some(location) = &self.location {
            put(LOCATION, location);
        }
        self.cookies.iter().for_each(|cookie| put(SET_COOKIE, cookie));
        protect(&mut headers);
        Answered {
            status: self.status,
            headers,
            body: self.body.clone(),
        }
    }

    /// The page that was answered, as far as it is one of ours.
    pub(crate) fn from_wire(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let cookies = headers.get_all(SET_COOKIE).iter();
        Self {
            status,
            media_type: text(CONTENT_TYPE).map_or(Cow::Borrowed(HTML), Cow::Owned),
            location: text(LOCATION),
            cookies: cookies.filter_map(|v| v.to_str().ok()).map(str::to_owned).collect(),
            cache: text(CACHE_CONTROL).map_or(Cow::Borrowed(NO_STORE), Cow::Owned),
            body,
        }
    }
}

/// The headers of every page: it loads nothing from elsewhere, is in nobody's frame, and runs no script but its own files.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with that, browsers send our own forms with `origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether whoever asks can read a page: a browser says so.
pub fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accepted
        .flat_map(|v| v.split(','))
        .any(|media| media.split(';').next().unwrap_or_default().trim() == "text/html")
}

/// What a person is told of a failure that is not theirs. What it was is in the log, for whoever runs this.
const NOT_NOW: (&str, &str) = (
    "This page cannot be shown at the moment",
    "Try again in a moment; what you have sent is not done twice.",
);

/// A problem as a page; any other answer as it is. `again` is the address that was asked for, where asking anew is all that
/// there is to do.
pub(crate) fn told(answer: Answered, again: Option<&str>) -> Answered {
    let is_problem = answer
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|media| media == PROBLEM_JSON);
    let problem = is_problem.then(|| serde_json::from_slice::<Problem>(&answer.body).ok());
    let Some(problem) = problem.flatten() else {
        return answer;
    };
    let detail = problem.detail.as_deref().unwrap_or_default();
    let of_its_path = problem.kind == FaultKind::Malformed.kind() && detail.contains(IN_THE_PATH);
    let (status, title, detail) = if answer.status.is_server_error() {
        tracing::warn!(problem = %problem.title, detail, "a page cannot be shown");
        (answer.status, NOT_NOW.0, NOT_NOW.1)
    } else if of_its_path {
        // For a person an address that cannot be is an address with nothing behind it.
        let detail = "The address is wrong, or what was there is gone.";
        (StatusCode::NOT_FOUND, "There is no such page", detail)
    } else {
        (answer.status, &*problem.title, detail)
    };
    let (title, detail) = (escaped(title), escaped(detail));
    // Of this site alone: `//` and `/\` lead to another.
    let again =
        again.filter(|path| status.is_server_error() && path.starts_with('/') && !path[1..].starts_with(['/', '\\']));
    let again = again.map_or_else(String::new, |path| {
        format!("<p><a href=\"{}\">Try again</a></p>\n", escaped(path))
    });
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p dir=\"auto\">{detail}</p>\n{again}<p><a href=\"/\">Go to the first page</a></p>\n</main>\n</body>\n</html>\n"
    );
    let mut headers = answer.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    protect(&mut headers);
    Answered {
        status,
        headers,
        body: html.into(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Whether a browser sent this from a page of the same origin, or no browser sent it at all. Another port of the same
/// host counts as another origin; only its cookies do not.
pub fn same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let own_site = headers
        .get_all("sec-fetch-site")
        .iter()
        .all(|v| v == "same-origin" || v == "none");
    let host = match headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(|a| a.as_str()),
    };
    let same_host = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|o| o.split_once("://"));
        matches!((authority, host), (Some((_, a)), Some(h)) if a.eq_ignore_ascii_case(h))
    };
    own_site && headers.get_all(ORIGIN).iter().all(same_host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let each = list
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        each.collect()
    }

    #[test]
    fn a_page_goes_round() {
        let page = WebPage::html(StatusCode::CONFLICT, "<p>taken</p>").with_cookie("basket", "7", Some(600));
        let wire = page.to_wire();
        assert_eq!(wire.headers[CACHE_CONTROL], "no-store");
        assert_eq!(wire.headers[CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(
            wire.headers[SET_COOKIE],
            "basket=7; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"
        );
        assert_eq!(WebPage::from_wire(wire.status, &wire.headers, wire.body), page);
        let away = WebPage::see_other("/orders/7");
        let wire = away.to_wire();
        assert_eq!(
            (wire.status.as_u16(), &wire.headers[LOCATION]),
            (303, &HeaderValue::from_static("/orders/7"))
        );
        assert_eq!(WebPage::from_wire(wire.status, &wire.headers, wire.body), away);
    }

    #[test]
    fn a_fault_is_told_in_words_and_what_it_says_is_text() {
        let fault = Fault::new(FaultKind::Invalid, "<script>alert(1)</script>");
        let page = told(Answered::from(fault), None);
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert_eq!(
            (page.status.as_u16(), &page.headers[CONTENT_TYPE]),
            (422, &HeaderValue::from_static(HTML))
        );
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        let plain = WebPage::html(StatusCode::OK, "as it is").to_wire();
        assert_eq!(told(plain.clone(), Some("/")).body, plain.body);
    }

    #[test]
    fn a_person_is_not_told_how_it_is_built() {
        let fault = || {
            Answered::from(Fault::new(
                FaultKind::Unavailable,
                "no healthy service of shop is registered",
            ))
        };
        let read = |page: &Answered| String::from_utf8_lossy(&page.body).into_owned();
        let page = told(fault(), Some("/shows/7?seat=A&seat=\"B"));
        let html = read(&page);
        assert_eq!(page.status.as_u16(), 503);
        assert!(
            html.contains("cannot be shown at the moment") && html.contains("not done twice"),
            "{html}"
        );
        assert!(
            html.contains("href=\"/shows/7?seat=A&amp;seat=&quot;B\">Try again"),
            "{html}"
        );
        assert!(!html.contains("healthy"), "{html}");
        for elsewhere in [
            None,
            Some("//elsewhere.example"),
            Some("/\\elsewhere.example"),
            Some("*"),
        ] {
            let html = read(&told(fault(), elsewhere));
            assert!(!html.contains("Try again<") && html.contains("href=\"/\""), "{html}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_is_no_page() {
        let asked = Fault::new(FaultKind::Malformed, format!("`id`{IN_THE_PATH}: not a UUID"));
        let page = told(Answered::from(asked), Some("/shows/xyz"));
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert_eq!(page.status.as_u16(), 404);
        assert!(
            html.contains("There is no such page") && !html.contains("UUID"),
            "{html}"
        );
        let page = told(
            Answered::from(Fault::new(FaultKind::Malformed, "the query: twice")),
            None,
        );
        assert_eq!(page.status.as_u16(), 400);
    }

    #[test]
    fn who_wants_a_page() {
        assert!(wants_html(&headers(&[(
            "accept",
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
        )])));
        assert!(!wants_html(&headers(&[("accept", "*/*")])));
        assert!(!wants_html(&headers(&[("accept", "application/json")])) && !wants_html(&HeaderMap::new()));
    }

    #[test]
    fn another_site_another_port_and_nobody_in_particular_may_not_post() {
        let uri = Uri::from_static("/orders");
        for (good, list) in [
            (true, headers(&[("host", "a.example")])),
            (
                true,
                headers(&[
                    ("host", "A.example"),
                    ("origin", "https://a.example"),
                    ("sec-fetch-site", "same-origin"),
                ]),
            ),
            (
                false,
                headers(&[("host", "a.example"), ("sec-fetch-site", "cross-site")]),
            ),
            (
                false,
                headers(&[("host", "a.example"), ("sec-fetch-site", "same-site")]),
            ),
            (
                false,
                headers(&[("host", "a.example"), ("origin", "http://a.example:81")]),
            ),
            (false, headers(&[("host", "a.example"), ("origin", "null")])),
            (false, headers(&[("origin", "http://a.example")])),
        ] {
            assert_eq!(same_origin(&list, &uri), good, "{list:?}");
        }
    }
}
