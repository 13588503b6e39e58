//! A moment in the past as people write it: `2h`, `90s`, `2026-11-22T21:58:15Z`, `2026-11-22`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset};

use super::clock;
use crate::quote::quoted;

/// Reads `text` as a moment before `now`, and gives it as the log's lines write times: such texts compare like times.
///
/// # Errors
/// A sentence that quotes the text and says what can be written.
pub fn parse(text: &str, now: SystemTime) -> Result<String, String> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = ago(text).map(|ago| now.saturating_sub(ago)).or_else(|| date(text));
    let wrong = || {
        format!(
            "{} is no time; write 90s, 30m, 2h or 7d for so long ago, or 2026-11-22T21:58:15Z, or 2026-11-22 (UTC)",
            quoted(text.as_bytes())
        )
    };
    let moment = moment.ok_or_else(wrong)?;
    Ok(clock::format(moment.as_secs(), moment.subsec_micros()))
}

/// The seconds since 1970 of a moment that [`parse`] gave.
pub fn seconds(moment: &str) -> Option<i64> {
    i64::try_from(date(moment)?.as_secs()).ok()
}

fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    let plain = number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| plain)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// RFC 3339, read by the TOML library, whose dates are the same; without an offset it is UTC, as in the log.
fn date(text: &str) -> Option<Duration> {
    let read: Datetime = text.parse().ok()?;
    let date = read.date?;
    let (hour, minute, second, nano) = match read.time {
        None => (0, 0, 0, 0),
        Some(t) => (t.hour, t.minute, t.second.unwrap_or_default(), t.nanosecond.unwrap_or_default()),
    };
    let offset = match read.offset {
        None | Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
    };
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let clock = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = u64::try_from(days * 86_400 + clock - offset).ok()?;
    Some(Duration::new(seconds, nano))
}

/// The days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    before + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        parse(text, UNIX_EPOCH + Duration::from_secs(1_795_384_695))
    }

    #[test]
    fn so_long_ago_is_counted_from_now() {
        assert_eq!(read("0s").unwrap(), "2026-11-22T21:58:15.000000Z");
        assert_eq!(read("2h").unwrap(), "2026-11-22T19:58:15.000000Z");
        assert_eq!(read("90m").unwrap(), "2026-11-22T20:28:15.000000Z");
        assert_eq!(read("7d").unwrap(), "2026-11-15T21:58:15.000000Z");
        assert_eq!(read("9999w").unwrap(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn dates_are_read_with_their_offset() {
        // date -u -d TEXT +%FT%TZ
        assert_eq!(read("2026-11-22T21:58:15.5Z").unwrap(), "2026-11-22T21:58:15.500000Z");
        assert_eq!(read("2026-11-22T01:58:15+05:30").unwrap(), "2026-11-21T20:28:15.000000Z");
        assert_eq!(read("2026-11-22 21:58:15").unwrap(), "2026-11-22T21:58:15.000000Z");
        assert_eq!(read("2000-03-01").unwrap(), "2000-03-01T00:00:00.000000Z");
        assert_eq!(read("2000-02-29").unwrap(), "2000-02-29T00:00:00.000000Z");
        assert_eq!(read("1970-01-01").unwrap(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_moment_is_read_back() {
        assert_eq!(seconds(&read("0s").unwrap()), Some(1_795_384_695));
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        for text in [
            "",
            "h",
            "2",
            "-2h",
            "+2h",
            "2 h",
            "yesterday",
            "21:58",
            "2026-13-01",
            "99999999999999999d",
            "٢h",
        ] {
            let why = read(text).unwrap_err();
            assert!(why.starts_with(&quoted(text.as_bytes())), "{why}");
        }
        assert!(read("1969-12-31T23:59:59Z").is_err());
    }
}
