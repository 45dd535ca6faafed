"""PSFs of the coadds against stars of negligible noise: core flux, size and ellipticity of each star less those of the PSF that the product states.

    psf.py RUNS FIGURE.png        (runs of psf.sh; PROCESSES as environment variable)
"""

import concurrent.futures
import glob
import os
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from coadd_psf import CoaddPsf, by_cell, plane, tract, unit_vector
from proper_psf import LEAST_SHARE, ProperPsf

BAND = "r"
NAMES = ["core flux", "size", "e1", "e2"]


def gaussian(fwhm, dx, dy):
    sigma = fwhm / 2.354820045
    return np.exp(-0.5 * (dx**2 + dy**2) / sigma**2) / (2 * np.pi * sigma**2)


def residual(star, model, fwhm, fx, fy):
    """Core flux (within half a FWHM), size, e1, e2 (moments weighted by a Gaussian of the FWHM) of a star less those of a model."""
    r = star.shape[0] // 2
    dy, dx = np.mgrid[-r : r + 1, -r : r + 1].astype(float)
    dx, dy = dx - fx, dy - fy
    weight, core = gaussian(fwhm, dx, dy), np.hypot(dx, dy) <= 0.5 * fwhm

    def shape(z):
        m = [np.sum(weight * g * z) for g in (1.0, dx**2, dy**2, dx * dy)]
        return np.sum(z[core]), np.sqrt((m[1] + m[2]) / m[0]), (m[1] - m[2]) / (m[1] + m[2]), 2 * m[3] / (m[1] + m[2])

    s, t = shape(star), shape(model)
    return np.array([s[0] / t[0] - 1, s[1] / t[1] - 1, s[2] - t[2], s[3] - t[3]])


def width(stamp):
    """FWHM of the Gaussian of the same size by moments weighted with itself: two turns are enough for a weight."""
    r = stamp.shape[0] // 2
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    fwhm = 4.0
    for _ in range(20):
        w = gaussian(fwhm, x, y) * stamp
        fwhm = 2.354820045 * np.sqrt(((x**2 + y**2) * w).sum() / w.sum())
    return fwhm


def moved(stamp, fx, fy):
    k = np.fft.fftfreq(stamp.shape[0])
    return np.fft.ifft2(np.fft.fft2(stamp) * np.exp(-2j * np.pi * (k[:, None] * fy + k[None, :] * fx))).real


class Run:
    def __init__(self, path):
        self.path = path
        self.tract, (_, _, self.cell) = tract(path)
        with h5py.File(f"{path}/main/truth.h5") as f:
            t = f["truth"]
            self.x, self.y = self.tract.to_pixel(unit_vector(t["ra"][()], t["dec"][()]))
            self.flux = t[f"{BAND}_flux"][()]
        self.inputs = plane(path, "coadd", f"{BAND}/inputs")
        with h5py.File(sorted(glob.glob(f"{path}/main/combined/*.h5"))[0]) as f:
            planes = list(f.attrs["mask_planes"])
        self.inexact = np.uint32(1 << [p if isinstance(p, str) else p.decode() for p in planes].index("INEXACT_PSF"))

    def stars(self, image, r):
        """Stars whose stamp of half-width r lies on the tract and has data: (index, middle, stamp of unit flux, its place)."""
        ny, nx = image.shape
        for k, (x, y, flux) in enumerate(zip(self.x, self.y, self.flux)):
            cx, cy = int(np.rint(x)), int(np.rint(y))
            box = np.s_[cy - r : cy + r + 1, cx - r : cx + r + 1]
            if r <= cx < nx - r and r <= cy < ny - r and np.isfinite(image[box]).all():
                yield k, x, y, image[box] / flux, box

    def has_inexact(self, mask, x, y, reach):
        """True if a pixel within reach of the star's is flagged."""
        cx, cy, n = int(np.rint(x)), int(np.rint(y)), int(np.ceil(reach))
        return bool((mask[max(cy - n, 0) : cy + n + 1, max(cx - n, 0) : cx + n + 1] & self.inexact).any())

    def is_near_edge(self, x, y, r):
        """True if the edge of some exposure passes within r pixels."""
        sky = self.tract.to_sky(x, y)
        for e in self.psf.exposures:
            px, py = e.wcs.to_pixel(sky)
            if (min(abs(px), abs(px - e.shape[1] + 1)) < r and -r < py < e.shape[0] + r) or (min(abs(py), abs(py - e.shape[0] + 1)) < r and -r < px < e.shape[1] + r):
                return True
        return False

    def direct(self):
        """Rows: the class; whether a pixel within 1 FWHM is flagged; residual against the PSF pixel by pixel; against the PSF of the exposures at the middle."""
        self.psf = CoaddPsf(self.path, BAND)
        image = plane(self.path, "coadd", f"{BAND}/image")
        mask = plane(self.path, "coadd", f"{BAND}/mask")
        fwhm = width(np.mean([e.stamp(0, 0, 16) for e in self.psf.exposures], 0))
        r = int(np.ceil(4 * fwhm / 2.3548))
        found = []
        for k, x, y, star, box in self.stars(image, r):
            cx, cy = int(np.rint(x)), int(np.rint(y))
            words = self.inputs[(slice(None),) + box]
            at_middle = self.psf.stamp(x, y, words[:, r, r], r)
            whole = at_middle.copy()
            for w in np.unique(words.reshape(words.shape[0], -1), axis=1).T:
                has = (words == w[:, None, None]).all(0)
                if not has[r, r]:
                    whole[has] = self.psf.stamp(x, y, w, r)[has]
            is_one_set = (words == words[:, r : r + 1, r : r + 1]).all()
            kind = "other sets" if not is_one_set else "edge, one set" if self.is_near_edge(x, y, fwhm) else "away"
            found.append((kind, self.has_inexact(mask, x, y, fwhm), residual(star, whole, fwhm, x - cx, y - cy), residual(star, at_middle, fwhm, x - cx, y - cy)))
        return fwhm, found

    def proper(self, part, n_parts):
        """Rows: the class; whether a pixel within 1 FWHM is flagged; residual against the cell's PSF; whether an edge is within 1 FWHM; residual against
        the PSF drawn at the place, and of this against the cell's: of all stars with such an edge and of every tenth of the others; of the
        former also with the file's choice of exposures at their limit. With them, lines on
        the stars that are off the PSF at the place by more than 1.5e-3. Of the stars `part` modulo `n_parts`."""
        self.psf = CoaddPsf(self.path, BAND)
        at_place = ProperPsf(self.path, BAND, self.psf)
        image = plane(self.path, "combined", f"proper/{BAND}/image")
        mask = plane(self.path, "combined", f"proper/{BAND}/mask")
        psfs = by_cell(self.path, "combined", f"proper/{BAND}", "cells", "psf")
        fwhm = width(next(iter(psfs.values()))[10:-10, 10:-10])
        r = int(np.ceil(4 * fwhm / 2.3548))
        found, lines = [], []
        for k, x, y, star, box in self.stars(image, r):
            if k % n_parts != part:
                continue
            cx, cy = int(np.rint(x)), int(np.rint(y))
            stamp = psfs[cx // self.cell, cy // self.cell]
            h = stamp.shape[0] // 2
            model = moved(stamp, x - cx, y - cy)[h - r : h + r + 1, h - r : h + r + 1]
            is_flagged = self.has_inexact(mask, x, y, 2)
            # The star is away from edges if none is near and none goes through the cells that it touches: each has a PSF of its own.
            columns, rows = [((v - r) // self.cell * self.cell, ((v + r) // self.cell + 1) * self.cell) for v in (cx, cy)]
            words = self.inputs[:, rows[0] : rows[1], columns[0] : columns[1]]
            is_cut = (words != words[:, :1, :1]).any() or self.is_near_edge(x, y, 4 * fwhm)
            kind = "flagged" if is_flagged else "edge in the cell or near, not flagged" if is_cut else "away"
            is_across = self.is_near_edge(x, y, fwhm)
            found.append((kind, self.has_inexact(mask, x, y, fwhm), residual(star, model, fwhm, x - cx, y - cy), is_across, None, None, None))
            if not is_across and k // n_parts % 10:
                continue
            drawn = at_place.stamp(x, y, r)
            of_place = residual(star, drawn, fwhm, x - cx, y - cy)
            found[-1] = found[-1][:4] + (of_place, residual(drawn, model, fwhm, x - cx, y - cy), None)
            if is_across:
                found[-1] = found[-1][:6] + (residual(star, at_place.stamp(x, y, r, is_by_file=True), fwhm, x - cx, y - cy),)
            off = np.abs(of_place).max()
            if off > 1.5e-3:
                j, i = np.unravel_index(np.abs(star - drawn).argmax(), star.shape)
                shares = ", ".join(f"{v:.4f}" for v in at_place.shares(cx + i - r, cy + j - r) if abs(v - LEAST_SHARE) < 2e-3) or "none"
                lines.append(
                    f"    star at ({x:.1f}, {y:.1f}) off its PSF at the place by {off:.1e}: most at ({i - r}, {j - r}) pixels from it, {(star - drawn)[j, i] / drawn.max():.2f} of the peak; "
                    f"shares of exposures' PSFs there within 2e-3 of {LEAST_SHARE}: {shares}"
                )
        return fwhm, found, lines

    def matched(self):
        self.psf = CoaddPsf(self.path, BAND)
        image, n = plane(self.path, "psf_matched", f"{BAND}/image"), plane(self.path, "psf_matched", f"{BAND}/n_exposures")
        mask = plane(self.path, "psf_matched", f"{BAND}/mask")
        checks = {}
        for path in sorted(glob.glob(f"{self.path}/main/psf_matched/*.h5")):
            with h5py.File(path) as f:
                fwhm = float(f[BAND].attrs["target_fwhm_px"])
                for name in ("core_flux", "size", "e1", "e2"):
                    checks.setdefault(name, []).append(f[BAND]["psf_checks"][name][()])
        r = int(np.ceil(4 * fwhm / 2.3548))
        found = []
        for k, x, y, star, box in self.stars(image, r):
            cx, cy = int(np.rint(x)), int(np.rint(y))
            dy, dx = np.mgrid[-r : r + 1, -r : r + 1].astype(float)
            model = gaussian(fwhm, dx - (x - cx), dy - (y - cy))
            reach = int(np.ceil(fwhm))
            near = np.s_[max(cy - reach, 0) : cy + reach + 1, max(cx - reach, 0) : cx + reach + 1]
            kind = "across an edge" if self.is_near_edge(x, y, fwhm) else "away" if n[near].min() == n[near].max() else "away, clipped"
            found.append((kind, bool((mask[near] & self.inexact).any()), residual(star, model, fwhm, x - cx, y - cy)))
        return fwhm, found, {k: np.concatenate(v) for k, v in checks.items()}, n


def table(title, rows):
    """Mean, scatter and largest of every residual, for each class of stars."""
    print(title)
    for label, values in rows:
        if not len(values):
            continue
        v = np.array(values)
        cells = "   ".join(f"{m:15.1e} {s:8.1e} {w:8.1e}" for m, s, w in zip(v.mean(0), v.std(0), np.abs(v).max(0)))
        print(f"  {label:56} {len(v):4}   {cells}")


PARTS = 4


def of_task(task):
    """What a kind of coadd of a run gives: tasks of several processes."""
    path, kind, part = task
    if kind == "direct":
        return Run(path).direct()
    return Run(path).proper(part, PARTS) if kind == "proper" else Run(path).matched()


def main():
    runs, figure = sys.argv[1:3]
    print(f"{'':58} stars   " + "   ".join(f"{n + ': mean':>15} {'rms':>8} {'largest':>8}" for n in NAMES))
    histograms, pooled = {}, {}

    def pool(label, values):
        pooled.setdefault(label, []).append(values)

    names = ("mix", "0.5", "0.6", "0.8", "1.0")
    tasks = [(f"{runs}/{name}{rule}", kind, 0) for name in names for rule in ("", "-cell") for kind in ("direct", "matched")]
    tasks += [(f"{runs}/{name}", "proper", part) for name in names for part in range(PARTS)]
    with concurrent.futures.ProcessPoolExecutor(int(os.environ.get("PROCESSES", os.cpu_count()))) as executor:
        result = dict(zip(tasks, executor.map(of_task, tasks)))
    for name in names:
        of_all, of_cell = f"{runs}/{name}", f"{runs}/{name}-cell"
        for run, rule in ((of_all, "all"), (of_cell, "cell")):
            fwhm, found = result[run, "direct", 0]
            rows = [(kind, [f[2] for f in found if f[0] == kind]) for kind in ("away", "edge, one set", "other sets")]
            rows.append(("other sets, PSF of the middle's", [f[3] for f in found if f[0] == "other sets"]))
            for kind in ("edge, one set", "other sets"):
                rows.append((f"{kind}, none within a FWHM flagged, the middle's", [f[3] for f in found if f[0] == kind and not f[1]]))
            rows.append(("usable: no pixel within a FWHM flagged, the middle's", [f[3] for f in found if not f[1]]))
            rows.append(("not usable, the middle's", [f[3] for f in found if f[1]]))
            table(f'{name}: direct coadd, FWHM {fwhm:.2f} px, edges = "{rule}"', rows)
            for label, values in rows:
                pool(f"direct, {rule}, {label}", values)
            if name == "mix" and rule == "all":
                histograms["direct"] = [("away from edges", rows[0][1]), ("across an edge, pixel by pixel", rows[2][1])]
        parts = [result[of_all, "proper", part] for part in range(PARTS)]
        fwhm, found, lines = parts[0][0], sum((p[1] for p in parts), []), sum((p[2] for p in parts), [])
        rows = [(kind, [f[2] for f in found if f[0] == kind]) for kind in ("away", "edge in the cell or near, not flagged", "flagged")]
        rows.insert(2, ("the same, no pixel within a FWHM flagged", [f[2] for f in found if f[0] == rows[1][0] and not f[1]]))
        rows.append(("all that are not flagged", rows[0][1] + rows[1][1]))
        rows.append(("usable: no pixel within a FWHM flagged", [f[2] for f in found if not f[1]]))
        rows.append(("not usable", [f[2] for f in found if f[1]]))
        rows.append(("an edge within a FWHM", [f[2] for f in found if f[3]]))
        drawn = [f for f in found if f[4] is not None]
        rows.append(("an edge within a FWHM, PSF at the place", [f[4] for f in drawn if f[3]]))
        rows.append(("the same, exposures at the limit by the file's Phi", [f[6] for f in drawn if f[3]]))
        rows.append(("no edge within a FWHM, not away, PSF at the place", [f[4] for f in drawn if not f[3] and f[0] != "away"]))
        rows.append(("away, PSF at the place", [f[4] for f in drawn if f[0] == "away"]))
        rows.append(("away, PSF at the place less the cell's", [f[5] for f in drawn if f[0] == "away"]))
        table(f"{name}: proper coadd, FWHM {fwhm:.2f} px", rows)
        print("\n".join(lines), end="\n" if lines else "")
        for label, values in rows:
            pool(f"proper, {label}", values)
        if name == "mix":
            histograms["proper, the cell's PSF"] = [("away from edges", rows[0][1]), ("edge in the cell or near, usable", rows[2][1]), ("across an edge", rows[7][1])]
            histograms["proper, PSF at the place"] = [("away from edges", rows[11][1]), ("across an edge", rows[9][1])]
        counts = []
        for run, least in ((of_all, 0.97), (of_cell, 0.99)):
            fwhm, found, checks, n = result[run, "matched", 0]
            counts.append(n.astype(int))
            rows = [(kind, [f[2] for f in found if f[0] == kind]) for kind in ("away", "away, clipped", "across an edge")]
            rows.append(("across an edge, no pixel flagged", [f[2] for f in found if f[0] == "across an edge" and not f[1]]))
            rows.append(("the product's own checks", list(np.array([checks[k] for k in ("core_flux", "size", "e1", "e2")]).T)))
            table(f"{name}: psf-matched coadd, target FWHM {fwhm:.2f} px, min_kernel_weight {least}", rows)
            for label, kinds in (("away", ("away", "away, clipped")), ("across an edge", ("across an edge",))):
                pool(f"psf-matched, {least}, {label}", [f[2] for f in found if f[0] in kinds])
            if name == "mix":
                histograms[f"psf-matched, {least}"] = [("away from edges", rows[0][1]), ("across an edge", rows[2][1])]
        lost = counts[0].sum() - counts[1].sum()
        print(f"  pixels of exposures in the stack: {counts[0].sum()} at 0.97, {lost} ({100 * lost / counts[0].sum():.2f} %) fewer at 0.99; pixels without any: {(counts[0] == 0).sum()}, {(counts[1] == 0).sum()}")
    table("all five runs, the same stars in each", [(label, sum(runs, [])) for label, runs in pooled.items()])
    print("beyond the bounds: means of runs beyond 1e-3 (the largest); stars beyond 5e-3 (by run) of the stars by run")
    for label, parts in pooled.items():
        if not any(parts):
            continue
        means = np.array([np.abs(np.mean(v, 0)).max() for v in parts if len(v)])
        beyond = [int((np.abs(v).max(1) > 5e-3).sum()) if len(v) else 0 for v in parts]
        print(f"  {label:56} {(means > 1e-3).sum()} ({means.max():.1e}); {sum(beyond)} ({', '.join(map(str, beyond))}) of {', '.join(str(len(v)) for v in parts)}")
    draw(figure, histograms)


def draw(path, histograms):
    fig, axes = plt.subplots(len(histograms), 4, figsize=(13, 2.7 * len(histograms)), sharey="row", squeeze=False)
    bins = np.linspace(-5e-3, 5e-3, 51)
    for row, (kind, classes) in zip(axes, histograms.items()):
        for k, (axis, name) in enumerate(zip(row, NAMES)):
            for label, values in classes:
                if len(values):
                    axis.hist(np.clip(np.array(values)[:, k], -5e-3, 5e-3), bins, histtype="step", label=f"{label}: {len(values)}")
            axis.axvspan(-1e-3, 1e-3, color="0.9", zorder=0)
            axis.set_xticks([-4e-3, -2e-3, 0, 2e-3, 4e-3], ["-4", "-2", "0", "2", "4"])
            axis.set_xlabel(f"{name}, star less PSF [0.001]")
        row[0].set_ylabel(f"stars, {kind}")
        row[0].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
