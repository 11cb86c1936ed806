"""Computes the numbers in `tests/metrics.rs`: `pip install numpy scikit-image`, then run this file.

SSIM is scikit-image's, with its border of 5 pixels cut off. The others are written out in 64 bits from their papers.
"""

import numpy as np
from skimage.metrics import structural_similarity

HEIGHT, WIDTH = 192, 256
row, column = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)


def to_bytes(values):
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def pictures():
    plain = to_bytes(128 + 60 * np.sin(column / 7) * np.cos(row / 9) + 30 * np.sin((column + 2 * row) / 23))
    noise = ((column * 7919 + row * 104729 + column * row * 31) % 41) - 20
    around = sum(np.roll(plain, by, axis).astype(int) for by, axis in [(1, 0), (-1, 0), (1, 1), (-1, 1)])
    return plain, {
        "noise": to_bytes(plain + noise),
        "brighter": to_bytes(plain * 0.9 + 20),
        "shifted": np.roll(plain, 1, axis=1),
        "smoothed": ((plain + around) // 5).astype(np.uint8),
    }


def ssim(a, b):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    _, values = structural_similarity(a / 255.0, b / 255.0, full=True, **options)
    return values[5:-5, 5:-5].mean()


def windowed(picture):
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in (0, 1):
        picture = np.apply_along_axis(lambda line: np.convolve(line, weights, "valid"), axis, picture)
    return picture


def ms_ssim(a, b):
    a, b, product = a / 255.0, b / 255.0, 1.0
    for scale, exponent in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        if scale:
            a, b = ((p[0::2, 0::2] + p[1::2, 0::2] + p[0::2, 1::2] + p[1::2, 1::2]) / 4 for p in (a, b))
        mean_a, mean_b = windowed(a), windowed(b)
        variances = windowed(a * a) - mean_a**2 + windowed(b * b) - mean_b**2
        structure = (2 * (windowed(a * b) - mean_a * mean_b) + 9e-4) / (variances + 9e-4)
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        product *= max((luminance * structure if scale == 4 else structure).mean(), 0) ** exponent
    return product


def psnr(a, b):
    return -10 * np.log10(((a / 255.0 - b / 255.0) ** 2).mean())


def responses(picture, kernel):
    picture = picture / 255.0
    part = lambda i, j: picture[i : HEIGHT - 2 + i, j : WIDTH - 2 + j]
    return sum(kernel[i][j] * part(i, j) for i in range(3) for j in range(3))


def laplacian_variance(picture):
    return responses(picture, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]).var()


def noise_sigma(picture):
    return np.abs(responses(picture, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]])).mean() * np.sqrt(np.pi / 2) / 6


plain, others = pictures()
print("sum of plain:", plain.astype(int).sum())
for name, other in others.items():
    values = ssim(plain, other), ms_ssim(plain, other), psnr(plain, other), laplacian_variance(other), noise_sigma(other)
    print(name, other.astype(int).sum(), *(f"{value:.10g}" for value in values))
