//! Where settings come from.

use std::{ffi::OsString, path::PathBuf};

/// A flag that sets something.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as it is written: `--listen`.
    pub flag: String,
    /// The key it sets: `public.listen`.
    pub key: String,
    /// What was given.
    pub value: String,
}

impl Flag {
    /// The flag `flag` that sets `key` to `value`.
    pub fn new(flag: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            flag: flag.into(),
            key: key.into(),
            value: value.into(),
        }
    }
}

/// Where settings come from. The later wins: file, environment, flags.
#[derive(Clone)]
pub struct Sources<'a> {
    /// The file that was named; `None` reads `banyan.toml` in the working directory if there is one.
    pub file: Option<PathBuf>,
    /// The environment. Only names that begin with `BANYAN_` are looked at.
    pub env: Vec<(OsString, OsString)>,
    /// The flags.
    pub flags: Vec<Flag>,
    /// The modules there are.
    pub modules: &'a [&'a str],
}

impl<'a> Sources<'a> {
    /// The sources of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the whole environment"
    )]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>, modules: &'a [&'a str]) -> Self {
        Self {
            file,
            env: std::env::vars_os().collect(),
            flags,
            modules,
        }
    }
}

/// One variable of the environment that is no setting (`NO_COLOR`, `BANYAN_OPERATOR_TOKEN`); `None` when it is not set
/// or empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads a single variable")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}
