"""Throughput of sep on a noisy image with sources, for the table of speed.md.

speed.py        [Mpix/s of one core: background given, matched filter of 9 x 9, threshold 5 sigma]
"""

import time

import numpy as np
import sep
from scipy.ndimage import gaussian_filter

SIDE, FWHM = 4096, 4.5


def main() -> None:
    rng = np.random.default_rng(1)
    sigma = FWHM / 2.35482
    image = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    sources = np.zeros((SIDE, SIDE))
    n = 20_000
    sources[rng.integers(0, SIDE, n), rng.integers(0, SIDE, n)] = 30 * (4 * np.pi * sigma**2) ** 0.5 * rng.pareto(1.5, n).clip(0.2, 100)
    image += gaussian_filter(sources, sigma).astype(np.float32)
    y, x = np.mgrid[-4:5, -4:5]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    for name, options in {"deblended": {}, "not deblended": {"deblend_cont": 1.0}}.items():
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            found = sep.extract(image, 5.0, err=1.0, filter_kernel=kernel, filter_type="matched", minarea=1, **options)
            best = min(best, time.process_time() - start)
        print(f"sep {sep.__version__}, {name}: {SIDE * SIDE / best / 1e6:.1f} Mpix/s, {len(found)} objects")


if __name__ == "__main__":
    sep.set_extract_pixstack(10_000_000)
    main()
