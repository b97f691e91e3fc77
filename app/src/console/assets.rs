//! The style sheet and the script: part of the binary, cached as long as they stay the same.

use std::sync::LazyLock;

use axum::{
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    /// The beginning of its digest.
    hash: String,
    /// Its address, with the digest: it may be kept for ever.
    address: String,
}

impl Asset {
    fn new(name: &'static str, media_type: &'static str, text: &'static str) -> Self {
        let hash: String = Sha256::digest(text)
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            name,
            media_type,
            text,
            address: format!("/console/assets/{name}?v={hash}"),
            hash,
        }
    }
}

static ASSETS: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    [
        Asset::new(
            "console.css",
            "text/css; charset=utf-8",
            include_str!("../../../templates/console/assets/console.css"),
        ),
        Asset::new(
            "console.js",
            "text/javascript; charset=utf-8",
            include_str!("../../../templates/console/assets/console.js"),
        ),
    ]
});

/// The style sheet's address.
pub(super) fn css() -> &'static str {
    &ASSETS[0].address
}

/// The script's address.
pub(super) fn js() -> &'static str {
    &ASSETS[1].address
}

/// `GET /console/assets/{name}`: open to anybody, as the form to sign in needs them.
pub(super) async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|a| a.name == name) else {
        return (StatusCode::NOT_FOUND, "No such file.\n").into_response();
    };
    let tag = format!("\"{}\"", asset.hash);
    let exact = query
        .and_then(|q| q.strip_prefix("v=").map(|v| v == asset.hash))
        .unwrap_or(false);
    let keep = if exact {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.contains(&tag)));
    let head = [(header::ETAG, tag), (header::CACHE_CONTROL, keep.to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_is_kept_for_ever_under_its_hash_and_asked_again_without() {
        let get = |query: Option<String>, headers| asset(Path("console.css".to_owned()), RawQuery(query), headers);
        let (_, query) = css().split_once('?').unwrap();
        let kept = get(Some(query.to_owned()), HeaderMap::new()).await;
        assert!(kept.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        let again = get(Some("v=0".to_owned()), HeaderMap::new()).await;
        assert_eq!(again.headers()["cache-control"], "no-cache");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, again.headers()[header::ETAG].clone());
        assert_eq!(get(None, headers).await.status(), StatusCode::NOT_MODIFIED);
    }
}
