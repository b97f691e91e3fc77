//! The season's filter: what was typed, and what the catalog is asked.

use kernel::{
    Cursor, Name, Time,
    chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc},
};
use storefront_contract::SeasonFilter;

/// What was typed, as it was typed, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) city: String,
    pub(crate) q: String,
    pub(crate) cursor: String,
    /// What is wrong with a field, by its name.
    pub(crate) mistakes: Vec<(&'static str, String)>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The first and the last day, at the venue.
    pub(crate) days: (Option<NaiveDate>, Option<NaiveDate>),
    /// All that can be on those days anywhere, and has not begun.
    pub(crate) window: (Option<Time>, Option<Time>),
    pub(crate) city: Option<Name>,
    pub(crate) search: Option<Name>,
    pub(crate) cursor: Option<Cursor>,
}

impl Filter {
    /// What a form sent; a field that is blank says nothing.
    pub(crate) fn read(filter: SeasonFilter, now: DateTime<Utc>) -> (Self, Asked) {
        let text = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
        let mut read = Self {
            from: text(filter.from),
            to: text(filter.to),
            city: text(filter.city),
            q: text(filter.q),
            cursor: text(filter.cursor),
            mistakes: Vec::new(),
        };
        let days = (read.day("from", &read.from.clone()), read.day("to", &read.to.clone()));
        if let (Some(from), Some(to)) = days
            && to < from
        {
            read.mistakes
                .push(("to", "The last day is before the first.".to_owned()));
        }
        let city = read.name("city", &read.city.clone());
        let search = read.name("q", &read.q.clone());
        let cursor = match read.cursor.is_empty() {
            true => None,
            // A page that is not there any more begins at the beginning.
            false => Cursor::try_from(read.cursor.clone()).ok(),
        };
        let asked = Asked {
            days,
            window: window(days, now),
            city,
            search,
            cursor,
        };
        (read, asked)
    }

    fn day(&mut self, field: &'static str, text: &str) -> Option<NaiveDate> {
        if text.is_empty() {
            return None;
        }
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let day = day.filter(|day| time(*day).is_some());
        if day.is_none() {
            self.mistakes
                .push((field, "Write a day such as 2027-05-01.".to_owned()));
        }
        day
    }

    fn name(&mut self, field: &'static str, text: &str) -> Option<Name> {
        if text.is_empty() {
            return None;
        }
        match Name::try_from(text) {
            Ok(name) => Some(name),
            Err(why) => {
                self.mistakes.push((field, why));
                None
            }
        }
    }

    /// What is wrong with this field.
    pub(crate) fn mistake(&self, field: &str) -> Option<&str> {
        let found = self.mistakes.iter().find(|(name, _)| *name == field);
        found.map(|(_, why)| why.as_str())
    }

    /// Whether anything narrows the season.
    pub(crate) fn narrows(&self) -> bool {
        [&self.from, &self.to, &self.city, &self.q]
            .iter()
            .any(|f| !f.is_empty())
    }

    /// The fields that say something, and this cursor.
    pub(crate) fn pairs<'a>(&'a self, cursor: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let fields = [
            ("from", self.from.as_str()),
            ("to", &self.to),
            ("city", &self.city),
            ("q", &self.q),
            ("cursor", cursor.unwrap_or_default()),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

fn time(day: NaiveDate) -> Option<Time> {
    day.and_time(NaiveTime::MIN).and_utc().try_into().ok()
}

/// A day begins 14 hours before it does in UTC, in the east, and ends 12 hours later, in the west.
fn window((from, to): (Option<NaiveDate>, Option<NaiveDate>), now: DateTime<Utc>) -> (Option<Time>, Option<Time>) {
    let now = Time::try_from(now).ok();
    let moved = |day: NaiveDate, days: u64, by: TimeDelta| {
        let moment = time(day.checked_add_days(Days::new(days))?)?.utc();
        Time::try_from(moment.checked_add_signed(by)?).ok()
    };
    let from = from.and_then(|day| moved(day, 0, TimeDelta::hours(-14)));
    let to = to.and_then(|day| moved(day, 1, TimeDelta::hours(12)));
    (from.max(now), to)
}

impl Asked {
    /// Whether a show on this day, at its venue, is asked for.
    pub(crate) fn has(&self, day: NaiveDate) -> bool {
        let (from, to) = self.days;
        from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Filter, Asked) {
        let field = |name: &str| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let filter = SeasonFilter {
            from: field("from"),
            to: field("to"),
            city: field("city"),
            q: field("q"),
            cursor: field("cursor"),
        };
        Filter::read(filter, "2027-01-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_form_without_anything_in_it_asks_for_all_that_is_to_come() {
        let (filter, asked) = read(&[("from", ""), ("to", " "), ("city", ""), ("q", "")]);
        assert!(filter.mistakes.is_empty() && !filter.narrows());
        let now = "2027-01-01T12:00:00Z".parse().ok();
        assert_eq!((asked.window, asked.city, asked.search), ((now, None), None, None));
    }

    #[test]
    fn a_day_is_a_day_wherever_the_venue_is() {
        let (_, asked) = read(&[("from", "2027-05-01"), ("to", "2027-05-01")]);
        let at = |text: &str| text.parse::<Time>().ok();
        assert_eq!(asked.window, (at("2027-04-30T10:00:00Z"), at("2027-05-02T12:00:00Z")));
        let day = |day| NaiveDate::from_ymd_opt(2027, 5, day).unwrap();
        assert!(asked.has(day(1)) && !asked.has(day(2)));
    }

    #[test]
    fn what_is_wrong_is_said_and_kept() {
        let long = "x".repeat(201);
        let (filter, asked) = read(&[("from", "soon"), ("to", "99999-01-01"), ("q", &long), ("cursor", "x")]);
        for field in ["from", "to", "q"] {
            assert!(filter.mistake(field).is_some(), "{field}");
        }
        assert_eq!((filter.mistake("city"), filter.from.as_str()), (None, "soon"));
        assert_eq!((asked.days, asked.cursor), ((None, None), None));
        let (filter, _) = read(&[("from", "2027-05-02"), ("to", "2027-05-01")]);
        assert_eq!(filter.mistake("to"), Some("The last day is before the first."));
    }

    #[test]
    fn the_next_page_keeps_the_filter() {
        let (filter, _) = read(&[("city", "Wien"), ("q", "")]);
        assert_eq!(filter.pairs(Some("7")), [("city", "Wien"), ("cursor", "7")]);
    }
}
