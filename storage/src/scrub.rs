//! Cleans texts from the network and from the S3 client for logs: no secrets, no control
//! characters, and a bounded length.

use std::error::Error;
use std::fmt;

use crate::secret::{HIDDEN, Secret};

/// Longest text that is kept of one error, in characters.
const MAX_TEXT: usize = 300;
/// Most causes that are kept of one error; the S3 client's chains have five.
const MAX_DEPTH: usize = 8;
/// Where a presigned URL's credentials begin if the `?` before them was cut off.
const SIGNATURE_MARKS: [&str; 3] = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"];

/// Removes what must not be printed.
#[derive(Clone, Default)]
pub(crate) struct Scrubber {
    secrets: Vec<Secret>,
}

impl Scrubber {
    /// Also hides `secrets`, wherever they appear. Empty ones are skipped.
    pub(crate) fn hiding(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: secrets.into_iter().filter(|secret| !secret.is_empty()).collect() }
    }

    /// `text` without secrets, query strings and control characters, at most [`MAX_TEXT`]
    /// characters.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), HIDDEN);
        }
        let mut clean = String::new();
        for word in text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
        {
            if !clean.is_empty() {
                clean.push(' ');
            }
            clean.push_str(&without_query(word));
        }
        match clean.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }
}

/// `word` up to its query string or signature, if it has one.
fn without_query(word: &str) -> String {
    let query = word.find('?').filter(|at| word[..*at].contains('/') || word[*at..].contains('='));
    let signature = SIGNATURE_MARKS.iter().filter_map(|mark| word.find(mark)).min();
    match (query, signature) {
        (None, None) => word.to_owned(),
        (query, signature) => {
            let end = query.into_iter().chain(signature).min().unwrap_or(0);
            format!("{}{}{HIDDEN}", &word[..end], if query == Some(end) { "?" } else { "" })
        }
    }
}

/// An error's text and its causes, cleaned. It replaces the original, whose `Display` and `Debug`
/// may contain URLs.
#[derive(Clone)]
pub struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    pub(crate) fn of(error: &(dyn Error + 'static), scrubber: &Scrubber) -> Self {
        Self::at_depth(error, scrubber, 0)
    }

    fn at_depth(error: &(dyn Error + 'static), scrubber: &Scrubber, depth: usize) -> Self {
        let source = error.source().filter(|_| depth < MAX_DEPTH);
        Self {
            text: scrubber.clean(&error.to_string()),
            source: source.map(|source| Box::new(Self::at_depth(source, scrubber, depth + 1))),
        }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)?;
        match &self.source {
            Some(source) => write!(f, " <- {source:?}"),
            None => Ok(()),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_queries_signatures_and_known_secrets() {
        let scrubber = Scrubber::hiding([Secret::new("tops3cret"), Secret::default()]);
        let clean = scrubber.clean(
            "GET https://h/b/k?X-Amz-Signature=abc in 3s, key tops3cret,\nX-Amz-Credential=AK/2026",
        );
        assert_eq!(clean, "GET https://h/b/k?*** in 3s, key ***, ***");
        assert_eq!(scrubber.clean("why? nobody knows"), "why? nobody knows");
    }

    #[test]
    fn cuts_floods() {
        assert!(Scrubber::default().clean(&"é".repeat(10_000)).chars().count() <= MAX_TEXT + 1);
    }
}
