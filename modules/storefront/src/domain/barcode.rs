//! Code 128 (ISO/IEC 15417), set C: a ticket's id for a reader at the door, as the path of a picture. Set C has two digits in
//! each symbol, so that a whole id as a number is narrow enough for the screen of a phone.

/// The widths of bars and spaces of every symbol, in modules, as one number each; the last is the stop.
const SYMBOLS: [u32; 107] = [
    212222, 222122, 222221, 121223, 121322, 131222, 122213, 122312, 132212, 221213, 221312, 231212, 112232, 122132,
    122231, 113222, 123122, 123221, 223211, 221132, 221231, 213212, 223112, 312131, 311222, 321122, 321221, 312212,
    322112, 322211, 212123, 212321, 232121, 111323, 131123, 131321, 112313, 132113, 132311, 211313, 231113, 231311,
    112133, 112331, 132131, 113123, 113321, 133121, 313121, 211331, 231131, 213113, 213311, 213131, 311123, 311321,
    331121, 312113, 312311, 332111, 314111, 221411, 431111, 111224, 111422, 121124, 121421, 141122, 141221, 112214,
    112412, 122114, 122411, 142112, 142211, 241211, 221114, 413111, 241112, 134111, 111242, 121142, 121241, 114212,
    124112, 124211, 411212, 421112, 421211, 212141, 214121, 412121, 111143, 111341, 131141, 114113, 114311, 411113,
    411311, 113141, 114131, 311141, 411131, 211412, 211214, 211232, 2331112,
];
const START_C: usize = 105;
/// The digits of the largest id, made even.
const DIGITS: usize = 40;
const STOP: usize = 106;
/// The empty space on either side, in modules.
const QUIET: u32 = 10;

/// A code as bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Barcode {
    /// How wide it is with the empty space on both sides, in modules.
    pub(crate) width: u32,
    /// The bars as the data of an SVG path, one module wide and one high.
    pub(crate) path: String,
}

impl Barcode {
    /// The code of an id, written as a number of forty digits.
    pub(crate) fn new(id: u128) -> Option<Self> {
        let digits = format!("{id:0DIGITS$}");
        let pairs = digits.as_bytes().chunks(2);
        let values: Vec<usize> = pairs
            .map(|pair| pair.iter().fold(0, |all, digit| 10 * all + usize::from(digit - b'0')))
            .collect();
        let weighted: usize = values
            .iter()
            .enumerate()
            .map(|(place, value)| (place + 1) * value)
            .sum();
        let check = (START_C + weighted) % 103;
        let symbols = [START_C].into_iter().chain(values).chain([check, STOP]);
        let (mut at, mut path) = (QUIET, String::new());
        for symbol in symbols {
            let widths = SYMBOLS.get(symbol)?.to_string();
            for (place, width) in widths.bytes().enumerate() {
                let width = u32::from(width - b'0');
                if place % 2 == 0 {
                    path.push_str(&format!("M{at} 0h{width}v1h-{width}z"));
                }
                at += width;
            }
        }
        Some(Self {
            width: at + QUIET,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_symbol_is_eleven_modules_wide_and_its_own() {
        let all: BTreeSet<_> = SYMBOLS.iter().collect();
        assert_eq!(all.len(), SYMBOLS.len());
        for (place, symbol) in SYMBOLS.iter().enumerate() {
            let widths: Vec<u32> = symbol.to_string().bytes().map(|b| u32::from(b - b'0')).collect();
            let expected = if place == STOP { (7, 13) } else { (6, 11) };
            assert_eq!((widths.len(), widths.iter().sum::<u32>()), expected, "{place}");
            // Of set A, B and C alike: the bars together are an even number of modules.
            let bars: u32 = widths.iter().step_by(2).sum();
            assert!(place == STOP || bars.is_multiple_of(2), "{place}");
        }
    }

    #[test]
    fn a_code_is_as_wide_as_its_symbols() {
        let code = Barcode::new(u128::MAX).unwrap();
        // Start, twenty pairs, check and stop.
        assert_eq!(code.width, 2 * QUIET + 22 * 11 + 13);
        // "Start C": bars of 2, 1 and 3 modules with spaces of 1, 1 and 2.
        assert!(
            code.path.starts_with("M10 0h2v1h-2zM13 0h1v1h-1zM16 0h3"),
            "{}",
            code.path
        );
        // Of nothing but noughts the check is the start's own value: 105 - 103.
        let none = Barcode::new(0).unwrap();
        assert_eq!(none.width, code.width);
        // 222221, and the stop.
        assert!(
            none.path.ends_with("z") && none.path.contains(&format!("M{} 0h2v1h-2z", 10 + 21 * 11)),
            "{}",
            none.path
        );
    }
}
