//! Money and times, for people.

use chrono_tz::Tz;
use kernel::{
    Currency, Money, Time,
    chrono::{DateTime, NaiveDate, TimeZone, Utc},
};

/// How many digits of an amount stand after the point (ISO 4217).
pub(crate) fn digits(currency: Currency) -> usize {
    match currency.to_string().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// `45.00 EUR`.
pub(crate) fn money(money: Money) -> String {
    let (amount, currency) = (money.amount(), money.currency());
    let digits = digits(currency);
    if digits == 0 {
        return format!("{amount} {currency}");
    }
    // `digits` is 2 or 3.
    let unit = 10_i64.pow(digits as u32);
    format!("{}.{:0digits$} {currency}", amount / unit, amount % unit)
}

/// A moment as the clocks at the venue show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    at: DateTime<Utc>,
    zone: Tz,
}

impl LocalTime {
    /// The moment in this time zone; in UTC when there is no such zone.
    pub(crate) fn new(at: Time, zone: Option<&str>) -> Self {
        let zone = zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
        Self { at: at.utc(), zone }
    }

    fn local(&self) -> DateTime<Tz> {
        self.zone.from_utc_datetime(&self.at.naive_utc())
    }

    /// Whether it has come.
    pub(crate) fn has_come(&self, now: DateTime<Utc>) -> bool {
        self.at <= now
    }

    /// For machines.
    pub(crate) fn exact(&self) -> String {
        Time::try_from(self.at).map_or_else(|_| self.at.to_rfc3339(), |time| time.to_string())
    }

    /// The day there.
    pub(crate) fn date(&self) -> NaiveDate {
        self.local().date_naive()
    }

    /// `Sat 1 May 2027`.
    pub(crate) fn day(&self) -> String {
        self.local().format("%a %-d %b %Y").to_string()
    }

    /// `21:30`.
    pub(crate) fn clock(&self) -> String {
        self.local().format("%H:%M").to_string()
    }

    /// `Europe/Vienna`.
    pub(crate) fn zone(&self) -> &'static str {
        self.zone.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(amount: i64, currency: &str) -> String {
        money(Money::new(amount, currency.to_owned().try_into().unwrap()).unwrap())
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        assert_eq!(amount(4500, "EUR"), "45.00 EUR");
        assert_eq!(amount(5, "EUR"), "0.05 EUR");
        assert_eq!(amount(4500, "JPY"), "4500 JPY");
        assert_eq!(amount(4500, "KWD"), "4.500 KWD");
    }

    #[test]
    fn a_show_begins_when_the_clocks_of_its_venue_say() {
        let at: Time = "2027-05-01T22:30:00Z".parse().unwrap();
        let there = LocalTime::new(at, Some("Europe/Vienna"));
        assert_eq!(
            (there.day().as_str(), there.clock().as_str()),
            ("Sun 2 May 2027", "00:30")
        );
        assert_eq!(
            (there.zone(), there.exact().as_str()),
            ("Europe/Vienna", "2027-05-01T22:30:00Z")
        );
        for unknown in [None, Some("Mars/Olympus")] {
            let there = LocalTime::new(at, unknown);
            assert_eq!((there.clock().as_str(), there.zone()), ("22:30", "UTC"));
        }
    }
}
