//! Brings colours to BT.709 with limited range, in integer arithmetic, so that equal pictures get
//! equal numbers however they were coded.

/// Fractional bits of the factors below.
const POINT: u32 = 16;
/// Pictures with fewer rows are taken for BT.601 where nothing is stated, as players and ffmpeg's
/// own conversion from RGB take them.
const HIGH_DEFINITION_ROWS: u32 = 720;

/// How luma and colour differences follow from red, green and blue: the weights of red and of blue
/// in luma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Matrix {
    red: f64,
    blue: f64,
}

impl Matrix {
    /// ITU-R BT.709-6, item 3.
    pub(crate) const BT709: Self = Self { red: 0.2126, blue: 0.0722 };
    /// ITU-R BT.601-7, 2.5.1.
    pub(crate) const BT601: Self = Self { red: 0.299, blue: 0.114 };

    /// The matrix of a tag of ffmpeg's. Tags that name no matrix, or none for 4:2:0, say nothing.
    pub(crate) fn tagged(tag: Option<&str>) -> Option<Self> {
        match tag? {
            "bt709" => Some(Self::BT709),
            "smpte170m" | "bt470bg" => Some(Self::BT601),
            "fcc" => Some(Self { red: 0.30, blue: 0.11 }),
            "smpte240m" => Some(Self { red: 0.212, blue: 0.087 }),
            "bt2020nc" => Some(Self { red: 0.2627, blue: 0.0593 }),
            _ => None,
        }
    }

    /// What an untagged picture with this many rows most likely means.
    pub(crate) fn untagged(rows: u32) -> Self {
        if rows < HIGH_DEFINITION_ROWS { Self::BT601 } else { Self::BT709 }
    }
}

/// The factors of a conversion to BT.709 with limited range, in 65 536ths.
#[derive(Debug)]
pub(super) struct Conversion {
    /// What black is coded as.
    black: i64,
    luma: i64,
    luma_from: [i64; 2],
    blue_from: [i64; 2],
    red_from: [i64; 2],
}

impl Conversion {
    /// Of pictures that are coded by `from`, in this range.
    pub(super) fn new(from: Matrix, full_range: bool) -> Self {
        let (luma_span, chroma_span, black) =
            if full_range { (255.0, 255.0, 0) } else { (219.0, 224.0, 16) };
        let green = 1.0 - from.red - from.blue;
        let (by_red, by_blue) = (2.0 * (1.0 - from.red), 2.0 * (1.0 - from.blue));
        let to = Matrix::BT709;
        let to_green = 1.0 - to.red - to.blue;
        // What a colour difference adds to the luma of BT.709.
        let luma_by_blue = to.blue * by_blue - to_green * by_blue * from.blue / green;
        let luma_by_red = to.red * by_red - to_green * by_red * from.red / green;
        let (to_red, to_blue) = (2.0 * (1.0 - to.red), 2.0 * (1.0 - to.blue));
        let factor = |value: f64| (value * f64::from(1 << POINT)).round() as i64;
        let chroma = 224.0 / chroma_span;
        let pair = |blue: f64, red: f64| [factor(blue), factor(red)];
        Self {
            black,
            luma: factor(219.0 / luma_span),
            luma_from: pair(luma_by_blue * 219.0 / chroma_span, luma_by_red * 219.0 / chroma_span),
            blue_from: pair(
                (by_blue - luma_by_blue) / to_blue * chroma,
                -luma_by_red / to_blue * chroma,
            ),
            red_from: pair(
                -luma_by_blue / to_red * chroma,
                (by_red - luma_by_red) / to_red * chroma,
            ),
        }
    }

    /// One frame of `width` columns, as planes one after the other.
    pub(super) fn planes(&self, width: usize, luma: &[u8], blue: &[u8], red: &[u8]) -> Vec<u8> {
        let half = width.div_ceil(2);
        let mut planes = Vec::with_capacity(luma.len() + blue.len() + red.len());
        let (mut blue_row, mut red_row) = (vec![0; half], vec![0; half]);
        for (row, luma) in luma.chunks_exact(width).enumerate() {
            between_rows(blue, half, row, &mut blue_row);
            between_rows(red, half, row, &mut red_row);
            planes.extend(luma.iter().enumerate().map(|(column, luma)| {
                let [blue, red] = [&blue_row, &red_row].map(|row| between_columns(row, column));
                self.luma(*luma, blue, red)
            }));
        }
        let pairs = || blue.iter().zip(red);
        planes.extend(pairs().map(|(b, r)| Self::difference(self.blue_from, *b, *r)));
        planes.extend(pairs().map(|(b, r)| Self::difference(self.red_from, *b, *r)));
        planes
    }

    /// Luma with its colour differences in eighths, 128 taken off.
    fn luma(&self, luma: u8, blue: i64, red: i64) -> u8 {
        let own = (i64::from(luma) - self.black) * 8 * self.luma;
        byte(own + self.luma_from[0] * blue + self.luma_from[1] * red, 3, 16)
    }

    fn difference(factors: [i64; 2], blue: u8, red: u8) -> u8 {
        let [blue, red] = [blue, red].map(|value| i64::from(value) - 128);
        byte(factors[0] * blue + factors[1] * red, 0, 128)
    }
}

/// Rounds a number with [`POINT`] and `more` fractional bits, and adds `zero`.
fn byte(value: i64, more: u32, zero: i64) -> u8 {
    let bits = POINT + more;
    (((value + (1 << (bits - 1))) >> bits) + zero).clamp(0, 255) as u8
}

/// Colour differences at a row of luma, in quarters, 128 taken off: their rows lie between two rows
/// of luma.
fn between_rows(plane: &[u8], half: usize, row: usize, into: &mut [i64]) {
    let near = row / 2;
    let last = plane.len() / half - 1;
    let far = if row.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(last) };
    let [near, far] = [near, far].map(|row| &plane[row * half..][..half]);
    for ((value, near), far) in into.iter_mut().zip(near).zip(far) {
        *value = 3 * i64::from(*near) + i64::from(*far) - 4 * 128;
    }
}

/// A colour difference at a column of luma, in eighths: they stand on every second column, as H.264
/// and MPEG-2 place them.
fn between_columns(row: &[i64], column: usize) -> i64 {
    let near = row[column / 2];
    if column.is_multiple_of(2) {
        2 * near
    } else {
        near + row[(column / 2 + 1).min(row.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn one(from: (u8, u8, u8), matrix: Matrix, full_range: bool) -> (u8, u8, u8) {
        let conversion = Conversion::new(matrix, full_range);
        let planes = conversion.planes(4, &[from.0; 16], &[from.1; 4], &[from.2; 4]);
        assert!(planes[..16].iter().all(|value| *value == planes[0]));
        (planes[0], planes[16], planes[20])
    }

    /// Colours of ITU-R BT.601 and BT.709, coded by both rules with rounding.
    #[test]
    fn e7_pure_colours_get_the_same_numbers_by_either_matrix() {
        let coded = |[r, g, b]: [f64; 3], matrix: Matrix, full: bool| {
            let luma = matrix.red * r + (1.0 - matrix.red - matrix.blue) * g + matrix.blue * b;
            let (blue, red) =
                ((b - luma) / (2.0 * (1.0 - matrix.blue)), (r - luma) / (2.0 * (1.0 - matrix.red)));
            let (y, c, zero) = if full { (255.0, 255.0, 0.0) } else { (219.0, 224.0, 16.0) };
            let round = |value: f64| value.round().clamp(0.0, 255.0) as u8;
            (round(luma * y + zero), round(blue * c + 128.0), round(red * c + 128.0))
        };
        let colours = [
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
            [1.0, 1.0, 1.0],
            [0.0, 0.0, 0.0],
            [0.7, 0.3, 0.2],
            [0.1, 0.5, 0.4],
        ];
        for colour in colours {
            let wanted = coded(colour, Matrix::BT709, false);
            for (matrix, full) in
                [(Matrix::BT601, false), (Matrix::BT601, true), (Matrix::BT709, true)]
            {
                let got = one(coded(colour, matrix, full), matrix, full);
                let near = |a: u8, b: u8| a.abs_diff(b) <= 1;
                assert!(
                    near(got.0, wanted.0) && near(got.1, wanted.1) && near(got.2, wanted.2),
                    "{colour:?} {matrix:?} {full}: {got:?} {wanted:?}"
                );
            }
        }
    }

    #[test]
    fn bt709_with_limited_range_stays_as_it_is() {
        for value in [(16, 128, 128), (235, 90, 240), (63, 102, 240), (120, 16, 200)] {
            assert_eq!(one(value, Matrix::BT709, false), value);
        }
    }

    #[test]
    fn tags_without_a_matrix_say_nothing() {
        for tag in ["unknown", "gbr", "ycgco", "reserved"] {
            assert_eq!(Matrix::tagged(Some(tag)), None, "{tag}");
        }
        assert_eq!(Matrix::tagged(Some("bt470bg")), Some(Matrix::BT601));
        assert_eq!((Matrix::untagged(480), Matrix::untagged(720)), (Matrix::BT601, Matrix::BT709));
    }
}
