//! Kubernetes' `resource.Quantity`: the numbers that people write in manifests, such as `128Mi` or `500m`.
//!
//! The value is kept exactly, as a whole number of nano units, which is also the finest grain that apimachinery
//! keeps (k8s.io/apimachinery, `pkg/api/resource/quantity.go`, `ParseQuantity`). There is no floating point: the
//! decimal digits are shifted, and what falls below one nano unit rounds up, so that who asks for something never
//! gets nothing.
//!
//! Two answers differ from apimachinery's on purpose: a negative quantity and one without any digit are refused,
//! because no knob of a cgroup can take them, and a number beyond the range is refused instead of wrapping.

use std::fmt;
use std::str::FromStr;

use super::amount::{Bytes, MilliCpu};
use super::quoted::Quoted;

/// Nano units in one unit.
const NANO: i128 = 1_000_000_000;
/// Where a binary quantity is capped: 2^63-1 units, in nano units.
const BINARY_CAP: i128 = i64::MAX as i128 * NANO;

/// A quantity that isn't negative: a whole number of nano units, and the family of suffix that it was written with.
///
/// Two quantities are equal when their values are; the family only decides how one is printed.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    family: Family,
}

/// The family of suffixes that a quantity was written with, and is printed with again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `Ki Mi Gi Ti Pi Ei`: powers of 1024. Such a quantity is capped at 2^63-1.
    Binary,
    /// `n u m`, nothing, `k M G T P E`: powers of 1000.
    Decimal,
    /// `e<int>` or `E<int>`: a power of ten.
    Exponent,
}

impl Quantity {
    /// A quantity of `nano` nano units. Negative numbers count as zero.
    pub fn from_nano(nano: i128, family: Family) -> Self {
        Self { nano: nano.max(0), family }
    }

    /// The exact value in nano units, never negative.
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// The family of suffix it was written with.
    pub fn family(self) -> Family {
        self.family
    }

    /// The value in whole bytes, rounded up; `None` beyond 2^63-1. (apimachinery: `Quantity.Value`.)
    pub fn bytes(self) -> Option<Bytes> {
        u64::try_from(ceil_div(self.nano, NANO)).ok().and_then(Bytes::new)
    }

    /// The value in thousandths of a CPU, rounded up; `None` beyond 2^63-1. (apimachinery: `Quantity.MilliValue`.)
    pub fn milli_cpu(self) -> Option<MilliCpu> {
        u64::try_from(ceil_div(self.nano, NANO / 1000)).ok().and_then(MilliCpu::new)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Reads a quantity.
    ///
    /// # Errors
    /// [`QuantityError`] for text that isn't a quantity, is negative, or is beyond 10^29.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).map_err(|fault| QuantityError { text: text.to_owned(), fault })
    }
}

fn parse(text: &str) -> Result<Quantity, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, rest) = split_digits(rest);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(Fault::NoDigits);
    }
    let (nano, family) = match Suffix::parse(suffix)? {
        Suffix::Binary(shift) => (binary(whole, fraction, shift), Family::Binary),
        Suffix::Decimal(power) => (decimal(whole, fraction, i64::from(power))?, Family::Decimal),
        Suffix::Exponent(power) => (decimal(whole, fraction, power)?, Family::Exponent),
    };
    if negative && nano != 0 {
        return Err(Fault::Negative);
    }
    // a part of one unit has no binary suffix to be printed with
    let family = if family == Family::Binary && nano < NANO { Family::Decimal } else { family };
    Ok(Quantity { nano, family })
}

/// Splits off the ASCII digits that a text begins with.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What a suffix multiplies by.
enum Suffix {
    /// 2 to this power: 10, 20, ... 60.
    Binary(u32),
    /// 10 to this power: -9, -6, ... 18.
    Decimal(i8),
    /// 10 to this power, any.
    Exponent(i64),
}

impl Suffix {
    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(match text {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            // alone it is exa; before a number it is an exponent
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => Self::Exponent(
                text.strip_prefix(['e', 'E'])
                    .and_then(|power| power.parse().ok())
                    .ok_or_else(|| Fault::Suffix(text.to_owned()))?,
            ),
        })
    }
}

/// `whole.fraction` times 10^power, in nano units; what is finer rounds up.
fn decimal(whole: &str, fraction: &str, power: i64) -> Result<i128, Fault> {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let length = |text: &str| i64::try_from(text.len()).map_err(|_| Fault::TooLarge);
    // the value is `significant` times 10^shift nano units
    let shift = power.saturating_add(9 + length(digits)? - length(significant)? - length(fraction)?);
    if shift >= 0 {
        let factor = u32::try_from(shift).ok().and_then(|shift| 10_i128.checked_pow(shift));
        return significant
            .parse::<i128>()
            .ok()
            .zip(factor)
            .and_then(|(digits, factor)| digits.checked_mul(factor))
            .ok_or(Fault::TooLarge);
    }
    // the last digits lie below one nano unit; they aren't all zero, so the rest rounds up
    let kept = usize::try_from(length(significant)?.saturating_add(shift)).unwrap_or(0);
    match significant.get(..kept) {
        None | Some("") => Ok(1),
        Some(kept) => kept.parse::<i128>().ok().and_then(|kept| kept.checked_add(1)).ok_or(Fault::TooLarge),
    }
}

/// `whole.fraction` times 2^shift (at most 60), in nano units, rounded up and capped at 2^63-1 units.
fn binary(whole: &str, fraction: &str, shift: u32) -> i128 {
    let whole = match whole.trim_start_matches('0') {
        "" => 0,
        digits => digits.parse::<i128>().unwrap_or(i128::MAX),
    };
    if whole > i128::from(i64::MAX) >> shift {
        return BINARY_CAP;
    }
    let unit = NANO << shift;
    // the fraction's digits from the last to the first; rounding down commutes with these divisions
    let (part, exact) = fraction.bytes().rev().fold((0, true), |(part, exact), digit| {
        let sum = i128::from(digit - b'0') * unit + part;
        (sum / 10, exact && sum % 10 == 0)
    });
    (whole * unit + part + i128::from(!exact)).min(BINARY_CAP)
}

/// The quotient rounded up, of numbers that aren't negative.
fn ceil_div(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by != 0)
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, and the largest suffix that loses nothing, e.g. `128Mi`, `500m`, `1500m`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return out.write_str("0");
        }
        // below 1024, and with a fraction, a binary suffix would round: such values are printed decimal
        if self.family == Family::Binary && self.nano >= 1024 * NANO && self.nano % NANO == 0 {
            let (mut mantissa, mut suffix) = (self.nano / NANO, "");
            for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
                if mantissa % 1024 != 0 {
                    break;
                }
                (mantissa, suffix) = (mantissa / 1024, next);
            }
            return write!(out, "{mantissa}{suffix}");
        }
        let (mut mantissa, mut power) = (self.nano, -9);
        while mantissa % 1000 == 0 {
            (mantissa, power) = (mantissa / 1000, power + 3);
        }
        let suffix = match (self.family, power) {
            (_, 0) => Some(""),
            (Family::Exponent, _) => None,
            (_, -9) => Some("n"),
            (_, -6) => Some("u"),
            (_, -3) => Some("m"),
            (_, 3) => Some("k"),
            (_, 6) => Some("M"),
            (_, 9) => Some("G"),
            (_, 12) => Some("T"),
            (_, 15) => Some("P"),
            (_, 18) => Some("E"),
            _ => None,
        };
        match suffix {
            Some(suffix) => write!(out, "{mantissa}{suffix}"),
            None => write!(out, "{mantissa}e{power}"),
        }
    }
}

/// A text that isn't a usable quantity, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    text: String,
    fault: Fault,
}

/// What is wrong with a quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was written.
    Empty,
    /// There is no digit before the suffix.
    NoDigits,
    /// What follows the digits is no suffix.
    Suffix(String),
    /// It is below zero.
    Negative,
    /// It is beyond what can be counted.
    TooLarge,
}

impl QuantityError {
    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for QuantityError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "quantity {}: ", Quoted(&self.text))?;
        match &self.fault {
            Fault::Empty => out.write_str("it is empty; write a number such as 500m or 128Mi"),
            Fault::NoDigits => out.write_str("it has no digits; write a number such as 500m or 128Mi"),
            Fault::Suffix(suffix) => {
                write!(out, "{} is no suffix; ", Quoted(suffix))?;
                out.write_str(match suffix.as_str() {
                    "K" => "1000 is k, 1024 is Ki",
                    "KB" | "kB" | "kb" | "B" | "MB" | "GB" | "MiB" | "GiB" | "KiB" => {
                        "leave out the B: k M G T P E or Ki Mi Gi Ti Pi Ei"
                    }
                    _ => "use n u m k M G T P E, Ki Mi Gi Ti Pi Ei or e<number>",
                })
            }
            Fault::Negative => out.write_str("it is negative; a resource can't be below 0"),
            Fault::TooLarge => out.write_str("it is too large; the limit is 9223372036854775807"),
        }
    }
}

impl std::error::Error for QuantityError {}
