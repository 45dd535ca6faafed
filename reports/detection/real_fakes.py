"""Point sources put into the HSC blends, and what association makes of them: a truth on light that no simulation drew.

    real_fakes.py inject DATA RUN OUT SEED     the cutouts of real.py with sources, and their list; RUN: that without them, with RUN_lsst beside it
    real_fakes.py compare RUNS...              folders with cutouts/fakes.csv, hsc and hsc_lsst: figures to standard output
"""

import sys
from pathlib import Path

import numpy as np
import real
from astropy.io import fits
from scipy.ndimage import shift
from scipy.spatial import cKDTree
from scipy.stats import binomtest

WAVELENGTHS = np.array([475, 622, 770, 890, 1000])  # nm
SNR = (6.0, 25.0)  # matched filter over all bands, in the white noise of the weights
APART_PX = 12.0  # from each other
CLEAR_PX = 3.4  # an FWHM from what is there
FOUND_PX = 2.5  # 0.75 FWHM
PIXELS_A_SOURCE, MOST = 400, 6  # of a blend
SNR_BINS, LIGHT_BINS = (6, 9, 13, 25), (0, 5, 15, 40, np.inf)


def inject(data, run, out, seed):
    real.prepare(data, out)
    out = Path(out)
    without = real.Run(run, real.HSC_BANDS)
    light, _ = without.free_sed()
    known = cKDTree(np.vstack([without.objects[:, :2], real.Run(f"{run}_lsst", real.HSC_BANDS).objects[:, :2]]))
    rng = np.random.default_rng(int(seed))
    rows = []
    for name, (x0, y0), _, weights, psfs, peaks in real.blends(data):
        psfs = psfs / psfs.sum(axis=(1, 2), keepdims=True)
        weight = np.array([np.median(w[w > 0]) for w in weights])
        y_free, x_free = np.nonzero(np.all(weights > 0, axis=0))
        placed = []
        for _ in range(200):
            k = rng.integers(len(y_free))
            at = np.array([x_free[k], y_free[k]]) + rng.uniform(-0.5, 0.5, 2)
            from_listed = np.hypot(*(peaks - at).T).min()
            from_known = known.query(at + [x0, y0])[0]
            if len(placed) < min(MOST, max(1, len(y_free) // PIXELS_A_SOURCE)) and all(np.hypot(*(at - p)) > APART_PX for p in placed) and min(from_listed, from_known) > CLEAR_PX:
                placed.append(at)
        for at in placed:
            sed = (WAVELENGTHS / WAVELENGTHS[1]) ** rng.uniform(-2, 3)
            snr = rng.uniform(*SNR)
            flux = snr * sed / np.sqrt((sed**2 * weight * (psfs**2).sum(axis=(1, 2))).sum())
            whole = np.rint(at).astype(int)
            for b, band in enumerate(real.HSC_BANDS):
                stamp = flux[b] * shift(psfs[b].astype(float), (at - whole)[::-1], order=5)
                y, x = (whole[::-1] + real.MARGIN) - np.array(stamp.shape) // 2
                with fits.open(out / f"{name}_{band}_image.fits", mode="update") as f:
                    image = f[0].data
                    rows_, columns = (slice(max(v, 0), min(v + n, m)) for v, n, m in zip((y, x), stamp.shape, image.shape))
                    image[rows_, columns] += stamp[rows_.start - y : rows_.stop - y, columns.start - x : columns.stop - x]
            there = light[int(round(at[1] + y0)), int(round(at[0] + x0))]
            rows.append((*(at + [x0, y0]), snr, there))
    np.savetxt(out / "fakes.csv", rows, delimiter=",", header="x,y,snr,light", fmt="%.4f", comments="")


def compare(*runs):
    fakes, peak, found = [], [], {"likelihood": [], "lsst": []}
    for run in map(Path, runs):
        rows = np.loadtxt(run / "cutouts/fakes.csv", delimiter=",", skiprows=1)
        fakes.append(rows)
        is_near = lambda at: cKDTree(at).query(rows[:, :2])[0] < FOUND_PX
        for rules, name in (("likelihood", "hsc"), ("lsst", "hsc_lsst")):
            of_run = real.Run(run / name, real.HSC_BANDS)
            found[rules].append(is_near(of_run.objects[:, :2]))
        peak.append(is_near(of_run.peaks[of_run.peaks[:, 4] == 0, :2]))
    fakes, peak, found = np.vstack(fakes), np.concatenate(peak), {k: np.concatenate(v) for k, v in found.items()}
    ours, theirs = found["likelihood"], found["lsst"]
    more, fewer = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    share = lambda m: f"{100 * m.mean():5.1f} ± {100 * np.sqrt(max(m.mean() * (1 - m.mean()), 1 / len(m)) / len(m)):.1f} %" if len(m) else "none"
    print(f"{len(fakes)} point sources of S/N {SNR[0]:g} to {SNR[1]:g} in {len(runs)} fields, {CLEAR_PX} px from all that is known: with an object within {FOUND_PX} px by likelihood {share(ours)}, by LSST's rules {share(theirs)}; with a peak {share(peak)}")
    print(f"by likelihood only {more}, by LSST's rules only {fewer}: chance of so much {binomtest(more, more + fewer).pvalue:.2g}")
    for lo, hi in zip(LIGHT_BINS, LIGHT_BINS[1:]):
        for a, b in zip(SNR_BINS, SNR_BINS[1:]):
            m = (fakes[:, 3] >= lo) & (fakes[:, 3] < hi) & (fakes[:, 2] >= a) & (fakes[:, 2] < b)
            print(f"  light of {lo:g}-{hi:g} sigma, S/N {a}-{b}, {m.sum():4}: likelihood {share(ours[m])}, LSST {share(theirs[m])}, a peak {share(peak[m])}")


if __name__ == "__main__":
    {"inject": inject, "compare": compare}[sys.argv[1]](*sys.argv[2:])
