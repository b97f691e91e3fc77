//! The port to whoever moves the money.

mod http;

use std::{fmt, time::Duration};

pub use http::HttpProvider;
use payments_contract::PaymentToken;
use serde::{Deserialize, Serialize};
use strangler::BoxFuture;

use crate::domain::{Charge, Intent};

/// Why the provider gave no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderError {
    /// It did not do it, and will not do it when asked the same again.
    Refused(String),
    /// It may have done it or not: it did not answer in time, broke, or said what cannot be understood.
    Unknown(String),
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(cause) | Self::Unknown(cause)) = self;
        f.write_str(cause)
    }
}

impl std::error::Error for ProviderError {}

/// Whoever moves the money. Every operation is idempotent by the charge's key: the same once more has the effect of one.
/// An answer is given `within` that time or is [`ProviderError::Unknown`].
pub trait Provider: Send + Sync + 'static {
    /// Reserves the money.
    fn authorise<'a>(
        &'a self,
        charge: Charge,
        token: &'a PaymentToken,
        within: Duration,
    ) -> BoxFuture<'a, Result<Intent, ProviderError>>;

    /// Takes the money that was reserved.
    fn capture(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>>;

    /// Lets the money go. Of a charge that has not arrived yet, it sees to it that it will be refused.
    fn void(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>>;

    /// Gives the money back that was taken.
    fn refund(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>>;

    /// How it stands; `None` when the provider has not heard of it so far.
    fn intent(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Option<Intent>, ProviderError>>;
}
