//! A Kubernetes quantity, beside exact arithmetic on whole numbers without a bound.

use num_bigint::BigUint;
use runc_strict::resize::quantity::Quantity;

use crate::assert_one_line;

/// No number but 0 is in range with more zeros than these behind it.
const ZEROS: i64 = 40;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = text.parse::<Quantity>();
    assert_eq!(read.as_ref().ok().map(|quantity| quantity.nano()), reference(text), "{text:?}");
    match read {
        Err(why) => assert_one_line(&why.to_string()),
        Ok(quantity) => {
            let printed = quantity.to_string();
            assert_eq!(printed.parse::<Quantity>(), Ok(quantity), "{text:?} is printed as {printed}");
            assert_eq!(printed.parse::<Quantity>().map(|again| again.to_string()), Ok(printed));
            let nano = BigUint::try_from(quantity.nano()).expect("never below zero");
            let up = |unit: u32| u64::try_from((&nano + (unit - 1)) / unit).ok();
            let in_range = |value: Option<u64>| value.filter(|value| i64::try_from(*value).is_ok());
            assert_eq!(quantity.bytes().map(|bytes| bytes.get()), in_range(up(1_000_000_000)));
            assert_eq!(quantity.milli_cpu().map(|milli| milli.get()), in_range(up(1_000_000)));
        }
    }
}

/// What a text is in nano units, rounded up; none for one that is no quantity, below zero or beyond an i128.
fn reference(text: &str) -> Option<i128> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.contains('.') {
        return None;
    }
    let length = i64::try_from(digits.len()).ok()?;
    let digits: BigUint = digits.parse().ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let nano = match ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix) {
        Some(power) => {
            let cap = BigUint::from(i64::MAX.unsigned_abs()) * 1_000_000_000_u32;
            scaled(digits << ((power + 1) * 10), 9 - places).min(cap)
        }
        None => {
            let known = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].iter().position(|s| *s == suffix);
            let power = match known {
                Some(at) => i64::try_from(at).ok()? * 3 - 9,
                None => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
            };
            let shift = power.saturating_add(9).saturating_sub(places);
            if shift > ZEROS && digits != BigUint::ZERO {
                return None;
            }
            // one digit behind the last is as far below as any
            scaled(digits, shift.clamp(-length - 1, ZEROS))
        }
    };
    let nano = i128::try_from(nano).ok()?;
    (!negative || nano == 0).then_some(nano)
}

/// `digits` times 10^power, rounded up.
fn scaled(digits: BigUint, power: i64) -> BigUint {
    if digits == BigUint::ZERO {
        return digits;
    }
    let factor = BigUint::from(10_u32).pow(u32::try_from(power.unsigned_abs()).unwrap_or(u32::MAX));
    if power >= 0 { digits * factor } else { (digits + &factor - 1_u32) / factor }
}
