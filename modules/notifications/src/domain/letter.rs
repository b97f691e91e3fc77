//! What a mail says.

use std::fmt::Write as _;

use chrono_tz::Tz;
use kernel::{Money, Time, Uuid};
use notifications_contract::OrderId;
use serde::{Deserialize, Serialize};

/// What happened to an order, as far as its buyer is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Letter {
    /// The seats are theirs.
    Confirmed { show: Uuid, seats: Vec<Seat>, total: Money },
    /// It could not be done.
    Refused {
        show: Uuid,
        seats: Vec<String>,
        reason: String,
    },
    /// It was cancelled. `refunded` is what was given back.
    Cancelled {
        show: Uuid,
        seats: Vec<String>,
        refunded: Option<Money>,
    },
}

/// A seat that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) seat: String,
    pub(crate) ticket: Uuid,
}

/// What is known of a show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) act: Option<String>,
    pub(crate) house: Option<House>,
    pub(crate) starts_at: Option<Time>,
}

/// What is known of a venue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct House {
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) time_zone: String,
}

impl Facts {
    /// Whether nothing is missing.
    pub(crate) fn are_whole(&self) -> bool {
        self.act.is_some() && self.house.is_some() && self.starts_at.is_some()
    }
}

impl Letter {
    /// The show it is about.
    pub(crate) fn show(&self) -> Uuid {
        match self {
            Self::Confirmed { show, .. } | Self::Refused { show, .. } | Self::Cancelled { show, .. } => *show,
        }
    }

    /// The subject. Without control characters, and otherwise as people wrote it.
    pub(crate) fn subject(&self, facts: &Facts) -> String {
        let what = match self {
            Self::Confirmed { .. } => "Your tickets",
            Self::Refused { .. } => "Your order was refused",
            Self::Cancelled { .. } => "Your order was cancelled",
        };
        match &facts.act {
            Some(act) => format!("{what}: {}", clean(act)),
            None => what.to_owned(),
        }
    }

    /// The text: what happened, the show, the seats, the money, the order's id.
    pub(crate) fn text(&self, order: OrderId, facts: &Facts) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, facts);
        let _ = writeln!(text, "\nOrder {order}");
        text
    }

    fn write(&self, text: &mut String, facts: &Facts) -> std::fmt::Result {
        match self {
            Self::Confirmed { show, seats, total } => {
                writeln!(text, "Thank you for your order. The seats are yours.\n")?;
                about(text, *show, facts)?;
                writeln!(text)?;
                for Seat { seat, ticket } in seats {
                    writeln!(text, "Seat {}: ticket {ticket}", clean(seat))?;
                }
                writeln!(text, "\nPaid: {}", money(*total))
            }
            Self::Refused { show, seats, reason } => {
                let reason = clean(reason);
                let reason = reason.trim_end_matches('.');
                writeln!(text, "Your order could not be done. The reason: {reason}.")?;
                writeln!(text, "Nothing is held for you, and nothing was charged.\n")?;
                about(text, *show, facts)?;
                listed(text, seats)
            }
            Self::Cancelled { show, seats, refunded } => {
                writeln!(text, "Your order was cancelled. The seats are not yours any more.")?;
                match refunded {
                    Some(money_back) => writeln!(text, "You get back {}.\n", money(*money_back))?,
                    None => writeln!(text, "Nothing had been charged, so there is nothing to give back.\n")?,
                }
                about(text, *show, facts)?;
                listed(text, seats)
            }
        }
    }
}

/// The show, as far as it is known.
fn about(text: &mut String, show: Uuid, facts: &Facts) -> std::fmt::Result {
    match &facts.act {
        Some(act) => writeln!(text, "{}", clean(act))?,
        None => writeln!(text, "Show {show}")?,
    }
    if let Some(house) = &facts.house {
        writeln!(text, "{}, {}", clean(&house.name), clean(&house.city))?;
    }
    if let Some(starts_at) = facts.starts_at {
        let (starts_at, zone) = (
            starts_at.utc(),
            facts.house.as_ref().map_or("UTC", |house| &house.time_zone),
        );
        match zone.parse::<Tz>() {
            Ok(Tz::UTC) => writeln!(text, "{}", starts_at.format("%A, %-d %B %Y, %H:%M UTC"))?,
            Ok(known) => {
                // With its distance from UTC: in autumn one hour comes twice.
                let there = starts_at.with_timezone(&known);
                let (time, distance) = (there.format("%A, %-d %B %Y, %H:%M"), there.format("UTC%:z"));
                writeln!(text, "{time} ({zone}, {distance})")?;
            }
            // The catalog takes whatever looks like the name of a zone.
            Err(_) => {
                let utc = starts_at.format("%A, %-d %B %Y, %H:%M UTC");
                writeln!(text, "{utc} (the house keeps the time of {})", clean(zone))?;
            }
        }
    }
    Ok(())
}

fn listed(text: &mut String, seats: &[String]) -> std::fmt::Result {
    writeln!(text)?;
    seats.iter().try_for_each(|seat| writeln!(text, "Seat {}", clean(seat)))
}

/// An amount as people read it: `45.00 EUR`. How many digits the minor unit has is from ISO 4217.
pub(super) fn money(money: Money) -> String {
    let currency = money.currency().to_string();
    let digits = match currency.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    };
    let unit = 10_i64.pow(digits);
    let (whole, rest) = (money.amount() / unit, money.amount() % unit);
    match digits {
        0 => format!("{whole} {currency}"),
        _ => format!("{whole}.{rest:0width$} {currency}", width = digits as usize),
    }
}

/// A text of somebody's on one line that keeps to itself: without control characters, line separators and the marks that
/// turn the direction of what follows. One with letters that run from right to left is put into an isolate, so that it
/// does not reorder what stands beside it (Unicode, UAX 9).
pub(crate) fn clean(text: &str) -> String {
    let turns =
        |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}');
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let kept = text.chars().filter(|c| !turns(*c));
    let line: String = kept.map(|c| if breaks(c) { ' ' } else { c }).collect();
    let leftward = |c| {
        matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    if line.chars().any(leftward) {
        format!("\u{2068}{line}\u{2069}")
    } else {
        line
    }
}
