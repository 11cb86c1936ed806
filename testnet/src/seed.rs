//! One seed, many independent draws: every key, clip and miner of a local subnet follows from it.

use sha2::{Digest as _, Sha256};

/// The seed of a run. The same seed gives the same subnet on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(String);

impl Seed {
    /// The seed with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// 32 bytes for this purpose; two purposes never share bytes.
    pub fn bytes(&self, purpose: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in ["leoma-testnet", &self.0, purpose] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// 64 hexadecimal digits for this purpose.
    pub fn hex(&self, purpose: &str) -> String {
        hex::encode(self.bytes(purpose))
    }

    /// A number in `0..1` for this purpose.
    pub(crate) fn fraction(&self, purpose: &str) -> f64 {
        f64::from(self.word(purpose)) / (f64::from(u32::MAX) + 1.0)
    }

    /// A number between `low` and `high` for this purpose.
    pub fn between(&self, purpose: &str, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction(purpose)
    }

    /// One of `items` for this purpose; nothing for an empty list.
    pub(crate) fn pick<'a, T>(&self, purpose: &str, items: &'a [T]) -> Option<&'a T> {
        let count = u32::try_from(items.len()).ok().filter(|&count| count > 0)?;
        items.get((self.word(purpose) % count) as usize)
    }

    /// `items` in an order of this purpose.
    pub(crate) fn shuffled<T>(&self, purpose: &str, items: Vec<T>) -> Vec<T> {
        let mut keyed: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| (self.bytes(&format!("{purpose}/{index}")), item))
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    fn word(&self, purpose: &str) -> u32 {
        let bytes = self.bytes(purpose);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_from_seed_and_purpose() {
        let (one, other) = (Seed::new("1"), Seed::new("2"));
        assert_eq!(one.bytes("a"), Seed::new("1").bytes("a"));
        assert_ne!(one.bytes("a"), one.bytes("b"));
        assert_ne!(one.bytes("a"), other.bytes("a"));
        assert!((2.0..3.0).contains(&one.between("x", 2.0, 3.0)));
        let mut shuffled = one.shuffled("order", (0..20).collect());
        assert_ne!(shuffled, (0..20).collect::<Vec<_>>());
        shuffled.sort_unstable();
        assert_eq!(shuffled, (0..20).collect::<Vec<_>>());
        assert_eq!(one.pick::<u8>("none", &[]), None);
    }
}
