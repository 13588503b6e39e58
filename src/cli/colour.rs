//! Colour: only on a terminal, and only where nobody said no (`NO_COLOR`, `TERM=dumb`).

use std::env;
use std::io::IsTerminal;

/// What a colour is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// A difference from the record, or a refusal.
    Red,
    /// Something that was changed, or that deserves a look.
    Yellow,
    /// What is well, or new.
    Green,
    /// What frames the rest.
    Bold,
}

/// Paints words, or doesn't.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    on: bool,
}

impl Palette {
    /// For stdout as it is.
    pub(super) fn of_stdout() -> Palette {
        let refused = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|v| v == "dumb");
        Palette { on: !refused && !dumb && std::io::stdout().is_terminal() }
    }

    /// For what is compared with a text.
    #[cfg(test)]
    pub(super) fn of_nothing() -> Palette {
        Palette { on: false }
    }

    /// `text` in `colour`.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Bold => "1",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_palette_that_is_off_adds_nothing() {
        assert_eq!(Palette { on: false }.paint(Colour::Red, "x"), "x");
        assert_eq!(Palette { on: true }.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
    }
}
