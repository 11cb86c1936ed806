//! `.env` files, in every form in which people have them: as Docker reads them, as Compose does,
//! and as a shell does.
//!
//! | written | read as |
//! |---|---|
//! | `NAME=value # comment`, `export NAME=value` | `value` |
//! | `NAME='…'` | what is between the quotes, as it is; may go over several lines |
//! | `NAME="…"` | the same, with `\n`, `\"`, `\\` and `\$` undone |
//! | `NAME=[…]`, `NAME={…}` | the JSON value, quotes, spaces, `#` and line breaks included |
//! | `NAME=pa$$w0rd`, `NAME=it's` | as it is: nothing is filled in for `$` |
//! | `NAME=` | unset |
//! | `NAME` | nothing: Docker takes it from its own environment |
//!
//! A byte order mark and carriage returns are passed over.

use serde::de::IgnoredAny;

/// A line that cannot be read. Never quotes it: it may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {reason}")]
pub(super) struct DotenvError {
    /// Its number, from 1.
    line: usize,
    reason: &'static str,
}

/// The names and values of a file, in its order.
pub(super) fn read(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (head, after) = split_line(rest);
        let trimmed = head.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            (rest, line) = (after, line + 1);
            continue;
        }
        let Some(equals) = head.find('=') else {
            if !is_name(trimmed) {
                return Err(DotenvError { line, reason: "is not NAME=value" });
            }
            (rest, line) = (after, line + 1);
            continue;
        };
        let name = head[..equals].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        if name.is_empty() || name.starts_with(['"', '\'', '[', '{']) {
            return Err(DotenvError { line, reason: "is not NAME=value" });
        }
        let (value, used) =
            read_value(&rest[equals + 1..]).map_err(|reason| DotenvError { line, reason })?;
        entries.push((name.to_owned(), value));
        let end = equals + 1 + used;
        line += rest[..end].matches('\n').count() + 1;
        rest = split_line(&rest[end..]).1;
    }
    Ok(entries)
}

/// The first line without its end, and what follows it.
fn split_line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value, and how much of `text` it takes, short of the end of its last line.
fn read_value(text: &str) -> Result<(String, usize), &'static str> {
    let line = split_line(text).0;
    let begins = line.len() - line.trim_start().len();
    match line[begins..].chars().next() {
        Some(quote @ ('"' | '\'')) => {
            if let Some(quoted) = read_quoted(&text[begins + 1..], quote) {
                return Ok((quoted.0, begins + 1 + quoted.1));
            }
            // Quotes within quotes, as around JSON: the last one on the line ends the value.
            let inner = line.trim_end()[begins + 1..].strip_suffix(quote);
            let inner = inner.ok_or("has a quote that does not end, or text after it")?;
            Ok((inner.to_owned(), line.len()))
        }
        Some('[' | '{') => match json_length(&text[begins..]) {
            Some(length) if ends_line(&text[begins + length..]) => {
                Ok((text[begins..begins + length].to_owned(), begins + length))
            }
            // Malformed JSON is reported where the setting is parsed.
            _ => Ok((line.trim().to_owned(), line.len())),
        },
        _ => Ok((without_comment(line).trim().to_owned(), line.len())),
    }
}

/// A quoted text up to its end; `None` if it has none, or if more than a comment follows.
fn read_quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => {
                let end = at + 1;
                return ends_line(&text[end..]).then_some((value, end));
            }
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                plain @ ('"' | '\\' | '$' | '`') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            '\r' if text[at..].starts_with("\r\n") => {}
            _ => value.push(c),
        }
    }
    None
}

/// Whether nothing but a comment stands before the end of the line.
fn ends_line(text: &str) -> bool {
    let rest = split_line(text).0.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

/// The length of the JSON value that `text` begins with.
fn json_length(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// A comment begins with `#` after a space. At the beginning, where a secret may have one, it also
/// needs a space after it.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| match line[..*at].chars().next_back() {
        Some(before) => before.is_whitespace(),
        None => line[1..].chars().next().is_none_or(char::is_whitespace),
    };
    line.match_indices('#').find(begins).map_or(line, |(at, _)| &line[..at])
}

/// A value as it comes through Docker's `--env-file`, which keeps quotes. Compose and shells take
/// them away.
pub(super) fn unquoted(text: &str) -> &str {
    let trimmed = text.trim();
    for quote in ['"', '\''] {
        let inner = trimmed.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(line: &str) -> String {
        let entries = read(line).unwrap();
        assert_eq!(entries.len(), 1, "{line}: {entries:?}");
        entries[0].1.clone()
    }

    #[test]
    fn c5_lines_are_read_as_docker_compose_and_shells_write_them() {
        for (line, expected) in [
            ("A=b", "b"),
            ("A = b ", "b"),
            ("export A=b", "b"),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A=# comment", ""),
            ("A= # comment", ""),
            ("A=#secret", "#secret"),
            ("A=", ""),
            ("A=''", ""),
            ("A='b' # comment", "b"),
            ("A=\"b # c\"", "b # c"),
            ("A='info'\r\n", "info"),
            ("\u{feff}A=b\r\n", "b"),
            ("A='two\nlines'", "two\nlines"),
            ("A=\"two\\nlines\"", "two\nlines"),
            ("A='a=b'", "a=b"),
            ("A=a=b==", "a=b=="),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn c4_json_is_read_bare_quoted_and_over_lines() {
        let json = r##"[{"hotkey":"5a","secret":"a #b $c"}]"##;
        for line in [
            format!("P={json}"),
            format!("P='{json}'"),
            format!("P=\"{json}\""),
            format!("P=\"{}\"", json.replace('"', "\\\"")),
            format!("P={json} # peers"),
            format!("export P={json}\r\n"),
        ] {
            assert_eq!(value(&line), json, "{line}");
        }
        let lines = "P=[\n  {\"hotkey\": \"5a\"}\n]\nB=1";
        let entries = read(lines).unwrap();
        assert_eq!(entries[0].1, "[\n  {\"hotkey\": \"5a\"}\n]");
        assert_eq!(entries[1], ("B".to_owned(), "1".to_owned()));
        // Not JSON: as it stands, for the setting's own error.
        assert_eq!(value("P=[{\"hotkey\":"), "[{\"hotkey\":");
    }

    #[test]
    fn c4b_nothing_is_filled_in_and_nothing_is_cut() {
        for text in ["pa$$w0rd", "ab$9x", "pa ss", "it's", "back\\slash", "x$y", "5\" wide"] {
            assert_eq!(value(&format!("A={text}")), text);
        }
        assert_eq!(value("A=\"x$y\""), "x$y");
        assert_eq!(value(r#"A="\$x""#), "$x");
    }

    #[test]
    fn b3_a_wallets_variable_may_have_signs_that_shells_refuse() {
        let name = "BT_PW__HOME_U__BITTENSOR_WALLETS_MY-WALLET_HOTKEYS_DEFAULT";
        let entries = read(&format!("{name}=c2VjcmV0\nNAME\n")).unwrap();
        assert_eq!(entries, [(name.to_owned(), "c2VjcmV0".to_owned())]);
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number_and_not_shown() {
        for (text, line) in [
            ("A=b\n\nplanted secret\n", 3),
            ("A='b\nc'\nplanted-secret\n", 3),
            ("# c\n=planted\n", 2),
            ("A='planted", 1),
            ("A=b\n\"planted\": 1=2", 2),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(!error.to_string().contains("planted"));
        }
    }

    #[test]
    fn dockers_quotes_are_taken_away() {
        for (text, plain) in
            [("\"my-wallet\"", "my-wallet"), ("'info'", "info"), ("it's", "it's"), ("\"", "\"")]
        {
            assert_eq!(unquoted(text), plain);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String, near in "[A='\"\\\\\n\r#{}\\[\\] \u{feff}é]{0,40}") {
            let _ = read(&text);
            let _ = read(&near);
        }

        #[test]
        fn every_value_survives_single_quotes(value in "[^'\r]{0,60}") {
            prop_assert_eq!(read(&format!("A='{value}'\nB=1")).unwrap()[0].1.clone(), value);
        }
    }
}
