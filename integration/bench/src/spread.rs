//! What many durations come to: the median and the quartiles, for these machines' times have a long tail that a mean
//! would follow.

use std::fmt;

/// The median and the quartiles of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// A quarter is below.
    pub(crate) low: f64,
    /// Half is below.
    pub(crate) median: f64,
    /// Three quarters are below.
    pub(crate) high: f64,
}

/// The spread of `figures`; of none it is zero.
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> Spread {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| {
        let at = (figures.len() * part / 4).min(figures.len().saturating_sub(1));
        figures.get(at).copied().unwrap_or_default()
    };
    Spread { low: at(1), median: at(2), high: at(3) }
}

/// As it stands in tables: `median [low high]`, without a fraction.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // -0.4 is no negative zero
        let whole = |figure: f64| figure.round() + 0.0;
        write!(f, "{} [{} {}]", whole(self.median), whole(self.low), whole(self.high))
    }
}

/// The times of programs that run in turn, lane by lane and turn by turn.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    lanes: Vec<Vec<f64>>,
}

impl Times {
    /// For so many programs.
    pub(crate) fn new(lanes: usize) -> Times {
        Times { lanes: vec![Vec::new(); lanes] }
    }

    /// One more turn of lane `n`.
    pub(crate) fn push(&mut self, n: usize, time: f64) {
        if let Some(lane) = self.lanes.get_mut(n) {
            lane.push(time);
        }
    }

    fn lane(&self, n: usize) -> &[f64] {
        self.lanes.get(n).map_or(&[], Vec::as_slice)
    }

    /// What lane `n` takes.
    pub(crate) fn spread(&self, n: usize) -> Spread {
        spread(self.lane(n).iter().copied())
    }

    /// What lane `n` takes more than lane `base`, turn by turn.
    pub(crate) fn added(&self, n: usize, base: usize) -> Spread {
        spread(self.lane(n).iter().zip(self.lane(base)).map(|(one, other)| one - other))
    }

    /// How often lane `n` fits into lane `base`, turn by turn.
    pub(crate) fn faster(&self, n: usize, base: usize) -> Spread {
        spread(self.lane(n).iter().zip(self.lane(base)).map(|(one, other)| other / one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_those_of_the_sorted_figures() {
        let expected = Spread { low: 3.0, median: 5.0, high: 7.0 };
        assert_eq!(spread([7.0, 1.0, 5.0, 3.0, 8.0, 2.0, 4.0, 6.0]), expected);
        assert_eq!(spread([9.0]), Spread { low: 9.0, median: 9.0, high: 9.0 });
        assert_eq!(spread([]), Spread { low: 0.0, median: 0.0, high: 0.0 });
    }

    #[test]
    fn one_slow_turn_moves_no_median() {
        assert_eq!(spread([10.0, 11.0, 12.0, 13.0, 9_000.0]).median, 12.0);
    }

    #[test]
    fn a_difference_is_taken_within_a_turn_and_not_between_medians() {
        let mut times = Times::new(2);
        // The machine is slow in the second turn and slower in the third: both programs feel it.
        for (base, one) in [(10.0, 15.0), (100.0, 105.0), (300.0, 305.0)] {
            times.push(0, base);
            times.push(1, one);
        }
        assert_eq!(times.added(1, 0), Spread { low: 5.0, median: 5.0, high: 5.0 });
        assert_eq!(times.spread(1).median, 105.0);
        assert_eq!(times.faster(0, 1).median, 1.05);
    }

    #[test]
    fn figures_are_printed_without_a_fraction_and_without_a_negative_zero() {
        assert_eq!(Spread { low: -0.4, median: 0.6, high: 1234.5 }.to_string(), "1 [0 1235]");
    }
}
