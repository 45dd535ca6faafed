"""Detection on the test image of sep beside its SExtractor catalog: 3 x 3 pyramid filter, 1.5 sigma.

    sep_reference.py prepare DATA OUT      image less SExtractor's background, with a WCS, and the filter as a PSF; a layout
    sep_reference.py compare DATA RUN FIGURE > sep_reference.txt
"""

import sys
import warnings
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import sep
from astropy.io import fits
from scipy.ndimage import convolve, label
from scipy.spatial import cKDTree

matplotlib.use("Agg")
import matplotlib.pyplot as plt

warnings.simplefilter("ignore")  # an old header
PYRAMID = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
NOISE = float(np.sqrt((PYRAMID**2).sum()))  # of the filtered image in that of a pixel: 3/8
LAYOUT = """root = "{root}"

[image]
file = "image.fits"

[variance]
kind = "constant"
value = {variance!r}

[psf]
kind = "stamp"
file = "psf.fits"

[exposure]
band = "r"
exposure_time = 1.0
mjd = 48921.6
gain = 2.1
sky_subtracted = true

[photometry]
zero_point = 27.0
"""


def read(data):
    folder = Path(data) / "real/sep_reference"
    image = fits.getdata(folder / "image.fits").astype(float)
    mesh = sep.Background(np.ascontiguousarray(image), bw=64, bh=64, fw=3, fh=3)
    rows = [line.split() for line in open(folder / "image.cat") if not line.startswith("#")]
    catalog = np.array(rows, float)
    same = max(abs(mesh.back() - fits.getdata(folder / "back.fits")).max(), abs(mesh.rms() - fits.getdata(folder / "rms.fits")).max())
    return np.ascontiguousarray(image - mesh.back()), float(mesh.globalrms), catalog, same


def prepare(data, out):
    image, rms, _, _ = read(data)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    header = fits.Header()
    ny, nx = image.shape
    scale = 0.27 / 3600
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 0.0, "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2}
    for key, value in (cards | {"CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale}).items():
        header[key] = value
    fits.writeto(out / "image.fits", image.astype(np.float32), header, overwrite=True)
    fits.writeto(out / "psf.fits", np.pad(PYRAMID, 2), overwrite=True)
    (out / "layout.toml").write_text(LAYOUT.format(root=out.resolve(), variance=rms**2))


def draw(path, filtered, peaks, is_object, catalog):
    fig, ax = plt.subplots(figsize=(9, 9), dpi=100)
    ax.imshow(np.arcsinh(filtered / 2), origin="lower", cmap="gray_r", vmin=-1, vmax=5)
    ax.plot(catalog[:, 1] - 1, catalog[:, 2] - 1, "s", mec="tab:blue", mfc="none", ms=13, mew=1.2)
    ax.plot(peaks[is_object, 0], peaks[is_object, 1], "o", mec="tab:red", mfc="none", ms=6, mew=1.2)
    ax.plot(peaks[~is_object, 0], peaks[~is_object, 1], "x", color="tab:orange", ms=6)
    ax.set(xlim=(-3, 259), ylim=(-3, 259), xlabel="column [pixel]", ylabel="row [pixel]")
    fig.tight_layout()
    fig.savefig(path)


def compare(data, run, figure):
    image, rms, catalog, same = read(data)
    print(f"background and rms of sep beside SExtractor's: largest difference {same:g}")
    kernel = dict(filter_kernel=PYRAMID * 16)
    threshold = 1.5 * rms
    reference = sep.extract(image, threshold, deblend_cont=1.0, **kernel)
    distance, _ = cKDTree(np.c_[reference["x"], reference["y"]]).query(catalog[:, 1:3] - 1)
    print(f"catalog: {len(catalog)} objects; sep, the same filter, no deblending: {len(reference)}, places the same within {distance.max():.1e} pixels")

    filtered = convolve(image, PYRAMID, mode="constant") / (rms * NOISE)
    with h5py.File(next(Path(run).glob("main/coadd/*.h5"))) as f:
        psi, phi = f["r/psi"][()].astype(float), f["r/phi"][()].astype(float)
    nu = psi / np.sqrt(phi)
    inner = np.s_[1:-1, 1:-1]
    print(f"psi / sqrt(phi) beside the filtered image over its noise: largest difference {np.nanmax(abs(nu - filtered)[inner]):.1e} sigma within, {np.nanmax(abs(nu - filtered)):.3f} on the outermost pixels")

    above = np.zeros(image.shape, bool)
    with h5py.File(next(Path(run).glob("main/layers/*.h5"))) as f:
        for y, x0, x1 in zip(*(f["spans"][k][:] for k in ("y", "x0", "x1"))):
            above[y, x0 : x1 + 1] = True
        p = f["peaks"]
        peaks = np.c_[p["x"][:], p["y"][:], p["significance"][:], p["saddle_significance"][:], p["fate"][:], p["pixel_x"][:], p["pixel_y"][:]]
        negative = f["negative_peaks/significance"][:]
        print(f"peaks {len(peaks)}, of the negated map {len(negative)}, the highest {negative.max():.2f}; threshold {f['layers/threshold'][0]}, pixels with data {f['layers/n_pixels'][0]}")
    theirs = filtered >= 4.0
    differ = np.argwhere(above != theirs)
    print(f"pixels above it: {above.sum()}, of the filtered image {theirs.sum()}; different: {len(differ)}")
    at_peak = {(int(q[6]), int(q[5])): q[2] for q in peaks}
    for y, x in differ:
        edge = min(x, y, image.shape[1] - 1 - x, image.shape[0] - 1 - y) == 0
        why = "edge" if edge else f"peak between pixels, {at_peak[y, x]:.3f}" if (y, x) in at_peak and nu[y, x] < 4 else "NOT EXPLAINED"
        print(f"  pixel ({x}, {y}): {'ours' if above[y, x] else 'theirs'} only; filtered {filtered[y, x]:.4f}, nu {nu[y, x]:.4f}: {why}")

    regions, n = label(above, np.ones((3, 3)))
    areas = np.bincount(regions.ravel(), minlength=n + 1)
    of_peak = regions[peaks[:, 6].astype(int), peaks[:, 5].astype(int)]
    # Whole regions as SExtractor sees them: all sizes, nothing cleaned.
    _, maps = sep.extract(image, threshold, deblend_cont=1.0, minarea=5, clean=False, segmentation_map=True, **kernel)
    cleaned, kept = sep.extract(image, threshold, deblend_cont=1.0, minarea=5, clean=True, segmentation_map=True, **kernel)
    at = catalog[:, 1:3] - 1
    region_of = np.full(len(catalog), 0)
    for k, o in enumerate(cleaned):
        at_peak = regions[o["ycpeak"], o["xcpeak"]]
        region_of[np.argmin(np.hypot(*(at - [o["x"], o["y"]]).T))] = at_peak
    owners = set(region_of.tolist()) - {0}
    alone = sum(areas[regions[y, x]] == 1 for y, x in differ)
    print(f"\nconnected regions above the threshold: {n}, {alone} of them pixels listed above alone; of the filtered image {label(theirs, np.ones((3, 3)))[1]}, of sep at any area {len(sep.extract(image, threshold, deblend_cont=1.0, minarea=1, clean=False, **kernel))}; objects of the catalog in one of them: {(region_of > 0).sum()}, regions of an object: {len(owners)}")
    draw(figure, filtered, peaks, np.isin(of_peak, list(owners)), catalog)
    numbers = {r: [int(catalog[k, 0]) for k in np.flatnonzero(region_of == r)] for r in owners}

    print("\nObjects of the catalog without a peak:")
    for k in np.flatnonzero(~np.isin(region_of, of_peak)):
        print(f"  {int(catalog[k, 0])} at {at[k].round(1)}")
    without = [r for r in range(1, n + 1) if r not in owners]
    small = [r for r in without if areas[r] < 5]
    print(f"\nRegions without an object of the catalog: {len(without)}")
    print(f"  of fewer than 5 pixels, SExtractor's least area: {len(small)}; by area " + ", ".join(f"{a}: {sum(areas[r] == a for r in small)}" for a in range(1, 5)))
    for r in small:
        own = peaks[of_peak == r]
        print(f"    ({own[0, 0]:.1f}, {own[0, 1]:.1f}): {areas[r]} pixels, {own[0, 2]:.2f} sigma" + ("" if len(own) == 1 else f", {len(own)} peaks"))
    for r in without:
        if areas[r] < 5:
            continue
        y, x = np.argwhere(regions == r).mean(axis=0)
        own = peaks[of_peak == r]
        raw = sep.extract(image, threshold, deblend_cont=1.0, minarea=5, clean=False, **kernel)
        near = np.argmin(np.hypot(raw["x"] - x, raw["y"] - y))
        was = np.hypot(raw["x"][near] - x, raw["y"][near] - y) < 2
        bright = catalog[np.argmin(np.hypot(*(at - [x, y]).T))]
        print(f"  ({x:.1f}, {y:.1f}): {areas[r]} pixels, {own[0, 2]:.2f} sigma; {'found before cleaning' if was else 'not found'}; nearest object {int(bright[0])} {np.hypot(bright[1] - 1 - x, bright[2] - 1 - y):.1f} pixels away")

    print("\nRegions of an object with more than one peak (the catalog does not deblend); both: SExtractor's deblending at a contrast of 0.005 finds it too;\ncontrast: at a contrast of 1e-9; area: at that, with 1024 levels and branches of fewer than 5 pixels")
    split = sep.extract(image, threshold, deblend_cont=0.005, clean=False, **kernel)
    every = sep.extract(image, threshold, deblend_cont=1e-9, clean=False, **kernel)
    least = sep.extract(image, threshold, deblend_cont=1e-9, minarea=1, deblend_nthresh=1024, clean=False, **kernel)
    split_region = regions[split["ycpeak"], split["xcpeak"]]
    n_more, n_alike, n_sub = 0, 0, 0
    for r in sorted(owners, key=lambda r: -areas[r]):
        own = peaks[of_peak == r]
        theirs_too = np.flatnonzero(split_region == r)
        if len(own) == 1 and len(theirs_too) == 1:
            n_alike += 1
            continue
        n_more += 1
        lines = []
        tree = cKDTree(np.c_[split["xcpeak"][theirs_too], split["ycpeak"][theirs_too]])
        fine, finest = (cKDTree(np.c_[o["xcpeak"], o["ycpeak"]]) for o in (every, least))
        for q in sorted(own.tolist(), key=lambda q: -q[2]):
            found = tree.query(q[5:7])[0] < 1.5
            at_all, at_last = (t.query(q[5:7])[0] < 1.5 for t in (fine, finest))
            n_sub += 1
            dip = "" if np.isnan(q[3]) else f", dip {q[3]:.1f} sigma"
            note = "both" if found else "contrast" if at_all else "area" if at_last else "NEITHER"
            lines.append(f"({q[0]:.1f}, {q[1]:.1f}) {q[2]:.1f} sigma{dip}: {note}{'' if q[4] == 0 else ', fate ' + str(int(q[4]))}")
        missing = [k for k in theirs_too if min(np.hypot(own[:, 5] - split["xcpeak"][k], own[:, 6] - split["ycpeak"][k])) >= 1.5]
        lines += [f"({split['xcpeak'][k]}, {split['ycpeak'][k]}): theirs only" for k in missing]
        print(f"  object {numbers[r]}, {areas[r]} pixels: " + "; ".join(lines))
    print(f"{n_alike} regions of an object have one peak in both; {n_more} have more, {n_sub} peaks of ours")
    print(f"peaks in all: {len(peaks)}; SExtractor deblended and not cleaned: {len(split)}, cleaned {len(sep.extract(image, threshold, deblend_cont=0.005, **kernel))}")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare}[sys.argv[1]](*sys.argv[2:])
