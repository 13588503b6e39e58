//! Quantities: the table of cases, and the laws over any text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use runc_strict::resize::amount::{Bytes, MilliCpu};
use runc_strict::resize::quantity::{Family, Quantity};

const TABLE: &str = include_str!("data/resize/quantities.txt");

/// The rows of the table: text and what is expected of it.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| line.split_once('|').map(|(text, rest)| (text.trim(), rest.trim())).expect("two columns"))
}

#[test]
fn every_case_of_the_table_has_its_exact_value_and_its_canonical_form() {
    let mut seen = 0;
    for (text, expected) in rows().filter(|(_, expected)| !expected.starts_with('!')) {
        let (value, canonical) = expected.split_once('|').expect("three columns");
        let (mantissa, exponent) = value.trim().split_once('e').expect("mantissa e exponent");
        let power = u32::try_from(exponent.parse::<i32>().unwrap() + 9).unwrap();
        let nano = mantissa.parse::<i128>().unwrap() * 10_i128.pow(power);
        let quantity: Quantity = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(quantity.nano(), nano, "the value of {text}");
        assert_eq!(quantity.to_string(), canonical.trim(), "the canonical form of {text}");
        assert_eq!(quantity.to_string().parse(), Ok(quantity), "{text} printed and read again");
        seen += 1;
    }
    assert!(seen > 120, "the table has lost cases: {seen}");
}

#[test]
fn every_refusal_of_the_table_says_why() {
    let mut seen = 0;
    for (text, expected) in rows() {
        let Some(message) = expected.strip_prefix("! ") else { continue };
        let error = text.parse::<Quantity>().expect_err(text);
        assert_eq!(error.to_string(), format!("quantity \"{text}\": {message}"));
        seen += 1;
    }
    assert!(seen > 20, "the table has lost refusals: {seen}");
}

#[test]
fn blanks_around_a_quantity_are_refused() {
    assert!(" 1".parse::<Quantity>().is_err());
    assert!("1 ".parse::<Quantity>().is_err());
}

#[test]
fn bytes_and_milli_cpus_round_up() {
    let bytes = |text: &str| text.parse::<Quantity>().unwrap().bytes();
    let milli = |text: &str| text.parse::<Quantity>().unwrap().milli_cpu();
    assert_eq!(bytes("100.035Ki"), Bytes::new(102_436));
    assert_eq!(bytes("0.05Gi"), Bytes::new(53_687_092));
    assert_eq!(bytes("1n"), Bytes::new(1));
    assert_eq!(bytes("9Ei"), Bytes::new(9_223_372_036_854_775_807));
    assert_eq!(bytes("12E"), None, "beyond 2^63-1");
    assert_eq!(milli("0.1m"), MilliCpu::new(1));
    assert_eq!(milli("100.5m"), MilliCpu::new(101));
    assert_eq!(milli("0.0005k"), MilliCpu::new(500));
    assert_eq!(milli("9Ei"), None, "beyond 2^63-1 thousandths");
}

#[test]
fn amounts_are_printed_for_people() {
    let bytes = |bytes: u64| Bytes::new(bytes).unwrap().to_string();
    assert_eq!(bytes(134_217_728), "128Mi");
    assert_eq!(bytes(1_610_612_736), "1536Mi");
    assert_eq!(bytes(4096), "4Ki");
    assert_eq!(bytes(102_436), "102436");
    assert_eq!(bytes(100_000_000), "100M");
    assert_eq!(bytes(0), "0");
    let milli = |milli: u64| MilliCpu::new(milli).unwrap().to_string();
    assert_eq!([milli(500), milli(1500), milli(2000), milli(0)], ["500m", "1500m", "2", "0"]);
}

/// The reference: schoolbook arithmetic on decimal digits, least significant first, with nothing rounded on the way.
#[derive(Clone)]
struct Digits(Vec<u8>);

impl Digits {
    fn read(text: &str) -> Self {
        Self(text.bytes().rev().map(|digit| digit - b'0').collect())
    }

    fn doubled(mut self) -> Self {
        let mut carry = 0;
        for digit in &mut self.0 {
            let sum = *digit * 2 + carry;
            (*digit, carry) = (sum % 10, sum / 10);
        }
        self.0.push(carry);
        self
    }

    fn plus_one(mut self) -> Self {
        self.0.push(0);
        for digit in &mut self.0 {
            *digit = (*digit + 1) % 10;
            if *digit != 0 {
                break;
            }
        }
        self
    }

    /// The number times 10^power, rounded up to a whole one.
    fn shifted_up(mut self, power: i64) -> Self {
        if let Ok(zeros) = usize::try_from(power) {
            self.0.splice(0..0, std::iter::repeat_n(0, zeros));
            return self;
        }
        let cut = usize::try_from(-power).unwrap().min(self.0.len());
        let rest = self.0.drain(..cut).any(|digit| digit != 0);
        if rest { self.plus_one() } else { self }
    }

    /// As an i128 if it fits.
    fn number(&self) -> Option<i128> {
        self.0
            .iter()
            .rev()
            .try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(*digit)))
    }
}

/// What `whole.fraction` with this suffix is in nano units; `None` beyond the range of i128.
fn reference(whole: &str, fraction: &str, suffix: &str) -> Option<i128> {
    let places = i64::try_from(fraction.len()).unwrap();
    let mut digits = Digits::read(&format!("{whole}{fraction}"));
    if let Some(power) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|name| *name == suffix) {
        for _ in 0..(power + 1) * 10 {
            digits = digits.doubled();
        }
        let cap = i128::from(i64::MAX) * 1_000_000_000;
        return Some(digits.shifted_up(9 - places).number().unwrap_or(cap).min(cap));
    }
    let power =
        match ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|name| *name == suffix) {
            Some(at) => i64::try_from(at).unwrap() * 3 - 9,
            None => suffix[1..].parse().unwrap(),
        };
    digits.shifted_up(9 - places + power).number()
}

fn suffixes() -> impl Strategy<Value = String> {
    const NAMES: [&str; 16] =
        ["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    prop_oneof![
        4 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned),
        1 => ("[eE]", -60_i64..60).prop_map(|(letter, power)| format!("{letter}{power}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_quantity_is_what_exact_arithmetic_says(whole in "[0-9]{1,30}", fraction in "[0-9]{0,30}", suffix in suffixes()) {
        let text = format!("{whole}.{fraction}{suffix}");
        prop_assert_eq!(text.parse::<Quantity>().ok().map(Quantity::nano), reference(&whole, &fraction, &suffix));
    }

    #[test]
    fn bytes_and_milli_cpus_are_the_exact_value_rounded_up(
        whole in "[0-9]{1,18}", fraction in "[0-9]{0,12}", suffix in suffixes(),
    ) {
        let text = format!("{whole}.{fraction}{suffix}");
        // what is finer than a nano unit has been rounded up to one: the second rounding can't add more
        if let (Ok(quantity), Some(nano)) = (text.parse::<Quantity>(), reference(&whole, &fraction, &suffix)) {
            let up = |unit: i128| u64::try_from((nano + unit - 1) / unit).ok();
            prop_assert_eq!(quantity.bytes(), up(1_000_000_000).and_then(Bytes::new));
            prop_assert_eq!(quantity.milli_cpu(), up(1_000_000).and_then(MilliCpu::new));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Err(error) = text.parse::<Quantity>() {
            let message = error.to_string();
            let one_line = !message.contains(['\n', char::from(27)]);
            prop_assert!(message.starts_with("quantity \"") && one_line, "{}", message);
        }
    }

    #[test]
    fn any_text_of_the_right_letters_is_read_or_refused(text in "[+-]?[0-9.]{0,50}[eEinumkKMGTP]{0,3}[+-]?[0-9]{0,25}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            prop_assert!(quantity.nano() >= 0);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity), "printed and read again");
        }
    }

    #[test]
    fn a_larger_quantity_never_gives_less(
        a in "[0-9]{1,12}(\\.[0-9]{0,12})?", b in "[0-9]{1,12}(\\.[0-9]{0,12})?", first in suffixes(), second in suffixes(),
    ) {
        let (one, two) = (format!("{a}{first}").parse::<Quantity>(), format!("{b}{second}").parse::<Quantity>());
        if let (Ok(one), Ok(two)) = (one, two) {
            let (low, high) = (one.min(two), one.max(two));
            prop_assert!(high.bytes().is_none() || low.bytes() <= high.bytes());
            prop_assert!(high.milli_cpu().is_none() || low.milli_cpu() <= high.milli_cpu());
        }
    }

    #[test]
    fn bytes_are_printed_and_read_again(bytes in 0..=i64::MAX.unsigned_abs(), shift in 0_u32..63) {
        let bytes = Bytes::new(bytes >> shift << (shift / 2));
        if let Some(bytes) = bytes {
            prop_assert_eq!(bytes.to_string().parse::<Quantity>().unwrap().bytes(), Some(bytes));
        }
    }

    #[test]
    fn a_printed_quantity_has_no_fraction_and_the_largest_suffix(nano in 0..i128::from(i64::MAX), binary in any::<bool>()) {
        let family = if binary { Family::Binary } else { Family::Decimal };
        let text = Quantity::from_nano(nano, family).to_string();
        prop_assert!(!text.contains('.'));
        if !binary && nano > 0 {
            prop_assert!(!text.trim_end_matches(|letter: char| letter.is_alphabetic()).ends_with("000"));
        }
    }
}
