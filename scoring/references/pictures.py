"""Test pictures by integer arithmetic alone; `tests/support/pictures.rs` makes the same ones."""

import numpy as np

HEIGHT, WIDTH = 192, 256
OCTAVES = [(5, 2), (11, 3), (23, 4), (47, 5)]  # cell in pixels, weight


def lattice(x, y, octave):
    """A byte for each corner of the lattice."""
    mixed = (x * 73856093 ^ y * 19349663 ^ octave * 83492791) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 0xFF


def texture(x, y):
    """Value noise at positions in 256ths of a pixel (64-bit integers): 0 to 255."""
    total = np.zeros(np.broadcast(x, y).shape, np.int64)
    for octave, (cell, weight) in enumerate(OCTAVES):
        size = cell * 256
        column, row = x // size, y // size
        s, t = ((position - index * size) * 4096 // size for position, index in ((x, column), (y, row)))
        s, t = ((part * part * (3 * 4096 - 2 * part)) >> 24 for part in (s, t))
        upper = lattice(column, row, octave) * (4096 - s) + lattice(column + 1, row, octave) * s
        lower = lattice(column, row + 1, octave) * (4096 - s) + lattice(column + 1, row + 1, octave) * s
        total += weight * (upper * (4096 - t) + lower * t)
    value = (total // sum(weight for _, weight in OCTAVES)) >> 24
    return np.clip((value - 128) * 2 + 128, 0, 255)


def grid(height=HEIGHT, width=WIDTH):
    row, column = np.mgrid[0:height, 0:width].astype(np.int64)
    return column, row


def plain():
    column, row = grid()
    return texture(column * 256, row * 256).astype(np.uint8)


def variants():
    """Spoilt copies of `plain` by name."""
    column, row = grid()
    base = plain().astype(np.int64)
    edge = np.pad(base, 1, mode="edge")
    around = sum(edge[i : i + HEIGHT, j : j + WIDTH] for i in range(3) for j in range(3))
    blocks = base.reshape(HEIGHT // 8, 8, WIDTH // 8, 8).sum(axis=(1, 3)) // 64
    blocks = np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)
    made = {
        "noise": base + lattice(column, row, 99) % 41 - 20,
        "brighter": base * 9 // 10 + 20,
        "shifted": texture(column * 256 - 256, row * 256),
        "smoothed": around // 9,
        "unrelated": texture(column * 256 + 10_000_000, row * 256),
    }
    for quarter in range(1, 4):
        made[f"blocks{quarter}"] = (base * (4 - quarter) + blocks * quarter) // 4
    return {name: np.clip(picture, 0, 255).astype(np.uint8) for name, picture in made.items()}


def field(height=HEIGHT // 4, width=WIDTH // 4, salt=0):
    """A smooth motion in pixels for blocks of 4: rightward, downward."""
    column, row = grid(height, width)
    part = lambda seed: (texture(column * 640 + seed, row * 640) - 128) / 64.0
    return np.stack([part(7_000_000 + salt), part(9_000_000 + salt)])


# Where the second picture's pixel (x, y) came from in the first: 65536ths, (xx, xy, x0, yx, yy, y0), from the middle.
MOTIONS = {
    "shift 0.3 px": (65536, 0, -19661, 0, 65536, 13107),
    "shift 5.6 px": (65536, 0, -301466, 0, 65536, -209715),
    "shift 13 px": (65536, 0, -720896, 0, 65536, 458752),
    "zoom 2 %": (64225, 0, 0, 0, 64225, 0),
    "rotation 1.1 degrees": (65523, 1311, 0, -1311, 65523, 0),
    "zoom, turn and shift": (64225, 655, -98304, -655, 64225, 65536),
}
FLOW_HEIGHT, FLOW_WIDTH = 240, 416


def moved(motion):
    """Two pictures and the true motion of each pixel of the first."""
    column, row = grid(FLOW_HEIGHT, FLOW_WIDTH)
    first = texture(column * 256, row * 256).astype(np.uint8)
    xx, xy, x0, yx, yy, y0 = motion
    middle_x, middle_y = FLOW_WIDTH // 2, FLOW_HEIGHT // 2
    x, y = column - middle_x, row - middle_y
    second = texture(
        ((xx * x + xy * y + x0) >> 8) + middle_x * 256, ((yx * x + yy * y + y0) >> 8) + middle_y * 256
    ).astype(np.uint8)
    inverse = np.linalg.inv(np.array([[xx, xy], [yx, yy]]) / 65536)
    from_x, from_y = x - x0 / 65536, y - y0 / 65536
    to_x = inverse[0, 0] * from_x + inverse[0, 1] * from_y
    to_y = inverse[1, 0] * from_x + inverse[1, 1] * from_y
    return first, second, np.stack([to_x - x, to_y - y])
