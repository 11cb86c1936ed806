//! How many validators of a list may lie, and how many make a certificate.

/// The most members of a list of `validators` that may be dishonest without harm: f = ⌊(n − 1)/3⌋.
/// A list needs four members to tolerate one.
#[must_use]
pub const fn faulty(validators: usize) -> usize {
    validators.saturating_sub(1) / 3
}

/// How many members of a list of `validators` must attest to a file to certify it:
/// ⌊(n + f)/2⌋ + 1.
///
/// Two quorums share at least f + 1 members, so at least one honest one, and an honest member
/// attests to only one digest of a file. The n − f honest members are always enough.
#[must_use]
pub const fn quorum(validators: usize) -> usize {
    (validators + faulty(validators)) / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quorums_share_an_honest_member_and_the_honest_are_a_quorum() {
        for n in 1..=1024 {
            let (f, q) = (faulty(n), quorum(n));
            assert!(3 * f < n && n <= 3 * (f + 1), "f of {n} is the largest below a third");
            assert!(2 * q > n + f, "two quorums of {n} share more than {f}");
            assert!(2 * (q - 1) <= n + f, "no smaller number is enough for {n}");
            assert!(q <= n - f, "the honest of {n} are a quorum");
        }
    }

    #[test]
    fn the_quorums_of_small_lists() {
        let quorums = [1, 2, 3, 4, 6, 7, 16, 64].map(quorum);
        assert_eq!(quorums, [1, 2, 2, 3, 4, 5, 11, 43]);
        assert_eq!([0, 1, 3, 4, 6, 7, 64].map(faulty), [0, 0, 0, 1, 1, 2, 21]);
        // Nobody is on an empty list, so nothing is certified by it.
        assert_eq!(quorum(0), 1);
    }
}
