//! Test pictures by integer arithmetic alone; `references/pictures.py` makes the same ones.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "shared by several test programs, each of which uses a part"
)]

pub const HEIGHT: usize = 192;
pub const WIDTH: usize = 256;
pub const FLOW_HEIGHT: usize = 240;
pub const FLOW_WIDTH: usize = 416;

/// Cell in pixels, weight.
const OCTAVES: [(i64, i64); 4] = [(5, 2), (11, 3), (23, 4), (47, 5)];

/// A byte for each corner of the lattice.
pub fn lattice(x: i64, y: i64, octave: i64) -> i64 {
    let mixed = (x.wrapping_mul(73_856_093)
        ^ y.wrapping_mul(19_349_663)
        ^ octave.wrapping_mul(83_492_791)) as u32;
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(1_274_126_177);
    i64::from((mixed ^ (mixed >> 16)) & 0xff)
}

/// Value noise at positions in 256ths of a pixel: 0 to 255.
pub fn texture(x: i64, y: i64) -> i64 {
    let mut total = 0;
    for (octave, (cell, weight)) in (0..).zip(OCTAVES) {
        let size = cell * 256;
        let smooth = |position: i64| {
            let part = position.rem_euclid(size) * 4096 / size;
            (part * part * (3 * 4096 - 2 * part)) >> 24
        };
        let (column, row) = (x.div_euclid(size), y.div_euclid(size));
        let (s, t) = (smooth(x), smooth(y));
        let line = |row: i64| {
            lattice(column, row, octave) * (4096 - s) + lattice(column + 1, row, octave) * s
        };
        total += weight * (line(row) * (4096 - t) + line(row + 1) * t);
    }
    let weights: i64 = OCTAVES.iter().map(|(_, weight)| weight).sum();
    ((total.div_euclid(weights) >> 24) * 2 - 128).clamp(0, 255)
}

/// A picture from the value at each column and row.
pub fn picture(height: usize, width: usize, value: impl Fn(i64, i64) -> i64) -> Vec<u8> {
    let at = |index: usize| value((index % width) as i64, (index / width) as i64);
    (0..height * width).map(|index| at(index).clamp(0, 255) as u8).collect()
}

pub fn plain() -> Vec<u8> {
    picture(HEIGHT, WIDTH, |column, row| texture(column * 256, row * 256))
}

/// The spoilt copies of [`plain`] by name.
pub fn variant(name: &str) -> Vec<u8> {
    let plain = plain();
    let at = |column: i64, row: i64| {
        let (column, row) = (column.clamp(0, WIDTH as i64 - 1), row.clamp(0, HEIGHT as i64 - 1));
        i64::from(plain[row as usize * WIDTH + column as usize])
    };
    let sum = |columns: std::ops::Range<i64>, rows: std::ops::Range<i64>| -> i64 {
        rows.flat_map(|row| columns.clone().map(move |column| (column, row)))
            .map(|(x, y)| at(x, y))
            .sum()
    };
    picture(HEIGHT, WIDTH, |x, y| match name {
        "noise" => at(x, y) + lattice(x, y, 99) % 41 - 20,
        "brighter" => at(x, y) * 9 / 10 + 20,
        "shifted" => texture(x * 256 - 256, y * 256),
        "smoothed" => sum(x - 1..x + 2, y - 1..y + 2) / 9,
        "unrelated" => texture(x * 256 + 10_000_000, y * 256),
        _ => {
            let quarter: i64 =
                name.strip_prefix("blocks").and_then(|quarter| quarter.parse().ok()).unwrap();
            let (left, top) = (x / 8 * 8, y / 8 * 8);
            (at(x, y) * (4 - quarter) + sum(left..left + 8, top..top + 8) / 64 * quarter) / 4
        }
    })
}

/// A smooth motion in pixels for blocks of 4: all rightward, then all downward.
pub fn field(height: usize, width: usize) -> Vec<f32> {
    let part = |seed: i64| {
        let at = move |(row, column): (usize, usize)| {
            texture(column as i64 * 640 + seed, row as i64 * 640)
        };
        let places = (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)));
        places.map(move |place| (at(place) - 128) as f32 / 64.0)
    };
    part(7_000_000).chain(part(9_000_000)).collect()
}

/// Where the second picture's pixel came from in the first: 65536ths, from the middle.
pub const MOTIONS: [(&str, [i64; 6]); 6] = [
    ("shift 0.3 px", [65536, 0, -19661, 0, 65536, 13107]),
    ("shift 5.6 px", [65536, 0, -301_466, 0, 65536, -209_715]),
    ("shift 13 px", [65536, 0, -720_896, 0, 65536, 458_752]),
    ("zoom 2 %", [64225, 0, 0, 0, 64225, 0]),
    ("rotation 1.1 degrees", [65523, 1311, 0, -1311, 65523, 0]),
    ("zoom, turn and shift", [64225, 655, -98304, -655, 64225, 65536]),
];

/// Two pictures of which the second is the first moved.
pub fn moved([xx, xy, x0, yx, yy, y0]: [i64; 6]) -> [Vec<u8>; 2] {
    let (middle_x, middle_y) = (FLOW_WIDTH as i64 / 2, FLOW_HEIGHT as i64 / 2);
    let second = |column: i64, row: i64| {
        let (x, y) = (column - middle_x, row - middle_y);
        let from_x = ((xx * x + xy * y + x0) >> 8) + middle_x * 256;
        texture(from_x, ((yx * x + yy * y + y0) >> 8) + middle_y * 256)
    };
    [
        picture(FLOW_HEIGHT, FLOW_WIDTH, |column, row| texture(column * 256, row * 256)),
        picture(FLOW_HEIGHT, FLOW_WIDTH, second),
    ]
}

/// The true motion of the first picture's pixel.
pub fn truth([xx, xy, x0, yx, yy, y0]: [i64; 6], column: usize, row: usize) -> (f64, f64) {
    let [xx, xy, x0, yx, yy, y0] = [xx, xy, x0, yx, yy, y0].map(|part| part as f64 / 65536.0);
    let (x, y) = (column as f64 - FLOW_WIDTH as f64 / 2.0, row as f64 - FLOW_HEIGHT as f64 / 2.0);
    let (from_x, from_y) = (x - x0, y - y0);
    let determinant = xx * yy - xy * yx;
    ((yy * from_x - xy * from_y) / determinant - x, (xx * from_y - yx * from_x) / determinant - y)
}
