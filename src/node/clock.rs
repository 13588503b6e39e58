//! The time of day as RFC 3339 in UTC: the form that containerd and podman read from the log.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, to the microsecond: `2026-11-22T21:58:15.123456Z`.
pub fn now() -> String {
    // A clock before 1970 is shown as 1970: a wrong time must not spoil the line.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format(since.as_secs(), since.subsec_micros())
}

/// A time since 1970, in the same form.
pub fn format(seconds: u64, micros: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = String::with_capacity(27);
    let parts = [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (hour, 2, ':'),
        (minute, 2, ':'),
        (second, 2, '.'),
        (u64::from(micros), 6, 'Z'),
    ];
    for (number, width, end) in parts {
        // a line of the log is written at every exec, and formatting by a template takes longer than all of its numbers
        let digits = number.to_string();
        text.extend(std::iter::repeat_n('0', usize::saturating_sub(width, digits.len())));
        text.push_str(&digits);
        text.push(end);
    }
    text
}

/// The date of a day since 1970-01-01 in the Gregorian calendar, counted in eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_date_prints() {
        // date -u -d @N +%FT%TZ
        assert_eq!(format(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(format(951_782_400, 7), "2000-02-29T00:00:00.000007Z");
        assert_eq!(format(1_795_384_695, 999_999), "2026-11-22T21:58:15.999999Z");
        assert_eq!(format(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(format(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }
}
