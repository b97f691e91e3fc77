//! Cursors of lists: what the last line was, as text that nobody has to understand.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// The longest cursor that is looked at.
const LONGEST: usize = 1024;

/// The cursor after this line.
pub(super) fn encode(line: &impl Serialize) -> String {
    // These are tuples of texts and numbers: writing them does not fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(line).unwrap_or_default())
}

/// The line that a cursor stands for.
///
/// # Errors
/// A sentence, when it is none.
pub(super) fn decode<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, String> {
    let Some(cursor) = cursor.filter(|c| !c.is_empty()) else {
        return Ok(None);
    };
    let line = (cursor.len() <= LONGEST)
        .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
        .flatten()
        .and_then(|json| serde_json::from_slice(&json).ok());
    line.map(Some)
        .ok_or_else(|| "the cursor is none of this list; take the `next` of its last page, or begin without".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nonsense_is_refused() {
        let line = (7_i64, "catalog".to_owned());
        let cursor = encode(&line);
        assert_eq!(decode(Some(&cursor)), Ok(Some(line)));
        assert_eq!(decode::<(i64, String)>(None), Ok(None));
        assert_eq!(decode::<(i64, String)>(Some("")), Ok(None));
        for nonsense in ["x", "bnVsbA", &"A".repeat(2000)] {
            assert!(decode::<(i64, String)>(Some(nonsense)).is_err(), "{nonsense}");
        }
    }
}
