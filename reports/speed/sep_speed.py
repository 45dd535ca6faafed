"""SEP's extraction on one core, to set beside `make bench`, group detect.

    python3 reports/speed/sep_speed.py

The same image as the bench's: 1024 x 1024 pixels of noise that is correlated over 4 pixels, threshold 5 sigma, a 7 x 7 matched filter with the noise array, as
SEP is used on a survey. Needs sep and numpy.
"""
import time

import numpy as np
import sep

SIDE = 1024
rng = np.random.default_rng(2)
white = rng.normal(size=(SIDE + 4, SIDE + 4))
image = np.zeros((SIDE, SIDE))
for j in range(4):
    for i in range(4):
        image += white[j:j + SIDE, i:i + SIDE] / 4
image = image.astype(np.float32)
noise = np.ones_like(image)
y, x = np.mgrid[-3:4, -3:4]
kernel = np.exp(-(x**2 + y**2) / (2 * (4.5 / 2.35482) ** 2))
for name, options in [("no filter", dict(filter_kernel=None)),
                      ("7 x 7 filter", dict(filter_kernel=kernel, filter_type="conv")),
                      ("7 x 7 matched filter", dict(filter_kernel=kernel, filter_type="matched"))]:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        found = sep.extract(image, 5.0, err=noise, **options)
        times.append(time.perf_counter() - start)
    print(f"sep {sep.__version__}, {name}: {SIDE**2 / np.median(times) / 1e6:.1f} Mpix/s, {len(found)} objects")
