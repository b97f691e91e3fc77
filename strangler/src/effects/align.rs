//! Two lists, put opposite each other.

/// What it costs to let two things stand opposite each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// They are the same.
    Same,
    /// One thing that was changed.
    Changed,
    /// Two things of one name.
    Other,
    /// They have nothing in common.
    Never,
}

/// What it costs to leave one without an opposite. Two of those are dearer than two things of one name opposite each other,
/// and one is cheaper than that: so what is too many is found where it is.
const ALONE: u32 = 2;

impl Cost {
    fn units(self) -> Option<u32> {
        match self {
            Self::Same => Some(0),
            Self::Changed => Some(2),
            Self::Other => Some(3),
            Self::Never => None,
        }
    }
}

/// More pairs than these are not looked at: longer lists are compared place by place.
const MOST: usize = 1 << 16;

/// Pairs of indexes, in the order of both lists; `None` where one has no opposite.
pub(super) fn align(
    left: usize,
    right: usize,
    cost: impl Fn(usize, usize) -> Cost,
) -> Vec<(Option<usize>, Option<usize>)> {
    let ahead = (0..left.min(right)).take_while(|&i| cost(i, i) == Cost::Same).count();
    let mut pairs: Vec<_> = (0..ahead).map(|i| (Some(i), Some(i))).collect();
    let (l, r) = (left - ahead, right - ahead);
    if l.saturating_mul(r) > MOST {
        let rest = (ahead..left.max(right)).map(|i| ((i < left).then_some(i), (i < right).then_some(i)));
        // Things that have nothing in common stand alone, wherever they stand.
        pairs.extend(rest.flat_map(|pair| match pair {
            (Some(i), Some(j)) if cost(i, j) == Cost::Never => vec![(Some(i), None), (None, Some(j))],
            pair => vec![pair],
        }));
        return pairs;
    }
    // best[i][j]: what the rest costs from here on.
    let width = r + 1;
    let mut best = vec![0_u32; (l + 1) * width];
    let mut opposite = vec![None; l * r];
    for i in (0..=l).rev() {
        for j in (0..=r).rev() {
            let alone = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_mul(ALONE);
            best[i * width + j] = match (i == l, j == r) {
                (true, _) => alone(r - j),
                (_, true) => alone(l - i),
                _ => {
                    let units = cost(ahead + i, ahead + j).units();
                    opposite[i * r + j] = units;
                    let both = units.map(|units| units + best[(i + 1) * width + j + 1]);
                    let one = best[(i + 1) * width + j].min(best[i * width + j + 1]) + ALONE;
                    both.map_or(one, |both| both.min(one))
                }
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < l || j < r {
        let here = best[i * width + j];
        if i < l
            && j < r
            && let Some(units) = opposite[i * r + j]
            && units + best[(i + 1) * width + j + 1] == here
        {
            pairs.push((Some(ahead + i), Some(ahead + j)));
            (i, j) = (i + 1, j + 1);
        } else if i < l && (j == r || best[(i + 1) * width + j] + ALONE == here) {
            pairs.push((Some(ahead + i), None));
            i += 1;
        } else {
            pairs.push((None, Some(ahead + j)));
            j += 1;
        }
    }
    pairs
}
