"""Kinds of coadd on blank sky and on stars, against what their files predict.

    kinds.py figures BLANK STARS OUT.json      figures of one run (kinds.sh)
    kinds.py table FILE.json ... > kinds.txt   of all runs together
    kinds.py places RUN ... >> kinds.txt       blank sky with defects or with edges of detectors, by the cell's covariance and by that of the place

Image-like coadds are filtered with their PSF, and with a disc of 1 FWHM radius, at every pixel; the variance is that of the cell's noise covariance. A run's
mean squares are of cells, whose scatter gives the errors.
"""

import glob
import json
import math
import sys

import h5py
import numpy as np
from coadd_psf import CoaddPsf, by_cell, plane, tract, unit_vector
from scipy.ndimage import map_coordinates, maximum_filter
from scipy.signal import fftconvolve, oaconvolve

KINDS = ["direct", "psf-matched", "likelihood", "proper"]
THRESHOLDS = [4.0, 4.5, 5.0]
RADIUS = 18  # half-width of the filters
MARGIN = 64  # pixels of the tract left out on every side: a cell


def autocorrelated(stamp, h):
    """(p * p)(d) for lags -h..=h."""
    n = 2 * (stamp.shape[0] // 2 + h) + 2
    power = np.abs(np.fft.fft2(stamp, (n, n))) ** 2
    return np.fft.fftshift(np.fft.ifft2(power).real)[n // 2 - h : n // 2 + h + 1, n // 2 - h : n // 2 + h + 1]


def variance_of(weights, covariance):
    return float((autocorrelated(weights, covariance.shape[0] // 2) * covariance).sum())


def spectrum(stamp, n=128):
    """Fourier transform of a symmetric stamp about its middle, real."""
    r = stamp.shape[0] // 2
    padded = np.zeros((n, n))
    padded[: 2 * r + 1, : 2 * r + 1] = stamp
    return np.fft.fft2(np.roll(padded, (-r, -r), (0, 1)))


def curvature(power):
    """l2 per axis of noise of this power."""
    k = 2 * np.pi * np.fft.fftfreq(power.shape[0])
    return float(0.5 * ((k[:, None] ** 2 + k[None, :] ** 2) * power).sum() / power.sum())


def disc(radius):
    r = int(math.ceil(radius))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    return (x * x + y * y <= radius * radius).astype(float)


def width_of(stamp):
    """FWHM of a stamp by the area above half its peak, its pixels refined twentyfold."""
    r = stamp.shape[0] // 2
    v = np.arange(-min(r, 10), min(r, 10), 0.05)
    fine = map_coordinates(stamp, np.meshgrid(v + r, v + r, indexing="ij"), order=5)
    return 2 * math.sqrt((fine > fine.max() / 2).sum() * 0.05**2 / math.pi)


def refined(v):
    """Height of the quadratic through nine values (dictionary by (dx, dy)), or the middle's where it has no maximum nearby."""
    s = lambda f: sum(z * f(x, y) for (x, y), z in v.items())
    gx, gy, cxy = s(lambda x, y: x) / 6, s(lambda x, y: y) / 6, s(lambda x, y: x * y) / 4
    cx, cy = s(lambda x, y: x * x - 2 / 3) / 2, s(lambda x, y: y * y - 2 / 3) / 2
    det = 4 * cx * cy - cxy * cxy
    ok = (det > 0) & (cx < 0)
    safe = np.where(ok, det, 1.0)
    dx, dy = (cxy * gy - 2 * cy * gx) / safe, (cxy * gx - 2 * cx * gy) / safe
    top = v[0, 0] + gx * dx + gy * dy + cx * dx * dx + cy * dy * dy + cxy * dx * dy
    return np.where(ok & (np.abs(dx) <= 1) & (np.abs(dy) <= 1), top, v[0, 0])


def heights(nu, least=3.3):
    """Heights of the maxima of a map, refined by the quadratic through nine points."""
    j, i = np.nonzero((nu >= maximum_filter(nu, 3)) & (nu > least))
    inside = (j > 0) & (i > 0) & (j < nu.shape[0] - 1) & (i < nu.shape[1] - 1)
    j, i = j[inside], i[inside]
    return refined({(x, y): nu[j + y, i + x] for y in (-1, 0, 1) for x in (-1, 0, 1)})


def counts(nu):
    found = heights(nu)
    return [int((found > t).sum()) for t in THRESHOLDS]


def cells_of(full, cell):
    """[row, column, pixels] of the inner cells."""
    inner = full[MARGIN:-MARGIN, MARGIN:-MARGIN]
    ny, nx = (n // cell for n in inner.shape)
    return inner.reshape(ny, cell, nx, cell).swapaxes(1, 2).reshape(ny, nx, -1)


def per_pixel(values, cell, shape):
    """Values by (column, row) of the cell as a plane."""
    grid = np.full((shape[0] // cell, shape[1] // cell), np.nan)
    for (column, row), value in values.items():
        grid[row, column] = value
    return np.repeat(np.repeat(grid, cell, 0), cell, 1)


def filtered(image, weights):
    """Sum of weights times image at every pixel."""
    return fftconvolve(np.nan_to_num(image.astype(np.float32)), weights[::-1, ::-1].astype(np.float32), mode="same").astype(float)


def moments(nu, cell):
    """Mean square over the cells, its error from their scatter, mean, mean cube."""
    c = cells_of(nu, cell)
    squares = np.nanmean(c**2, -1).ravel()
    return [float(squares.mean()), float(squares.std(ddof=1) / math.sqrt(squares.size)), float(np.nanmean(c)), float(np.nanmean(c**3)), int(squares.size)]


class Band:
    """What a run's files say of a band: planes, PSFs, covariances."""

    def __init__(self, run, band):
        self.run, self.band = run, band
        self.tract, (self.nx, self.ny, self.cell) = tract(run)
        self.direct_psf = CoaddPsf(run, band)
        self.image = {
            "direct": plane(run, "coadd", f"{band}/image"),
            "psf-matched": plane(run, "psf_matched", f"{band}/image"),
            "proper": plane(run, "combined", f"proper/{band}/image"),
        }
        self.covariance = {
            "direct": by_cell(run, "coadd", band, "covariance_cells", "covariance"),
            "psf-matched": by_cell(run, "psf_matched", band, "covariance_cells", "covariance"),
            "proper": by_cell(run, "combined", f"proper/{band}", "cells", "covariance"),
        }
        self.proper_psf = by_cell(run, "combined", f"proper/{band}", "cells", "psf")
        self.psi, self.phi, self.phi3 = (plane(run, "coadd", f"{band}/{p}") for p in ("psi", "phi", "phi3"))
        self.inputs = plane(run, "coadd", f"{band}/inputs")
        with h5py.File(sorted(glob.glob(f"{run}/main/psf_matched/*.h5"))[0]) as f:
            self.target_fwhm = float(f[band].attrs["target_fwhm_px"])
            t = f[band]["input_exposures"]
            self.n_matched = int((t["weight"][()] > 0).sum())
            self.covariance_lost = float(f[band].attrs["covariance_lost"])
            planes = list(f.attrs["mask_planes"])
            self.inexact = np.uint32(1 << [p if isinstance(p, str) else p.decode() for p in planes].index("INEXACT_PSF"))
        self.middle = (self.nx * self.cell // 2, self.ny * self.cell // 2)

    def gaussian(self, fx, fy):
        y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].astype(float)
        sigma = self.target_fwhm / 2.354820045
        return np.exp(-0.5 * ((x - fx) ** 2 + (y - fy) ** 2) / sigma**2) / (2 * np.pi * sigma**2)

    def psf_at(self, kind, x, y):
        """The product's PSF for a source at a tract position, about the nearest pixel."""
        cx, cy = int(np.rint(x)), int(np.rint(y))
        if kind == "direct":
            return self.direct_psf.stamp(x, y, self.inputs[:, cy, cx], RADIUS)
        if kind == "psf-matched":
            return self.gaussian(x - cx, y - cy)
        stamp = self.proper_psf[cx // self.cell, cy // self.cell]
        h = stamp.shape[0] // 2
        if x != cx or y != cy:  # moved by its Fourier transform
            n = stamp.shape[0]
            k = np.fft.fftfreq(n)
            stamp = np.fft.ifft2(np.fft.fft2(stamp) * np.exp(-2j * np.pi * (k[:, None] * (y - cy) + k[None, :] * (x - cx)))).real
        r = min(RADIUS, h)
        return stamp[h - r : h + r + 1, h - r : h + r + 1]

    def blank_filter(self, kind):
        """The PSF-weighted sum for all of blank sky: the mean over many phases for the direct coadd, the middle's for the others."""
        if kind != "direct":
            return self.psf_at(kind, *self.middle)
        rng = np.random.default_rng(1)
        places = rng.integers(MARGIN, min(self.image["direct"].shape) - MARGIN, (24, 2))
        return np.mean([self.psf_at(kind, float(x), float(y)) for x, y in places], 0)


def blank(run, band, out):
    b = Band(run, band)
    shape, cell = b.psi.shape, b.cell
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    out["pixels"] = int(np.prod(b.psi[inner].shape))
    out["fwhm"] = [e.fwhm for e in b.direct_psf.exposures]
    out["n_matched"], out["target_fwhm"], out["covariance_lost"] = b.n_matched, b.target_fwhm, b.covariance_lost
    # Optimum of the PSFs and of the sky as it was drawn; skewness of the Poisson sky.
    sums = []
    for e in b.direct_psf.exposures:
        p = e.stamp(0.3, 0.1)
        skewness_of_sky = e.sky_e / e.electrons_per_njy**3
        sums.append(((p**2).sum() / e.variance, (p**3).sum() / e.variance**3 * skewness_of_sky, (p**2).sum()))
    sums = np.array(sums)
    out["optimum"] = float(math.sqrt(sums[:, 0].sum()))
    out["skewness"] = float(sums[:, 1].sum() / sums[:, 0].sum() ** 1.5)
    for kind in KINDS:
        o = out[kind] = {}
        if kind == "likelihood":
            nu = np.where(b.phi > 0, b.psi / np.sqrt(np.maximum(b.phi, 1e-30)), np.nan)
            o["predicted"] = float(math.sqrt(np.mean(b.phi[inner])))
            lags = next(iter(by_cell(run, "coadd", band, "covariance_cells", "autocorrelation").values()))
            o["l2"] = curvature(np.maximum(spectrum(lags).real, 0))
        else:
            p = b.blank_filter(kind)
            sums_of = filtered(b.image[kind], p)
            variances = {c: variance_of(p, v) for c, v in b.covariance[kind].items()}
            nu = sums_of / np.sqrt(per_pixel(variances, cell, shape))
            variance = plane(run, {"direct": "coadd", "psf-matched": "psf_matched", "proper": "combined"}[kind], f"proper/{band}/variance" if kind == "proper" else f"{band}/variance")
            alone = filtered(np.where(np.isfinite(variance), variance, 0), p * p)
            o["plane_alone"] = float(np.mean(alone[inner] / per_pixel(variances, cell, shape)[inner]))
            o["predicted"] = float((p * p).sum() / math.sqrt(np.mean(per_pixel(variances, cell, shape)[inner])))
            mean_covariance = np.mean(list(b.covariance[kind].values()), 0)
            power = np.maximum(spectrum(mean_covariance).real, 0) * np.abs(spectrum(p)) ** 2
            o["l2"] = curvature(power)
            o["psf_fwhm"] = width_of(p)
            d = disc(o["psf_fwhm"])
            variances = {c: variance_of(d, v) for c, v in b.covariance[kind].items()}
            in_disc = filtered(b.image[kind], d) / np.sqrt(per_pixel(variances, cell, shape))
            o["aperture"] = moments(in_disc, cell)
            alone = filtered(np.where(np.isfinite(variance), variance, 0), d)
            o["aperture_plane_alone"] = float(np.mean(alone[inner] / per_pixel(variances, cell, shape)[inner]))
        o["psf"] = moments(nu, cell)
        o["missing"] = int(np.sum(~np.isfinite(nu[inner])))
        nu = np.nan_to_num(nu[inner])
        o["positive"], o["negative"] = counts(nu), counts(-nu)


def stars(run, band, out):
    """Flux of noiseless stars by each kind over the true one."""
    b = Band(run, band)
    with h5py.File(f"{run}/main/truth.h5") as f:
        t = f["truth"]
        sky, flux = unit_vector(t["ra"][()], t["dec"][()]), t[f"{band}_flux"][()]
    x, y = b.tract.to_pixel(sky)
    found = {kind: [] for kind in KINDS}
    ny, nx = b.psi.shape
    reach = RADIUS + 8
    for sx, sy, f in zip(x, y, flux):
        if not (reach < sx < nx - reach and reach < sy < ny - reach):
            continue
        cx, cy = int(np.rint(sx)), int(np.rint(sy))
        box = np.s_[cy - RADIUS : cy + RADIUS + 1, cx - RADIUS : cx + RADIUS + 1]
        if len(np.unique(b.inputs[0][box])) > 1:
            continue
        for kind in ("direct", "psf-matched", "proper"):
            p, z = b.psf_at(kind, sx, sy), b.image[kind][box]
            r, s = p.shape[0] // 2, z.shape[0] // 2
            z = z[s - r : s + r + 1, s - r : s + r + 1]
            found[kind].append(float((p * z).sum() / (p * p).sum() / f))
        near = np.s_[cy - 8 : cy + 9, cx - 8 : cx + 9]
        at = [[sy - cy + 8], [sx - cx + 8]]
        psi, phi = (map_coordinates(v[near].astype(float), at, order=5)[0] for v in (b.psi, b.phi))
        found["likelihood"].append(float(psi / phi / f))
    out["stars"] = {kind: [float(np.mean(v)), float(np.std(v) / math.sqrt(len(v))), len(v)] for kind, v in found.items()}


def bands_of(run):
    with h5py.File(sorted(glob.glob(f"{run}/main/coadd/*.h5"))[0]) as f:
        return [b if isinstance(b, str) else b.decode() for b in f.attrs["bands"]]


def figures(blank_run, star_run, path):
    out = {"bands": {}}
    for band in bands_of(blank_run):
        out["bands"][band] = {}
        blank(blank_run, band, out["bands"][band])
        stars(star_run, band, out["bands"][band])
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    out["multi_band"] = {}
    for name in ("chi2", "free"):
        t = np.sqrt(np.maximum(plane(blank_run, "combined", f"multi_band/{name}/statistic")[inner], 0))
        out["multi_band"][name] = {"counts": counts(np.nan_to_num(t)), "share_above_3": float(np.mean(t > 3)), "share_above_4": float(np.mean(t > 4))}
    with h5py.File(sorted(glob.glob(f"{blank_run}/main/combined/*.h5"))[0]) as f:
        out["multi_band"]["l2"] = float(np.nanmean(f["multi_band/l2"][()]))
    with open(path, "w") as f:
        json.dump(out, f, indent=1)


# What blank sky makes.

FINE = 5  # samples per pixel where subpixel phases count


def family():
    """For Moffat PSFs of many widths: l2, and at each threshold the refined peaks on pixels over those of the continuous map. Around a high peak the map is its
    autocorrelation; a quadratic through its pixels falls short of the top by an amount that depends on the phase."""
    rows = []
    for fwhm in (2.5, 3, 3.5, 4, 5, 6, 7, 8, 9.5, 11):
        n = 64 * FINE
        x = (np.arange(n) - n // 2) / FINE
        alpha_sq = (fwhm / 2) ** 2 / (2 ** (1 / 3.5) - 1)
        p = (1 + (x[:, None] ** 2 + x[None, :] ** 2) / alpha_sq) ** -3.5
        k = np.fft.fftfreq(n, 1 / FINE)
        power = np.abs(np.fft.fft2(np.fft.ifftshift(p)) * np.sinc(k[:, None]) * np.sinc(k[None, :])) ** 2
        rho = np.fft.fftshift(np.fft.ifft2(power).real)
        rho /= rho.max()
        l2 = 0.5 * (2 * np.pi) ** 2 * ((k[:, None] ** 2 + k[None, :] ** 2) * power).sum() / power.sum()
        tops = []
        for v in range(-(FINE // 2), FINE // 2 + 1):
            for u in range(-(FINE // 2), FINE // 2 + 1):
                at = lambda dx, dy: rho[n // 2 + v + dy * FINE, n // 2 + u + dx * FINE]
                tops.append(float(refined({(dx, dy): np.float64(at(dx, dy)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)})))
        tops = np.array(tops)
        rows.append((l2, [float(np.mean(normal_density(t / tops, 1.0) / normal_density(t, 1.0))) for t in THRESHOLDS]))
    return sorted(rows)


def share_found(rows, i, l2):
    return float(np.interp(l2, [r[0] for r in rows], [r[1][i] for r in rows]))


def normal_density(t, l2):
    return l2 * (2 * math.pi) ** -1.5 * t * np.exp(-t * t / 2)


def chi_density(t, n, l2, _=0.0):
    return l2 / (2 * math.pi) * t ** (n - 2) * math.exp(-t * t / 2) * (t * t - n + 1) / (2 ** (n / 2 - 1) * math.gamma(n / 2))


def free_density(t, n, l2, gamma):
    """A peak along the direction n in the space of bands has the skewness Sum n_b^3 gamma; its mean over the positive directions of k bands."""
    cubes = {k: k * math.gamma(k / 2) / (math.sqrt(math.pi) * math.gamma((k + 3) / 2)) for k in range(1, n + 1)}
    return sum(math.comb(n, k) * 0.5**n * chi_density(t, k, l2) * (1 + gamma * cubes[k] / 6 * (t**3 - 3 * t)) for k in range(1, n + 1))


def simulated(fwhm, fields, rows):
    """Peaks of Gaussian fields, both signs, over the prediction: a check of it."""
    rng, n = np.random.default_rng(5), 1024
    x = np.fft.fftfreq(n, 1 / n)
    k = np.fft.fftfreq(n)
    alpha_sq = (fwhm / 2) ** 2 / (2 ** (1 / 3.5) - 1)
    p = np.fft.rfft2((1 + (x[:, None] ** 2 + x[None, :] ** 2) / alpha_sq) ** -3.5) * np.sinc(k[:, None]) * np.sinc(np.fft.rfftfreq(n)[None, :])
    full = np.abs(np.fft.fft2(np.fft.irfft2(p))) ** 2
    l2, total = curvature(full), np.zeros(3)
    for _ in range(fields):
        nu = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, n))) * p) / math.sqrt(full.mean())
        total += np.array(counts(nu)) + counts(-nu)
    expected = [2 * fields * n * n * normal_density(t, l2) * share_found(rows, i, l2) for i, t in enumerate(THRESHOLDS)]
    return l2, total, expected


def table(paths):
    rows = family()
    runs = {}
    for path in sorted(paths):
        with open(path) as f:
            runs.setdefault(float(path.rsplit("/", 1)[-1].split("_")[0]), []).append(json.load(f))
    print("Peaks of simulated Gaussian fields over the prediction (l2; peaks above 4, 4.5, 5; of those predicted):")
    for fwhm in (3.0, 4.0, 6.0):
        l2, found, expected = simulated(fwhm, 60, rows)
        print(f"  FWHM {fwhm} px, l2 {l2:.3f}: " + ", ".join(f"{int(a)} of {b:.0f}" for a, b in zip(found, expected)))
    for scatter, group in sorted(runs.items()):
        bands = [b for run in group for b in run["bands"].values()]
        fwhm = [f for b in bands for f in b["fwhm"]]
        area = sum(b["pixels"] for b in bands) * (0.2 / 60) ** 2
        print(f"\n## Scatter of ln(seeing) {scatter}: {len(group)} seeds of {len(bands) // len(group)} bands, FWHM {np.median(fwhm):.2f} px ({min(fwhm):.2f} to {max(fwhm):.2f}), {area:.0f} arcmin2")
        matched = np.mean([b["n_matched"] for b in bands])
        print(f"matched: {matched:.2f} of 5 exposures, target FWHM {np.mean([b['target_fwhm'] for b in bands]):.2f} px, covariance lost at most {max(b['covariance_lost'] for b in bands):.1e}")
        print("\nVariance of sums on blank sky, measured over predicted (independent sums); of the variance plane alone, predicted over the covariance's")
        for kind in KINDS:
            parts = [("psf", "plane_alone", "PSF-weighted"), ("aperture", "aperture_plane_alone", "in a disc of 1 FWHM radius")] if kind != "likelihood" else [("psf", None, "psi / sqrt(phi)")]
            for key, alone, label in parts:
                m = np.mean([b[kind][key][0] for b in bands])
                e = math.sqrt(sum(b[kind][key][1] ** 2 for b in bands)) / len(bands)
                text = f"  {kind:12} {label:28} {m:.4f} +- {e:.4f} ({2 * (m / e) ** 2:.0f})"
                if alone:
                    a = np.mean([b[kind][alone] for b in bands])
                    text += f"   plane alone: {a:.4f}, sigma {100 * (math.sqrt(a) - 1):+.1f} %"
                print(text)
        print("\nSignal to noise of point sources: predicted over the optimum; measured over predicted; measured over the optimum; flux of noiseless stars over the true one")
        for kind in KINDS:
            predicted = np.mean([b[kind]["predicted"] / b["optimum"] for b in bands])
            response = np.mean([b["stars"][kind][0] for b in bands])
            ratio = [b["stars"][kind][0] / math.sqrt(b[kind]["psf"][0]) for b in bands]
            e = math.sqrt(sum((b[kind]["psf"][1] / 2) ** 2 for b in bands)) / len(bands)
            worst = max(abs(b["stars"][kind][0] - 1) for b in bands)
            n = sum(b["stars"][kind][2] for b in bands)
            of_optimum = np.mean([r * b[kind]["predicted"] / b["optimum"] for r, b in zip(ratio, bands)])
            print(f"  {kind:12} {predicted:.4f}   {np.mean(ratio):.4f} +- {e:.4f}   {of_optimum:.4f}   {response:.5f} ({n} stars; worst mean of a band {worst:.1e})")
        print("\nPeaks above 4, 4.5, 5 sigma: positive, negative; predicted positive, negative; density [arcmin-2] found and predicted, both signs; excess over its Poisson error")
        for kind in KINDS:
            cells = []
            for i, t in enumerate(THRESHOLDS):
                found = [sum(b[kind][sign][i] for b in bands) for sign in ("positive", "negative")]
                expected = [0.0, 0.0]
                for b in bands:
                    l2 = b[kind]["l2"]
                    gamma = b["skewness"] * math.sqrt(l2 / b["likelihood"]["l2"])
                    base = b["pixels"] * normal_density(t, l2) * share_found(rows, i, l2)
                    for k, sign in enumerate((1, -1)):
                        expected[k] += base * (1 + sign * gamma / 6 * (t**3 - 3 * t))
                pull = (sum(found) - sum(expected)) / math.sqrt(sum(expected))
                cells.append(f"{found[0]}, {found[1]}; {expected[0]:.1f}, {expected[1]:.1f}; {sum(found) / area:.4f} {sum(expected) / area:.4f}; {pull:+.1f}")
            print(f"  {kind:12} " + "  |  ".join(cells))
        for name, density in (("chi2", chi_density), ("free", free_density)):
            cells = []
            for i, t in enumerate(THRESHOLDS):
                found = sum(r["multi_band"][name]["counts"][i] for r in group)
                expected = 0.0
                for r in group:
                    pixels, l2 = next(iter(r["bands"].values()))["pixels"], r["multi_band"]["l2"]
                    gamma = np.mean([b["skewness"] for b in r["bands"].values()]) if name == "free" else 0.0
                    expected += pixels * density(t, len(r["bands"]), l2, gamma) * share_found(rows, i, l2)
                cells.append(f"{found}; {expected:.1f}; {found / area * 3:.4f} {expected / area * 3:.4f}; {(found - expected) / math.sqrt(expected):+.1f}")
            print(f"  {name + ' of three':12} (one sign) " + "  |  ".join(cells))
        shares = [np.mean([r["multi_band"][name][f"share_above_{t}"] for r in group]) for name in ("chi2", "free") for t in (3, 4)]
        print("  share of pixels above 3, 4: chi2 {:.3e}, {:.3e}; free {:.3e}, {:.3e}; predicted {:.3e}, {:.3e}; {:.3e}, {:.3e}".format(*shares, *[tail(t, 3)[k] for k in (0, 1) for t in (3, 4)]))
        gammas = [(np.mean([b["skewness"] * math.sqrt(b[kind]["l2"] / b["likelihood"]["l2"]) for b in bands]), np.mean([b[kind]["psf"][3] - 3 * b[kind]["psf"][2] for b in bands])) for kind in KINDS]
        print("  mean of nu: " + "; ".join(f"{kind} {np.mean([b[kind]['psf'][2] for b in bands]):+.4f}" for kind in KINDS))
        print("  skewness, predicted and measured: " + "; ".join(f"{kind} {a:.4f}, {m:.4f}" for kind, (a, m) in zip(KINDS, gammas)))


def places(runs):
    """Variance and peaks where exposures are missing: by the cell's covariance C(d), and by C(d)/C(0) with the variance plane about the place."""
    rows = family()
    for run in runs:
        bands = bands_of(run)
        print(f"\n## {run.rsplit('/', 1)[-1]}: variance of PSF-weighted sums, measured over predicted; peaks above 4, 4.5, 5 sigma of both signs; predicted for Gaussian noise")
        for kind, folder in (("direct", "coadd"), ("psf-matched", "psf_matched"), ("proper", "combined")):
            found = {"cell": [], "place": [], "place, away from INEXACT_PSF": []}
            peaks, expected = {k: np.zeros(3, int) for k in found}, np.zeros(3)
            for band in bands:
                b = Band(run, band)
                shape, cell, path = b.psi.shape, b.cell, f"proper/{band}" if kind == "proper" else band
                variance, mask = plane(run, folder, f"{path}/variance"), plane(run, folder, f"{path}/mask")
                p, has_data = b.blank_filter(kind), np.isfinite(b.image[kind])
                usable = ~(maximum_filter(~has_data, 2 * RADIUS + 1))
                of_cell = per_pixel({c: variance_of(p, v) for c, v in b.covariance[kind].items()}, cell, shape)
                nu = filtered(b.image[kind], p) / np.sqrt(of_cell)
                # The variance of the cell that its covariance is of: its own at lag 0, or the plane's mean where the plane is that of white noise or holds more.
                h = next(iter(b.covariance[kind].values())).shape[0] // 2
                if kind == "direct":
                    of_pixels = per_pixel({c: v[h, h] for c, v in b.covariance[kind].items()}, cell, shape)
                else:
                    grid = np.nanmean(cells_whole(np.where(has_data, variance, np.nan), cell), -1)
                    of_pixels = np.repeat(np.repeat(grid, cell, 0), cell, 1)
                near = filtered(np.where(has_data, variance, 0), p * p) / (p * p).sum()
                at_place = nu / np.sqrt(np.maximum(near / of_pixels, 1e-3))
                exact = ~(maximum_filter((mask & b.inexact) > 0, 9))
                for key, (values, where) in zip(found, ((nu, usable), (at_place, usable), (at_place, usable & exact))):
                    found[key].append(weighted(np.where(where, values, np.nan), cell))
                    inner = np.where(where, values, 0)[MARGIN:-MARGIN, MARGIN:-MARGIN]
                    peaks[key] += np.array(counts(inner)) + counts(-inner)
                mean_covariance = np.mean(list(b.covariance[kind].values()), 0)
                l2 = curvature(np.maximum(spectrum(mean_covariance).real, 0) * np.abs(spectrum(p)) ** 2)
                area = usable[MARGIN:-MARGIN, MARGIN:-MARGIN].sum()
                expected += [2 * area * normal_density(t, l2) * share_found(rows, i, l2) for i, t in enumerate(THRESHOLDS)]
            for key, values in found.items():
                m, e = np.mean([v[0] for v in values]), math.sqrt(sum(v[1] ** 2 for v in values)) / len(values)
                of = "" if key.startswith("place,") else " of " + ", ".join(f"{v:.1f}" for v in expected)
                print(f"  {kind:12} {key:30} {m:.4f} +- {e:.4f}   {', '.join(str(v) for v in peaks[key])}{of}")


def cells_whole(full, cell):
    ny, nx = (n // cell for n in full.shape)
    return full.reshape(ny, cell, nx, cell).swapaxes(1, 2).reshape(ny, nx, -1)


def weighted(nu, cell):
    """Mean square of what is not NaN, and its error from the scatter of cells."""
    squares = cells_of(nu, cell) ** 2
    n = np.isfinite(squares).sum(-1).ravel()
    sums = np.nansum(squares, -1).ravel()
    mean = sums.sum() / n.sum()
    return mean, math.sqrt(np.sum((sums - mean * n) ** 2)) / n.sum()


def tail(t, n):
    """P(chi of n bands > t), and of the free SED."""

    def chi(k):
        if k <= 2:
            return math.erfc(t / math.sqrt(2)) if k == 1 else math.exp(-t * t / 2)
        return chi(k - 2) + (t * t / 2) ** (k / 2 - 1) * math.exp(-t * t / 2) / math.gamma(k / 2)

    return chi(n), sum(math.comb(n, k) * 0.5**n * chi(k) for k in range(1, n + 1))


if __name__ == "__main__":
    if sys.argv[1] == "figures":
        figures(*sys.argv[2:5])
    elif sys.argv[1] == "places":
        places(sys.argv[2:])
    else:
        table(sys.argv[2:])
