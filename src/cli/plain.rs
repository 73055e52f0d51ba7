//! Text from elsewhere made safe for a terminal, and its width there.

/// The text without terminal escapes and other control characters; line ends and tabs stay.
///
/// What an agent or a sender wrote could otherwise move the cursor, rename the window or hide lines.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => skip_control_sequence(&mut chars),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut chars),
                Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
                    chars.next();
                }
                _ => {}
            },
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Parameters and intermediates, up to and with the final byte.
fn skip_control_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| (' '..='~').contains(c)) {
        if ('@'..='~').contains(&c) {
            return;
        }
    }
}

/// Up to a bell or a string terminator; a line end also ends it, so that a lone opener cannot swallow the rest.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Marks that turn the direction of writing or have no width, and so could show text other than it is.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line of plain text: line ends and tabs become spaces.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many columns a text takes. Colours count nothing.
pub(crate) fn width(text: &str) -> usize {
    let mut columns = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            skip_control_sequence(&mut chars);
        } else {
            columns += char_width(c);
        }
    }
    columns
}

fn char_width(c: char) -> usize {
    match c as u32 {
        0..0x20 | 0x7f..0xa0 | 0x300..0x370 | 0xfe00..=0xfe0f | 0x200d => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1f9ff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The text cut to so many columns with `…` at its end.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = take(text.chars(), columns.saturating_sub(1));
    out.push('…');
    out
}

/// The text cut to so many columns with `…` at its beginning, for texts whose end tells them apart.
pub(crate) fn cut_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let tail: Vec<char> = take(text.chars().rev(), columns.saturating_sub(1)).chars().rev().collect();
    format!("…{}", tail.into_iter().collect::<String>())
}

fn take(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    chars
        .take_while(|c| {
            let wide = char_width(*c);
            let fits = wide <= left;
            left = left.saturating_sub(wide);
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_whole() {
        for (dirty, clean) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\b", "alinkb"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("\u{9b}2Jx", "x"),
            ("over\rwrite\r\n", "over\nwrite\n"),
            ("bell\u{7} back\u{8} null\0", "bell back null"),
            ("\u{1b}(Bx\u{1b}cy", "xy"),
            ("open \u{1b}]0;never closed\nnext", "open \nnext"),
            ("trailing \u{1b}", "trailing "),
            ("right\u{202e}left", "rightleft"),
            ("ünïcödé ✔ 漢字\ttab", "ünïcödé ✔ 漢字\ttab"),
        ] {
            assert_eq!(plain(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn no_escape_is_left_whatever_comes() {
        let bits = ["\u{1b}", "[", "]", "P", "0;", "m", "\u{7}", "\u{9b}", "\u{9d}", "\n", "x", "\u{1b}\\", "é"];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(bits[(state >> 33) as usize % bits.len()]);
            }
            assert!(plain(&text).chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn widths_and_cuts_count_columns() {
        assert_eq!((width("漢字"), width("e\u{301}"), width("\u{1b}[31mred\u{1b}[0m")), (4, 1, 3));
        assert_eq!(cut("acme/shop#412", 8), "acme/sh…");
        assert_eq!(cut_start("acme/shop#412", 8), "…hop#412");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(one_line(" a\n\tb  c "), "a b c");
    }
}
