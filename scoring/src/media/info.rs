//! What a file claims about itself.

/// A ratio of two integers, such as 16/1 frames per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    /// The numerator.
    pub numerator: u32,
    /// The denominator, never 0.
    pub denominator: u32,
}

impl Rational {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/')?;
        let ratio =
            Self { numerator: numerator.parse().ok()?, denominator: denominator.parse().ok()? };
        (ratio.numerator > 0 && ratio.denominator > 0).then_some(ratio)
    }

    /// A ratio in lowest terms; `None` where it is 0 or its terms are too large.
    pub(super) fn reduced(numerator: u128, denominator: u128) -> Option<Self> {
        let (mut a, mut b) = (numerator, denominator);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1);
        let term = |value: u128| u32::try_from(value / divisor).ok().filter(|term| *term > 0);
        Some(Self { numerator: term(numerator)?, denominator: term(denominator)? })
    }
}

/// What a file claims. A claim can get a file refused early, but never accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// Width in pixels as coded, rotation ignored.
    pub width: u32,
    /// Height in pixels as coded, rotation ignored.
    pub height: u32,
    /// Frames per second from the first frame to the last, by their times; where there is only one
    /// frame, what the file states.
    pub fps: Option<Rational>,
    /// Number of frames, where stated.
    pub frames: Option<u64>,
    /// Duration of the track in milliseconds, where stated.
    pub duration_ms: Option<u64>,
    /// Codec name, e.g. `h264`.
    pub codec: String,
    /// Colour matrix tag, e.g. `bt709`, where stated.
    pub colour_space: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_rate_of_zero_is_not_stated() {
        assert_eq!(Rational::parse("16/1"), Some(Rational { numerator: 16, denominator: 1 }));
        assert_eq!(Rational::parse("0/0"), None);
        assert_eq!(Rational::parse("16"), None);
    }

    #[test]
    fn ratios_are_reduced_and_bounded() {
        let reduced =
            |a, b| Rational::reduced(a, b).map(|ratio| (ratio.numerator, ratio.denominator));
        assert_eq!(reduced(80 * 16_000, 80_000), Some((16, 1)));
        assert_eq!(reduced(30_000, 1001), Some((30_000, 1001)));
        assert_eq!((reduced(0, 5), reduced(5, 0), reduced(u128::MAX, 2)), (None, None, None));
    }
}
