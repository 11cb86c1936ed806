"""Writes `tables/`: what public implementations say about the pictures of `pictures.py`. See README.md."""

import csv
import re
import subprocess
from pathlib import Path

import cv2
import numpy as np
import piq
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.registration import optical_flow_ilk

from pictures import FLOW_HEIGHT, FLOW_WIDTH, HEIGHT, MOTIONS, WIDTH, field, grid, lattice, moved, plain, texture, variants

TABLES = Path(__file__).parent / "tables"


def write(name, header, rows):
    with open(TABLES / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def unit(picture):
    return picture.astype(np.float64) / 255


def tensor(picture):
    return torch.from_numpy(unit(picture))[None, None]


def laplacian_variance(picture):
    return cv2.Laplacian(unit(picture), cv2.CV_64F, ksize=1)[1:-1, 1:-1].var()


def noise_sigma(picture):
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    response = cv2.filter2D(unit(picture), cv2.CV_64F, kernel)[1:-1, 1:-1]
    return np.sqrt(np.pi / 2) * np.abs(response).mean() / 6


def pictures_table():
    base = plain()
    rows = []
    for name, other in variants().items():
        rows += [
            (name, "sum of bytes", "numpy", int(other.astype(np.int64).sum())),
            (name, "ms_ssim", "piq", piq.multi_scale_ssim(tensor(base), tensor(other), data_range=1.0).item()),
            (name, "psnr", "scikit-image", peak_signal_noise_ratio(unit(base), unit(other), data_range=1)),
            (name, "psnr", "opencv", cv2.PSNR(base, other)),
            (name, "laplacian_variance", "opencv", laplacian_variance(other)),
            (name, "noise_sigma", "opencv", noise_sigma(other)),
        ]
    write("pictures.csv", ("case", "metric", "reference", "value"), rows)


def flow_table():
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    rows = []
    for name, motion in MOTIONS.items():
        first, second, truth = moved(motion)
        down, right = optical_flow_ilk(unit(first), unit(second), radius=7, dtype=np.float64)
        found = {
            "scikit-image ILK": np.stack([right, down]),
            "OpenCV DIS medium": np.moveaxis(dis.calc(first, second, None), 2, 0),
            "OpenCV Farneback": np.moveaxis(
                cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 4, 15, 3, 5, 1.2, 0), 2, 0
            ),
        }
        for reference, flow in found.items():
            error = np.hypot(*(flow - truth))[16 : FLOW_HEIGHT - 16, 16 : FLOW_WIDTH - 16].mean()
            rows.append((name, "end-point error", reference, error))
    write("flow.csv", ("case", "metric", "reference", "value"), rows)


def camera_table():
    """An affine field with a quarter of it moving by itself, against OpenCV's RANSAC."""
    rows = []
    for name, (right, down) in {
        "pan": ((1.5, 0, 0), (-0.5, 0, 0)),
        "zoom": ((0.25, 3, 0), (0, 0, 3)),
        "roll": ((0, 0, -2), (0, 2, 0)),
    }.items():
        column, row = grid(60, 104)
        x, y = (column - 51.5) / 52, (row - 29.5) / 52
        motion = np.stack([part[0] + part[1] * x + part[2] * y for part in (right, down)])
        motion += field(60, 104) / 32
        motion[:, 20:50, 20:72] += np.array([4.0, 3.0])[:, None, None]
        start = np.stack([x.ravel(), y.ravel()], axis=1)
        fit, _ = cv2.estimateAffine2D(
            start, motion.reshape(2, -1).T, ransacReprojThreshold=0.2, maxIters=20000, confidence=0.9999
        )
        for side, line in zip(("right", "down"), fit):
            for part, value in zip(("across", "downward", "middle"), line):
                rows.append((name, f"{side} {part}", "opencv", value))
    write("camera.csv", ("case", "metric", "reference", "value"), rows)


def ffmpeg(frames, filter):
    height, width = frames[0].shape
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", "16", "-i", "-"]
    command = ["ffmpeg", "-nostdin", "-hide_banner", *source, "-vf", f"{filter},metadata=print:file=-", "-f", "null", "-"]
    return subprocess.run(command, input=b"".join(f.tobytes() for f in frames), capture_output=True, check=True).stdout.decode()


def ffmpeg_table():
    rows = []
    for name, picture in {"blocks0": plain(), **variants()}.items():
        if name.startswith("blocks"):
            value = re.search(r"lavfi\.block=([\d.]+)", ffmpeg([picture], "blockdetect"))
            rows.append((name, "blockiness", "ffmpeg blockdetect", value.group(1)))
    column, row = grid(96, 128)
    place = lambda frame: min(frame, 20) + max(frame - 45, 0)
    noise = lambda frame: lattice(column, row, 1000 + frame) % 3 - 1
    frames = [texture((column + 2 * place(f)) * 256, row * 256) + noise(f) for f in range(60)]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]
    found = ffmpeg(frames, "freezedetect=n=0.01:d=0.5")
    for edge in ("start", "end"):
        seconds = float(re.search(rf"freeze_{edge}=([\d.]+)", found).group(1))
        rows.append(("standing still", f"freeze {edge}", "ffmpeg freezedetect", round(seconds * 16)))
    write("ffmpeg.csv", ("case", "metric", "reference", "value"), rows)


if __name__ == "__main__":
    cv2.setRNGSeed(1)
    pictures_table()
    flow_table()
    camera_table()
    ffmpeg_table()
