//! Moments in time: UTC, to the microsecond, RFC 3339 outside.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// A moment between the years 1970 and 9999, in UTC, cut to microseconds: the finest step that every database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(DateTime<Utc>);

impl Time {
    /// 9999-12-31T23:59:59.999999Z, in microseconds.
    const LAST: i64 = 253_402_300_799_999_999;

    /// Microseconds since 1970; an error before 1970 and after 9999.
    pub fn from_micros(micros: i64) -> Result<Self, String> {
        match DateTime::from_timestamp_micros(micros) {
            Some(time) if (0..=Self::LAST).contains(&micros) => Ok(Self(time)),
            _ => Err("a time is between the years 1970 and 9999".to_owned()),
        }
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// The same moment as chrono has it.
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl TryFrom<DateTime<Utc>> for Time {
    type Error = String;

    fn try_from(time: DateTime<Utc>) -> Result<Self, String> {
        Self::from_micros(time.trunc_subsecs(6).timestamp_micros())
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = DateTime::parse_from_rfc3339(text)
            .map_err(|_| "not a time of RFC 3339, such as 2027-05-01T19:30:00Z".to_owned())?;
        time.to_utc().try_into()
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        RefOr::T(Schema::Object(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(format))
                .build(),
        ))
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_goes_round() {
        for text in ["2027-05-01T19:30:00Z", "2027-05-01T19:30:00.000001Z"] {
            assert_eq!(text.parse::<Time>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            "2027-05-01T21:30:00.1234567+02:00"
                .parse::<Time>()
                .map(|t| t.to_string()),
            Ok("2027-05-01T19:30:00.123456Z".to_owned())
        );
    }

    #[test]
    fn what_is_no_time() {
        for bad in [
            "",
            "soon",
            "2027-05-01",
            "1969-12-31T23:59:59Z",
            "2027-13-01T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
