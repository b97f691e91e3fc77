//! The style sheet and the script: part of the binary, under addresses that say what is in them, so that they are kept for
//! ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use strangler::WebPage;

struct Asset {
    media_type: &'static str,
    text: &'static str,
    /// Its name with the beginning of its digest.
    file: String,
    address: String,
}

impl Asset {
    fn new(ending: &str, media_type: &'static str, text: &'static str) -> Self {
        let hash: String = Sha256::digest(text)
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let file = format!("shop-{hash}.{ending}");
        Self {
            media_type,
            text,
            address: format!("/assets/{file}"),
            file,
        }
    }
}

static ASSETS: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    [
        Asset::new(
            "css",
            "text/css; charset=utf-8",
            include_str!("../../../templates/storefront/assets/shop.css"),
        ),
        Asset::new(
            "js",
            "text/javascript; charset=utf-8",
            include_str!("../../../templates/storefront/assets/shop.js"),
        ),
    ]
});

/// What every page refers to.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// The style sheet's address.
    pub(crate) css: &'static str,
    /// The script's address.
    pub(crate) js: &'static str,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Self {
            css: &ASSETS[0].address,
            js: &ASSETS[1].address,
        }
    }
}

/// The file of this name. One of another version of this program is not here: its pages were made elsewhere.
pub(crate) fn find(file: &str) -> Option<WebPage> {
    let asset = ASSETS.iter().find(|asset| asset.file == file)?;
    Some(WebPage::file(asset.media_type, asset.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_kept_for_ever_under_its_digest_and_nowhere_else() {
        let file = Frame::new().css.strip_prefix("/assets/").unwrap();
        let page = find(file).unwrap();
        assert!(page.cache.contains("immutable") && page.media_type.starts_with("text/css"));
        assert_eq!(find("shop.css"), None);
    }
}
