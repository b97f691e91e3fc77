//! Shares of callers and of calls, in hundredths of a percent, and how a caller or a call falls into one.
//!
//! A caller's side must be the same in every process and after every restart, so the hash is written down here and never
//! changes: a randomly keyed one, such as the standard library's, would draw everybody anew at each start.
//!
//! * a caller's *key* is FNV-1a (64 bits, offset 0xcbf29ce484222325, prime 0x100000001b3) over the UTF-8 of its subject,
//!   session or idempotency key (Fowler, Noll and Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>);
//! * its *bucket* for a module is `mix(key ^ salt)`, scaled to 0..10000 by multiplying and taking the upper 64 bits. `mix` is
//!   the finalizer of MurmurHash3 (Austin Appleby, public domain), as FNV alone leaves the upper bits of similar keys alike.
//!
//! A caller belongs to a share when its bucket is below the share's hundredths, so a larger share only ever adds callers. The
//! salt is the module's: who is early in one module is not for that reason early in all. Keys that callers choose
//! themselves can be chosen for a side; a canary is no protection against anybody.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many hundredths of a percent are all.
const ALL: u16 = 10_000;

/// A part of all callers or calls, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(ALL);

    /// So many hundredths of a percent; `None` beyond 10,000.
    pub fn of_hundredths(hundredths: u16) -> Option<Self> {
        (hundredths <= ALL).then_some(Self(hundredths))
    }

    /// In hundredths of a percent: 0 to 10,000.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// In percent: 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether whoever has this bucket (0 to 9,999) belongs to it.
    #[inline]
    pub fn has(self, bucket: u16) -> bool {
        bucket < self.0
    }
}

/// `5%`, `0.05%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

fn no_share(text: &dyn fmt::Display) -> String {
    format!("`{text}` is no percentage; write a number from 0 to 100 with at most two decimals, such as 5 or 0.25")
}

/// Reads `5`, `0.25` or `5%`.
impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !(digits(whole) && digits(part) && whole.len() <= 3 && part.len() <= 2) {
            return Err(no_share(&text));
        }
        // Both are a few digits; what is shorter than two decimals are tenths.
        let number = |s: &str| s.parse().unwrap_or(ALL);
        let hundredths = number(whole).checked_mul(100);
        let hundredths = hundredths.and_then(|h| h.checked_add(number(&format!("{part:0<2}"))));
        hundredths.and_then(Self::of_hundredths).ok_or_else(|| no_share(&text))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 % 100 {
            0 => to.serialize_u16(self.0 / 100),
            _ => to.serialize_f64(self.percent()),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(from)?;
        let hundredths = (percent * 100.0).round();
        let near = (percent * 100.0 - hundredths).abs() < 1e-6;
        if !(near && (0.0..=f64::from(ALL)).contains(&hundredths)) {
            return Err(serde::de::Error::custom(no_share(&percent)));
        }
        Ok(Self(hundredths as u16))
    }
}

/// What stands for a caller: FNV-1a over its name.
pub(crate) fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The bucket, 0 to 9,999, of a caller with this key in a module with this salt.
#[inline]
pub fn bucket(key: u64, salt: u64) -> u16 {
    scaled(mix(key ^ salt))
}

#[inline]
fn scaled(hash: u64) -> u16 {
    ((u128::from(hash) * u128::from(ALL)) >> 64) as u16
}

#[inline]
fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// Picks a share of calls, spread evenly: after `n` calls, `n` times the share were picked, give or take a few.
///
/// It walks around the circle in steps of the golden ratio (an additive recurrence, or Weyl sequence), of which any run of
/// steps is spread as evenly as can be; steps of the share itself would pick the same of two calls that always come in turn.
#[derive(Debug, Default)]
pub(crate) struct Spread(std::sync::atomic::AtomicU64);

impl Spread {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Whether the next call is one of the share.
    #[inline]
    pub(crate) fn picks(&self, share: Share) -> bool {
        if share == Share::ALL {
            return true;
        }
        let at = self.0.fetch_add(Self::STEP, std::sync::atomic::Ordering::Relaxed);
        share.has(scaled(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written_in_hundredths() {
        for (text, hundredths) in [
            ("0", 0),
            ("5", 500),
            ("0.01", 1),
            ("0.5", 50),
            ("33.33", 3333),
            ("100", 10_000),
            ("100.00%", 10_000),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!(share.hundredths(), hundredths, "{text}");
            assert_eq!(share.to_string().parse(), Ok(share));
            let json = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Share>(&json).unwrap(), share, "{json}");
        }
        for bad in [
            "", "-1", "100.01", "101", "5.001", "x", "1e1", ".5", "5.", "NaN", "999", "٥", "%",
        ] {
            let why = bad.parse::<Share>().unwrap_err();
            assert!(why.contains("0 to 100"), "{bad}: {why}");
        }
        for bad in ["-0.5", "100.01", "5.001", "\"5\"", "null", "1e99"] {
            assert!(serde_json::from_str::<Share>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&"5".parse::<Share>().unwrap()).unwrap(), "5");
    }

    #[test]
    fn a_share_has_as_many_buckets_as_hundredths() {
        for hundredths in [0, 1, 5000, 9999, ALL] {
            let share = Share(hundredths);
            assert_eq!(
                (0..ALL).filter(|&bucket| share.has(bucket)).count(),
                usize::from(hundredths)
            );
        }
    }

    /// Written down once: whoever changes these numbers moves every caller of every canary to another side.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(key(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(key("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(key("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0), 0);
        assert_eq!(mix(1), 0xb456_bcfc_34c2_cb2c);
    }

    #[test]
    fn buckets_are_spread_evenly_whatever_the_keys_look_like() {
        for salt in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let kinds: [fn(u32) -> String; 3] = [
                |n| n.to_string(),
                |n| format!("user-{n:08}@example.org"),
                |n| format!("{:032x}", u128::from(n) << 64),
            ];
            for kind in kinds {
                let mut tenths = [0u32; 10];
                (0..20_000).for_each(|n| tenths[usize::from(bucket(key(&kind(n)), salt) / 1000)] += 1);
                // Nine degrees of freedom: 33.7 is passed by chance once in ten thousand.
                let chi: f64 = tenths.iter().map(|&n| (f64::from(n) - 2000.0).powi(2) / 2000.0).sum();
                assert!(chi < 33.7, "salt {salt:x}, {}: {tenths:?}", kind(7));
            }
        }
    }

    #[test]
    fn a_spread_picks_its_share_and_favours_no_turn() {
        for hundredths in [1, 50, 1000, 3333, 5000, 9999] {
            let (share, spread) = (Share(hundredths), Spread::default());
            let mut turns = [0u32; 3];
            for n in 0..300_000 {
                turns[n % 3] += u32::from(spread.picks(share));
            }
            let want = 100_000.0 * share.percent() / 100.0;
            for picked in turns {
                assert!(
                    (f64::from(picked) - want).abs() <= 12.0,
                    "{share}: {turns:?}, not {want}"
                );
            }
        }
        assert!((0..100).all(|_| Spread::default().picks(Share::ALL)));
        let spread = Spread::default();
        assert!(!(0..100_000).any(|_| spread.picks(Share::NONE)));
    }
}
