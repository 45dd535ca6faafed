"""Counts positive and negative peaks of blank-sky runs and sets them beside the expectation of theory.

    python3 reports/noise/count_peaks.py runs/noise-known/metrics.json runs/noise-known runs/noise-mesh > reports/noise/peaks.txt

The first argument gives the expected densities (validation's analytic ones: Gaussian peak density times the skewness factor of the
Poisson sky); the others are run folders whose detect phase is done. Needs h5py and numpy.
"""
import glob
import json
import sys

import h5py
import numpy as np

expected = {(m["band"], m["regime"]): m["limit"] for m in json.load(open(sys.argv[1]))["metrics"]
            if m["name"] == "detection.peaks_per_arcmin2" and m["limit"]}
for run in sys.argv[2:]:
    peaks, pixels = {}, {}
    for path in sorted(glob.glob(run + "/main/layers/*.h5")):
        with h5py.File(path) as f:
            for i, (layer, n) in enumerate(zip(f["layers/name"].asstr()[:], f["layers/n_pixels"][:])):
                pixels[layer] = pixels.get(layer, 0) + int(n)
                for sign, name in (("positive", "peaks"), ("negative", "negative_peaks")):
                    first, end = f[name]["offsets"][i:i + 2]
                    peaks.setdefault((layer, sign), []).append(f[name]["significance"][first:end])
    print(f"{run}: {max(pixels.values())} pixels\n")
    print(f"{'layer':>9} {'peaks':<16} {'found':>7} {'expected':>9} {'found/arcmin2':>14} {'deviation [Poisson sigma]':>26}")
    for (layer, regime), density in sorted(expected.items()):
        sign, threshold = regime.split(" > ")
        area = pixels[layer] * 0.2 ** 2 / 3600
        n, mean = int((np.concatenate(peaks[layer, sign]) >= float(threshold)).sum()), density * area
        if mean >= 1:
            print(f"{layer:>9} {regime:<16} {n:7d} {mean:9.1f} {n / area:14.4f} {(n - mean) / mean ** 0.5:26.2f}")
    print()
