"""Times what `benches/score.rs` and `leoma score --bench` measure with what others offer; see README.md.

Without arguments on clips of the same kind as the former's; with `WIDTH HEIGHT SOURCE ANSWER`, two files of luma frame by frame, on those,
which `leoma score --bench --peers` gives it.

Two pipelines on luma that is decoded already: the best that could be picked by hand from OpenCV and NumPy, its frames shared out over
two threads, and plain calls of libraries with the threads that they take themselves. The least time of several runs, and the
processor time of that run.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "2")

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import piq
import torch
from skimage.metrics import structural_similarity

from pictures import grid, lattice, texture

HEIGHT, WIDTH, FRAMES, RUNS = 480, 832, 81, 3
torch.set_num_threads(2)


def clips():
    """A pan over a texture, and the same under noise."""
    column, row = grid(HEIGHT + 32, WIDTH + 3 * FRAMES)
    wall = texture(column * 128, row * 128).astype(np.uint8)
    source, answer = [], []
    for frame in range(FRAMES):
        down = 16 + round(12 * np.sin(frame / 12))
        picture = np.ascontiguousarray(wall[down : down + HEIGHT, 3 * frame : 3 * frame + WIDTH])
        noise = (lattice(*grid(HEIGHT, WIDTH), frame) % 7 - 3).astype(np.int16)
        source.append(picture)
        answer.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
    return source, answer


def clips_of_files(width, height, *paths):
    """Luma of both clips, as `leoma score --bench --peers` writes it."""
    global HEIGHT, WIDTH, FRAMES
    WIDTH, HEIGHT = int(width), int(height)
    source, answer = (list(np.fromfile(path, np.uint8).reshape(-1, HEIGHT, WIDTH)) for path in paths)
    FRAMES = len(source)
    return source, answer


def opencv_ssim(left, right):
    left, right = left.astype(np.float32), right.astype(np.float32)
    blur = lambda picture: cv2.GaussianBlur(picture, (11, 11), 1.5)
    mean_left, mean_right = blur(left), blur(right)
    product = mean_left * mean_right
    squares = mean_left * mean_left + mean_right * mean_right
    variances = blur(left * left + right * right) - squares
    covariance = blur(left * right) - product
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return values[5:-5, 5:-5].mean()


def half_size(frame):
    return cv2.resize(frame, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)


def halves(clip):
    return [half_size(frame) for frame in clip]


def noise_sigma(picture):
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return np.abs(cv2.filter2D(picture, cv2.CV_16S, kernel)).mean()


def blockiness(picture):
    across = cv2.absdiff(picture[:, 1:], picture[:, :-1])
    down = cv2.absdiff(picture[1:], picture[:-1])
    across, down = cv2.reduce(across, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F), cv2.reduce(down, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    return across.ravel()[7::8].mean() / across.mean(), down.ravel()[7::8].mean() / down.mean()


def each(measure, *clips):
    """Of each frame, on two threads; OpenCV lets go of the interpreter."""
    return list(POOL.map(measure, *clips))


def flows(half, calculate):
    return [calculate(half[i], half[i + 1]) for i in range(len(half) - 1)]


def warping_error(half, flow):
    row, column = np.mgrid[0 : HEIGHT // 2, 0 : WIDTH // 2].astype(np.float32)
    errors = []
    for i, motion in enumerate(flow):
        back = cv2.remap(half[i + 1], column + motion[..., 0], row + motion[..., 1], cv2.INTER_LINEAR)
        errors.append(cv2.norm(back, half[i], cv2.NORM_L2SQR))
    return errors


def camera(flow):
    row, column = np.mgrid[0 : HEIGHT // 2 : 4, 0 : WIDTH // 2 : 4].astype(np.float32)
    places = np.stack([column.ravel(), row.ravel()], axis=1)
    return [cv2.estimateAffine2D(places, places + motion[::4, ::4].reshape(-1, 2))[0] for motion in flow]


def detail(left, right):
    change = lambda clip, i: cv2.Laplacian(cv2.subtract(clip[i], clip[0], dtype=cv2.CV_16S), cv2.CV_32F)
    found = []
    for i in range(1, len(left)):
        a, b = change(left, i), change(right, i)
        found.append((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean() + 1e-9))
    return found


def torch_pictures(clip):
    return torch.from_numpy(np.stack(clip))[:, None].float() / 255


def dis(a, b):
    """A flow of its own for each thread: it holds what it works on."""
    if not hasattr(LOCAL, "dis"):
        LOCAL.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return LOCAL.dis.calc(a, b, None)


LOCAL = threading.local()
POOL = ThreadPoolExecutor(2)
farneback = lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 3, 5, 1.2, 0)


def pipelines(source, answer):
    source_half, answer_half = halves(source), halves(answer)
    answer_flow = flows(answer_half, dis)
    pairs = list(zip(answer, source))
    picked = {
        "half size, twice": lambda: (each(half_size, source), each(half_size, answer)),
        "sharpness, half size": lambda: each(lambda frame: cv2.Laplacian(frame, cv2.CV_32F).var(), answer_half),
        "noise": lambda: each(noise_sigma, answer),
        "blockiness": lambda: each(blockiness, answer),
        "warping error, twice": lambda: [warping_error(answer_half, answer_flow) for _ in range(2)],
        "replay": lambda: detail(answer_half, source_half),
        "PSNR": lambda: each(cv2.PSNR, answer, source),
        "SSIM, full size": lambda: each(opencv_ssim, answer, source),
        "SSIM, half size": lambda: each(opencv_ssim, answer_half, source_half),
        "optical flow (DIS, medium)": lambda: each(dis, answer_half[:-1], answer_half[1:]),
        "camera": lambda: reweighted_fit(answer_flow),
    }

    def piq_ssim(left, right):
        return [piq.ssim(a[None], b[None], downsample=False) for a, b in zip(torch_pictures(left), torch_pictures(right))]

    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    called = {
        "half size, twice": lambda: (halves(source), halves(answer)),
        "sharpness, half size": lambda: [cv2.Laplacian(frame, cv2.CV_32F).var() for frame in answer_half],
        "noise": lambda: [noise_sigma(frame) for frame in answer],
        "blockiness": lambda: [blockiness(frame) for frame in answer],
        "warping error, twice": lambda: [warping_error(answer_half, answer_flow) for _ in range(2)],
        "replay": lambda: detail(answer_half, source_half),
        "PSNR": lambda: [cv2.PSNR(a, b) for a, b in pairs],
        "SSIM, full size (scikit-image)": lambda: [structural_similarity(a, b, **options) for a, b in pairs],
        "SSIM, half size (piq)": lambda: piq_ssim(answer_half, source_half),
        "optical flow (Farnebäck)": lambda: flows(answer_half, farneback),
        "camera (RANSAC)": lambda: camera(answer_flow),
    }
    other = {"SSIM, full size (piq)": lambda: piq_ssim(answer, source)}
    return {"hand-picked OpenCV": picked, "library calls": called, "not added": other}


def reweighted_fit(flow):
    """The same reweighted fit as ours, eight rounds."""
    row, column = np.mgrid[0 : HEIGHT // 2 : 4, 0 : WIDTH // 2 : 4].astype(np.float32)
    basis = np.stack([np.ones_like(column), column / 104 - 2, row / 104 - 1]).reshape(3, -1).T
    motion = np.stack([part[::4, ::4].reshape(-1, 2) for part in flow])
    weights = np.ones(motion.shape[:2], np.float32)
    for _ in range(9):
        weighted = basis[None] * weights[..., None]
        fit = np.linalg.solve(np.einsum("snp,nq->spq", weighted, basis), np.einsum("snp,snc->spc", weighted, motion))
        residual = ((basis @ fit - motion) ** 2).sum(axis=2)
        spread = np.maximum((weights * residual).sum(axis=1) / weights.sum(axis=1), 0.01)[:, None]
        weights = (spread / (residual + spread)) ** 2
    return fit


def timed(run):
    best = None
    for _ in range(RUNS):
        start, processor = time.perf_counter(), time.process_time()
        run()
        took = time.perf_counter() - start, time.process_time() - processor
        best = min(best or took, took)
    return best


if __name__ == "__main__":
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, OpenCV {cv2.__version__}, torch {torch.__version__}")
    for pipeline, parts in pipelines(*(clips_of_files(*sys.argv[1:]) if len(sys.argv) == 5 else clips())).items():
        total = [0.0, 0.0]
        for part, run in parts.items():
            wall, processor = timed(run)
            total = [total[0] + wall, total[1] + processor]
            print(f"{pipeline}: {part}: {wall * 1000:.0f} ms, {processor * 1000:.0f} ms of processor time")
        print(f"{pipeline}: together {total[0]:.2f} s, {total[1]:.2f} s of processor time\n")
