//! The operator's token and the join token.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{IdentityError, crypto::sha256, secret_file};

/// The file in the data folder that holds the operator's token.
pub const OPERATOR_TOKEN_FILE: &str = "operator-token";
/// The file in the data folder that holds the join token.
pub const JOIN_TOKEN_FILE: &str = "join-token";
/// The environment variable the command line takes the operator's token from.
pub const OPERATOR_TOKEN_VARIABLE: &str = "BANYAN_OPERATOR_TOKEN";
/// The environment variable a joining process takes the join token from.
pub const JOIN_TOKEN_VARIABLE: &str = "BANYAN_JOIN_TOKEN";

const OPERATOR_PREFIX: &str = "bo_op_";
const JOIN_PREFIX: &str = "bo_join_";

/// A bearer token that is the same for the life of a data folder.
#[derive(Clone)]
pub struct Token {
    text: Arc<str>,
    digest: [u8; 32],
}

impl Token {
    fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            digest: sha256(text.as_bytes()),
        }
    }

    /// The token itself, to be sent in a header or given to a process. Not to be logged.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `presented` is this token. Takes the same time however much of it is right.
    pub fn matches(&self, presented: &str) -> bool {
        let presented = sha256(presented.as_bytes());
        let differing = self
            .digest
            .iter()
            .zip(presented)
            .fold(0, |differing, (ours, theirs)| differing | (ours ^ theirs));
        std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The two tokens of a data folder.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The operator's: carries every scope, and opens control and console.
    pub operator: Token,
    /// Shown by a process that joins.
    pub join: Token,
}

impl Tokens {
    /// Reads both from the data folder, and makes folder and tokens where they are missing (mode 0600, on disk when
    /// this returns). Two processes that do this at once end up with the same tokens.
    ///
    /// # Errors
    /// When a file cannot be read or made, when others may read it, and when it is empty or damaged.
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        secret_file::make_folder(folder)?;
        let operator = secret_file::open_or_make(&folder.join(OPERATOR_TOKEN_FILE), OPERATOR_PREFIX)?;
        let join = secret_file::open_or_make(&folder.join(JOIN_TOKEN_FILE), JOIN_PREFIX)?;
        Ok(Self {
            operator: Token::new(&operator),
            join: Token::new(&join),
        })
    }
}

/// The operator's token for the command line: from [`OPERATOR_TOKEN_VARIABLE`] (its value is handed in), else from the
/// data folder. Makes nothing.
///
/// # Errors
/// When neither has it, when what is there is no operator token, and when others may read the file.
pub fn operator_token(variable: Option<&str>, folder: &Path) -> Result<Token, IdentityError> {
    find(
        variable,
        folder.join(OPERATOR_TOKEN_FILE),
        OPERATOR_TOKEN_VARIABLE,
        OPERATOR_PREFIX,
    )
}

/// The join token for a process that joins: from [`JOIN_TOKEN_VARIABLE`] (its value is handed in), else from the data
/// folder. Makes nothing.
///
/// # Errors
/// When neither has it, when what is there is no join token, and when others may read the file.
pub fn join_token(variable: Option<&str>, folder: &Path) -> Result<Token, IdentityError> {
    find(variable, folder.join(JOIN_TOKEN_FILE), JOIN_TOKEN_VARIABLE, JOIN_PREFIX)
}

fn find(
    value: Option<&str>,
    path: PathBuf,
    variable: &'static str,
    prefix: &'static str,
) -> Result<Token, IdentityError> {
    match value.map(str::trim).filter(|value| !value.is_empty()) {
        Some(value) if secret_file::is_well_formed(value, prefix) => Ok(Token::new(value)),
        Some(_) => Err(IdentityError::NotAToken { variable, prefix }),
        None => match secret_file::read(&path)? {
            Some(text) => Ok(Token::new(&secret_file::parse(&path, &text, prefix)?)),
            None => Err(IdentityError::NoToken { path, variable }),
        },
    }
}
