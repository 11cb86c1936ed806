//! The words of a BVH file: what stands between white space.

use super::fault::{BvhError, Fault, shown};

/// No number of a file is larger: distances of such numbers are finite.
const LARGEST: f64 = 1e9;

/// The words that are left.
#[derive(Debug)]
pub(super) struct Words<'a> {
    left: std::str::SplitAsciiWhitespace<'a>,
    /// How many were read.
    read: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { left: text.split_ascii_whitespace(), read: 0 }
    }

    pub(super) fn next(&mut self, what: &'static str) -> Result<&'a str, BvhError> {
        let word = self.left.next();
        self.read += usize::from(word.is_some());
        word.ok_or_else(|| self.fault(Fault::Ends(what)))
    }

    /// The next word, which must be this one. Letters may be of either case.
    pub(super) fn expect(&mut self, wanted: &'static str) -> Result<(), BvhError> {
        let word = self.next(wanted)?;
        match word.eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(self.fault(Fault::Expected { wanted, found: shown(word) })),
        }
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<f64, BvhError> {
        let word = self.next(what)?;
        let number = word.parse().ok().filter(|number: &f64| number.abs() <= LARGEST);
        number.ok_or_else(|| self.fault(Fault::NotANumber { what, found: shown(word) }))
    }

    pub(super) fn count(&mut self, what: &'static str, most: usize) -> Result<usize, BvhError> {
        let word = self.next(what)?;
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let count = word.parse().ok().filter(|count: &usize| digits && *count <= most);
        count.ok_or_else(|| self.fault(Fault::Count { what, most, found: shown(word) }))
    }

    /// Fails if anything is left.
    pub(super) fn end(&mut self) -> Result<(), BvhError> {
        match self.left.next() {
            None => Ok(()),
            Some(word) => Err(self.fault(Fault::More(shown(word)))),
        }
    }

    pub(super) fn fault(&self, fault: Fault) -> BvhError {
        BvhError { word: self.read, fault }
    }
}
