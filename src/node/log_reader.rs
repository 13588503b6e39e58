//! Lines out of a log, as fast as the page cache gives them: large reads, and a search for the line ends in what was
//! read. Nothing is mapped: a file that is truncated meanwhile would be a SIGBUS.

use std::io::{ErrorKind, Read, Result};

/// How much is asked for at once; it fits into a core's own cache.
const BLOCK: usize = 256 * 1024;

/// The longest line that is kept. A line with 65536 gids and what became of each takes less than ten megabytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// What stands between two line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// A line, without its end.
    Line(&'b [u8]),
    /// A line that is too long to be one of ours.
    TooLong,
}

/// Reads lines from `source`; where that has come to its end for now, it can be asked again later.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer the line that isn't complete yet begins and ends.
    start: usize,
    end: usize,
    /// Whether what comes up to the next line end is thrown away.
    skipping: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of `source`, which stands at the beginning of one.
    pub fn new(source: R) -> Lines<R> {
        Lines { source, buffer: vec![0; BLOCK], start: 0, end: 0, skipping: false }
    }

    /// Throws away what comes up to the next line end.
    pub fn skip_to_line_end(&mut self) {
        self.skipping = true;
    }

    /// Where the lines come from.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Whether the last line has no end yet.
    pub fn has_rest(&self) -> bool {
        self.start < self.end && !self.skipping
    }

    /// Forgets a line that has no end yet: the source begins anew.
    pub fn restart(&mut self) {
        (self.start, self.end, self.skipping) = (0, 0, false);
    }

    /// Gives every complete line to `each`, until the source has no more.
    ///
    /// # Errors
    /// What the source said, or `each`.
    pub fn drain(&mut self, mut each: impl FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        loop {
            if self.make_room() {
                each(Piece::TooLong)?;
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            let got = match self.source.read(room) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            };
            let fresh = self.end;
            self.end += got;
            let new = self.buffer.get(fresh..self.end).unwrap_or_default();
            for at in memchr::memchr_iter(b'\n', new) {
                let line = self.buffer.get(self.start..fresh + at).unwrap_or_default();
                self.start = fresh + at + 1;
                if !std::mem::take(&mut self.skipping) {
                    each(Piece::Line(line))?;
                }
            }
        }
    }

    /// Makes room behind the incomplete line; says whether that line has just become too long.
    fn make_room(&mut self) -> bool {
        if self.skipping {
            (self.start, self.end) = (0, 0);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end < self.buffer.len() {
            return false;
        }
        if self.end >= LONGEST {
            self.skipping = true;
            (self.start, self.end) = (0, 0);
            return true;
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its text in pieces of `step` bytes.
    struct Steps<'t> {
        text: &'t [u8],
        step: usize,
    }

    impl Read for Steps<'_> {
        fn read(&mut self, to: &mut [u8]) -> Result<usize> {
            let n = self.step.min(to.len()).min(self.text.len());
            let (now, later) = self.text.split_at(n);
            to[..n].copy_from_slice(now);
            self.text = later;
            Ok(n)
        }
    }

    fn collect(text: &[u8], step: usize) -> (Vec<Vec<u8>>, usize, bool) {
        let (mut lines, mut long) = (Vec::new(), 0);
        let mut reader = Lines::new(Steps { text, step });
        let each = |piece: Piece<'_>| {
            match piece {
                Piece::Line(line) => lines.push(line.to_vec()),
                Piece::TooLong => long += 1,
            }
            Ok(())
        };
        reader.drain(each).unwrap();
        let rest = reader.has_rest();
        (lines, long, rest)
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\n\nthree 3\nrest";
        for step in 1..=text.len() {
            let (lines, long, rest) = collect(text, step);
            assert_eq!(lines, [b"one".to_vec(), b"".to_vec(), b"three 3".to_vec()], "{step}");
            assert_eq!((long, rest), (0, true));
        }
    }

    #[test]
    fn a_line_of_ten_megabytes_is_read_and_one_without_end_is_passed_over() {
        let text = [vec![b'a'; 10_000_000], b"\nb\n".to_vec()].concat();
        let (lines, long, rest) = collect(&text, usize::MAX);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [10_000_000, 1]);
        assert_eq!((long, rest), (0, false));

        let text = [vec![b'a'; LONGEST + BLOCK + 1], b"\nb\n".to_vec()].concat();
        let (lines, long, _) = collect(&text, usize::MAX);
        assert_eq!(lines, [b"b".to_vec()]);
        assert_eq!(long, 1);
    }

    #[test]
    fn a_source_that_grows_is_read_on() {
        let mut reader = Lines::new(Steps { text: b"a\nb", step: 9 });
        let mut lines = Vec::new();
        let mut keep = |piece: Piece<'_>| {
            lines.extend(if let Piece::Line(line) = piece { Some(line.to_vec()) } else { None });
            Ok(())
        };
        reader.drain(&mut keep).unwrap();
        reader.source().text = b"c\nd\n";
        reader.drain(&mut keep).unwrap();
        assert_eq!(lines, [b"a".to_vec(), b"bc".to_vec(), b"d".to_vec()]);
    }
}
