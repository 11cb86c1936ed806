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


def camera(flow):
    row, column = np.mgrid[0 : HEIGHT // 2 : 4, 0 : WIDTH // 2 : 4].astype(np.float32)
    places = np.stack([column.ravel(), row.ravel()], axis=1)
    return [cv2.estimateAffine2D(places, places + motion[::4, ::4].reshape(-1, 2))[0] for motion in flow]


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
    first_frame = lambda: (
        piq.multi_scale_ssim(torch_pictures(answer[:1]), torch_pictures(source[:1])),
        cv2.PSNR(answer[0], source[0]),
    )
    picked = {
        "half size, twice": lambda: (each(half_size, source), each(half_size, answer)),
        "sharpness, half size": lambda: each(lambda frame: cv2.Laplacian(frame, cv2.CV_32F).var(), answer_half),
        "noise": lambda: each(noise_sigma, answer),
        "blockiness": lambda: each(blockiness, answer),
        "first frame: MS-SSIM (piq), PSNR": first_frame,
        "optical flow (DIS, medium)": lambda: each(dis, answer_half[:-1], answer_half[1:]),
        "camera": lambda: reweighted_fit(answer_flow),
    }
    called = {
        "half size, twice": lambda: (halves(source), halves(answer)),
        "sharpness, half size": lambda: [cv2.Laplacian(frame, cv2.CV_32F).var() for frame in answer_half],
        "noise": lambda: [noise_sigma(frame) for frame in answer],
        "blockiness": lambda: [blockiness(frame) for frame in answer],
        "first frame: MS-SSIM (piq), PSNR": first_frame,
        "optical flow (Farnebäck)": lambda: flows(answer_half, farneback),
        "camera (RANSAC)": lambda: camera(answer_flow),
    }
    return {"hand-picked OpenCV": picked, "library calls": called}


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
