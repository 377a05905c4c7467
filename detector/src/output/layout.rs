//! Text that fits a terminal: widths, wrapping, shortening, colour.

use anstyle::Style;

/// Widest line, in columns.
pub const WIDTH: usize = 100;
/// Between the parts of a text that was too long.
const CUT: &str = "[...]";

/// Columns that a text takes at most. A character beyond ASCII may be two columns wide, and which
/// ones are differs between terminals.
pub fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(character: char) -> usize {
    match character {
        // What this program itself prints: one column everywhere.
        'µ' | '×' => 1,
        _ if character.is_ascii() => 1,
        _ => 2,
    }
}

/// The text in at most so many columns: its middle goes, since the start and the end of a path
/// or name say most.
pub fn shorten(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let room = columns_max.saturating_sub(CUT.len());
    let head = take(text.chars(), room.div_ceil(2));
    let tail: Vec<char> = take(text.chars().rev(), room / 2);
    head.into_iter()
        .chain(CUT.chars())
        .chain(tail.into_iter().rev())
        .collect()
}

fn take(characters: impl Iterator<Item = char>, columns_max: usize) -> Vec<char> {
    let mut used = 0;
    characters
        .take_while(|character| {
            used += width(*character);
            used <= columns_max
        })
        .collect()
}

/// The text in lines of at most so many columns, broken at spaces; a longer word is shortened.
/// What does not fit into `lines_max` lines is cut.
pub fn wrap(text: &str, columns_max: usize, lines_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = shorten(word, columns_max);
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            *line = word;
        } else if columns(line) + 1 + columns(&word) <= columns_max {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            *last = take(last.chars(), columns_max - CUT.len())
                .into_iter()
                .chain(CUT.chars())
                .collect();
        }
    }
    lines
}

/// A text in a style, where colour is wanted.
pub fn styled(text: &str, style: Style, is_coloured: bool) -> String {
    if is_coloured {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_and_a_long_one_loses_its_middle() {
        assert_eq!(shorten("/var/spool", 10), "/var/spool");
        assert_eq!(shorten("/var/spool/postfix", 13), "/var[...]tfix");
    }

    #[test]
    fn nothing_gets_wider_than_asked_for() {
        for text in ["x".repeat(300), "漢".repeat(300), "a b ".repeat(100)] {
            for columns_max in 10..100 {
                assert!(columns(&shorten(&text, columns_max)) <= columns_max);
                let lines = wrap(&text, columns_max, 3);
                assert!(lines.len() <= 3);
                assert!(lines.iter().all(|line| columns(line) <= columns_max));
            }
        }
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8, 9), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 10, 1), ["one t[...]"]);
    }

    #[test]
    fn colour_comes_only_where_it_is_wanted() {
        let bold = Style::new().bold();
        assert_eq!(styled("x", bold, false), "x");
        assert_eq!(styled("x", bold, true), "\x1b[1mx\x1b[0m");
    }
}
