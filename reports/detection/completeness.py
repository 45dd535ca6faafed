"""Completeness against true matched-filter S/N.

    completeness.py pointings OUT.csv                   visits: seeing and sky of every exposure
    completeness.py scene KIND SEED BLANK.npz OUT.csv   isolated sources (compact or extended) for the depth of a blank field, and OUT.npz with what they are
    completeness.py peaks RUN OUT.npz                   peaks of a run's detect phase
    completeness.py take KIND RUN OUT.npz               of a field: every source looked up in the maps and among the peaks, or the false peaks of a blank one
    completeness.py figures FOLDER OUT.png              of all fields together

Heights of strategies are kept as excess over nominal thresholds of 5 sigma.
"""

import csv
import functools
import glob
import math
import re
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import maximum_filter, spline_filter1d
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree
from scipy.special import gammaincinv, j0, ndtr
from scipy.stats import chi2, ncx2, norm

sys.path.insert(0, str(Path(__file__).parent.parent / "coadd"))
from coadd_psf import CoaddPsf, by_cell, plane, tract
from kinds import refined, variance_of

BANDS = ("g", "r", "i")
SCALE, RA, DEC = 0.2, 150.1, 2.2
WAVELENGTHS = np.array([482.0, 622.0, 755.0])
RADII = (0.0, 0.4, 0.8, 1.6)
SEDS = {"flat": WAVELENGTHS**0, "red": (WAVELENGTHS / 755) ** 3, "blue": (WAVELENGTHS / 482) ** -2.0, "g": np.array([1.0, 0, 0]), "i": np.array([0, 0, 1.0])}
SEEING = {"g": (0.90, 1.00), "r": (0.80, 0.90), "i": (0.70, 0.80)}  # arcsec
SKY = 2500.0  # electrons: two dozen times what the faint sources add
# Morphology (half-light radius, or "dv"), SEDs, largest S/N, of each kind of field with its spacing.
KINDS = {
    "compact": (36, [(0.0, ("flat", "red", "blue", "g", "i"), 14.0), (0.4, ("flat", "red", "blue"), 16.0), (0.8, ("flat", "red", "blue"), 20.0)]),
    "extended": (56, [(1.6, ("flat", "red", "blue", "g", "i"), 30.0), ("dv", ("flat", "red", "blue"), 20.0)]),
}
DV_RADIUS = 0.8  # half-light, arcsec
CLASSES = [(m, s) for _, of_kind in KINDS.values() for m, seds, _ in of_kind for s in seds]
STRATEGIES = ("grid", "cull", "band g", "band r", "band i", "any band", "sum")
NOMINAL = 5.0


def free_threshold(t, n=3):
    tail = lambda v: sum(math.comb(n, k) * 0.5**n * chi2.sf(v * v, k) for k in range(1, n + 1))
    return brentq(lambda v: tail(v) - norm.sf(t), t, t + 3)


def pointings(path):
    rng = np.random.default_rng(3)
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["band", "mjd", "ra", "dec", "rotation", "seeing", "sky"])
        for k, (band, seeing) in enumerate(SEEING.items()):
            for j, s in enumerate(seeing):
                dx, dy = rng.uniform(-2, 2, 2) / 3600
                w.writerow([band, 60000.2 + k + 10 * j, RA + dx, DEC + dy, round(rng.uniform(-1.5, 1.5), 3), s, SKY])


# Profiles: Fourier transforms on the frequencies of an n x n grid, cycles per pixel.


def frequencies(n):
    k = np.fft.fftfreq(n)
    return np.hypot(k[:, None], k[None, :])


def transform(morphology, k):
    """Of a profile of unit flux at frequencies k."""
    if morphology == "dv":
        return np.interp(k, *de_vaucouleurs())
    h = morphology / SCALE / 1.678346990
    return (1 + (2 * np.pi * h * k) ** 2) ** -1.5


@functools.cache
def de_vaucouleurs():
    re = DV_RADIUS / SCALE
    b = float(gammaincinv(8, 0.5))
    t = np.linspace(0, 40 / b, 8001)  # (r/re)^(1/4): e^-40 at the end
    r = re * t**4
    weight = np.exp(-b * t) * r * 4 * re * t**3
    weight /= weight.sum()
    k = np.linspace(0, 0.75, 751)
    return k, np.array([(weight * j0(2 * np.pi * q * r)).sum() for q in k])


def band_limited(morphology):
    """The stamp of a disc, as the program makes it."""
    h = morphology / SCALE / 1.678346990
    r = max(math.ceil(12 * h), 16)
    n = next_fast_len(4 * r + 2)
    g = np.fft.fftshift(np.fft.ifft2(transform(morphology, frequencies(n))).real)
    return g[n // 2 - r : n // 2 + r + 1, n // 2 - r : n // 2 + r + 1]


def products(lags):
    """Sum_d A(d) (f * g)(d) of all pairs of morphologies."""
    n, h = 512, lags.shape[0] // 2
    a = np.zeros((n, n))
    a[: 2 * h + 1, : 2 * h + 1] = lags
    a = np.fft.fft2(np.roll(a, (-h, -h), (0, 1))).real
    t = [np.ones((n, n)) if m == 0 else transform(m, frequencies(n)) for m in (*RADII, "dv")]
    return np.array([[(a * f * g).mean() for f in t] for g in t])


def scene(kind, seed, blank, path):
    rng = np.random.default_rng(int(seed))
    blank = np.load(blank)
    phi, size = blank["products"], int(blank["size"])  # [band, morphology, morphology], pixels a side
    spacing, kinds = KINDS[kind]
    classes = [(m, s, hi) for m, seds, hi in kinds for s in seds]
    n = (size - 80) // spacing
    jy, ix = np.divmod(np.arange(n * n), n)
    first = (size - n * spacing) / 2 + spacing / 2
    x, y = (first + spacing * v + rng.uniform(-4, 4, n * n) for v in (ix, jy))
    of = rng.permutation(np.arange(n * n) % len(classes))
    rows, flux, label = [], np.zeros((n * n, 3)), np.zeros(n * n, int)
    wcs = TAN(size)
    p = wcs.to_sky(x, y)
    ra, dec = np.degrees(np.arctan2(p[:, 1], p[:, 0])) % 360, np.degrees(np.arcsin(p[:, 2]))
    for k in range(n * n):
        m, sed, hi = classes[of[k]]
        s = rng.uniform(2.8, 6.8) if rng.uniform() < 0.75 else rng.uniform(6.8, hi)
        i = len(RADII) if m == "dv" else RADII.index(m)
        flux[k] = s / math.sqrt((SEDS[sed] ** 2 * phi[:, i, i]).sum()) * SEDS[sed]
        label[k] = CLASSES.index((m, sed))
        is_point = m == 0.0
        rows.append(
            [k + 1, f"{ra[k]:.10f}", f"{dec[k]:.10f}", "star" if is_point else "galaxy", 0 if is_point else DV_RADIUS if m == "dv" else m, 1, 0]
            + [0 if is_point else 4 if m == "dv" else 1, *flux[k]]
        )
    with open(path, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["id", "ra", "dec", "class", "half_light_radius", "axis_ratio", "position_angle", "sersic_n"] + [f"{b}_flux" for b in BANDS])
        w.writerows(rows)
    np.savez_compressed(str(path).replace(".csv", ".scene.npz"), x=x, y=y, flux=flux, label=label)


def TAN(size):
    from coadd_psf import Tan

    s = SCALE / 3600
    return Tan(RA, DEC, [(size - 1) / 2, (size - 1) / 2], [[-s, 0], [0, s]])


def peaks(run, path):
    """Peaks of all patches: those above nominal thresholds, and the highest excess of each over all layers for the cull."""
    table = {}

    def add(name, values):
        table.setdefault(name, []).append(np.asarray(values))

    for name in sorted(glob.glob(f"{run}/main/layers/*.h5")):
        with h5py.File(name) as f:
            layers, offset = f["layers"], float(f.attrs["threshold_offset"])
            names, threshold, broadening = list(layers["name"].asstr()[:]), layers["threshold"][:], layers["broadening"][:]
            l2 = layers["l2"][:]
            for group, tag in (("peaks", "p"), ("negative_peaks", "n")):
                p = f[group]
                for key in ("x", "y", "significance"):
                    add(f"{tag}_{key}", p[key][:])
                add(f"{tag}_layer", np.repeat(np.arange(len(names)), np.diff(p["offsets"][:])))
            add("p_fate", f["peaks"]["fate"][:])
            best = f["peaks"]["best_layer"][:].astype(int)
            significance = f["peaks"]["layer_significance"][:]
            add("p_best_layer", best)
            add("p_best", significance[np.arange(len(best)), best] if len(best) else [])
    arrays = {key: np.concatenate(parts) for key, parts in table.items()}
    np.savez_compressed(path, names=names, offset=offset, threshold=threshold, broadening=broadening, l2=l2, **arrays)


# Maps.


def maxima(nu, least=2.8):
    """Maxima of a map, refined: x, y (of the pixel), height."""
    j, i = np.nonzero((nu >= maximum_filter(nu, 3)) & (nu > least))
    inside = (j > 0) & (i > 0) & (j < nu.shape[0] - 1) & (i < nu.shape[1] - 1)
    j, i = j[inside], i[inside]
    return i, j, refined({(x, y): nu[j + y, i + x].astype(float) for y in (-1, 0, 1) for x in (-1, 0, 1)})


def spline(image, x, y, reach=12):
    """Values between pixels by the quintic spline of the surroundings."""
    cx, cy = np.rint(x).astype(int), np.rint(y).astype(int)
    d = np.arange(-reach, reach + 1)
    ny, nx = image.shape
    box = image[np.clip(cy[:, None] + d, 0, ny - 1)[:, :, None], np.clip(cx[:, None] + d, 0, nx - 1)[:, None, :]].astype(float)
    for axis in (1, 2):
        box = spline_filter1d(box, 5, axis)
    t = np.arange(-3, 4)

    def weights(f):
        u = np.abs(f[:, None] - t)
        cubed = lambda c: np.maximum(c - u, 0) ** 5
        return (cubed(3) - 6 * cubed(2) + 15 * cubed(1)) / 120

    return np.einsum("nji,nj,ni->n", box[:, reach - 3 : reach + 4, reach - 3 : reach + 4], weights(y - cy), weights(x - cx))


def counted_once(x, y, excess, radius):
    """Excesses of the peaks with no higher one within the radius that is kept."""
    order = np.argsort(-excess, kind="stable")
    at = np.column_stack([x, y])
    near = cKDTree(at).query_ball_point(at, radius * (1 - 1e-12)) if len(at) else []
    dropped, kept = np.zeros(len(at), bool), []
    for k in order:
        if not dropped[k]:
            kept.append(excess[k])
            dropped[near[k]] = True
    return np.array(kept)


def filters(run):
    """(weights of the bands, filter, noise) of every band's direct coadd, and of their sum by inverse variance."""
    psf, covariance, w = [], [], []
    rng = np.random.default_rng(1)
    for band in BANDS:
        c = CoaddPsf(run, band)
        inputs = plane(run, "coadd", f"{band}/inputs")
        places = rng.uniform(200, min(inputs.shape[1:]) - 200, (16, 2))
        psf.append(np.mean([centred(c, x, y, inputs) for x, y in places], 0))
        covariance.append(np.mean(list(by_cell(run, "coadd", band, "covariance_cells", "covariance").values()), 0))
        h = covariance[-1].shape[0] // 2
        w.append(1 / covariance[-1].sum())
    out = {f"band {b}": (np.eye(3)[k], psf[k], math.sqrt(variance_of(psf[k], covariance[k]))) for k, b in enumerate(BANDS)}
    w = np.array(w) / np.sum(w)
    p = np.tensordot(w, psf, 1)
    out["sum"] = (w, p, math.sqrt(sum(v * v * variance_of(p, c) for v, c in zip(w, covariance))))
    return out


def centred(c, x, y, inputs):
    """The coadd's PSF for a source in the middle of a pixel."""
    return c.stamp(float(round(x)), float(round(y)), inputs[:, int(round(y)), int(round(x))], 16)


def take(kind, run, path):
    blank = kind == "blank"
    grid, cull = (dict(np.load(f"{run}.{s}.npz")) for s in ("grid", "cull"))
    names = [str(n) for n in grid["names"]]
    with h5py.File(sorted(glob.glob(f"{run}/main/coadd/*.h5"))[0]) as f:
        fwhm = float(np.mean([f[b].attrs["fwhm_px"] for b in BANDS]))
    free = free_threshold(NOMINAL)
    nominal = np.array([free if n.startswith("free") else NOMINAL for n in names])
    out = {"fwhm": fwhm, "broadening": grid["broadening"], "names": names, "l2": grid["l2"]}
    # Peaks of every strategy: x, y, excess, of both signs.
    good = cull["p_fate"] != 3  # what passes at a lower threshold is not culled
    cull_names = [f"free_sed:{r}" if r else "free_sed" for r in RADII]
    assert [str(n) for n in cull["names"]][0] == cull_names[0]
    every = {
        "grid": {s: (grid[f"{s}_x"], grid[f"{s}_y"], grid[f"{s}_significance"] - nominal[grid[f"{s}_layer"]]) for s in "pn"},
        "cull": {
            "p": tuple(v[good & (cull["p_fate"] == 0)] for v in (cull["p_x"], cull["p_y"], cull["p_best"] - free)),
            "n": (cull["n_x"], cull["n_y"], cull["n_significance"] - free),
        },
    }
    image = {b: plane(run, "coadd", f"{b}/image") for b in BANDS}
    for name, (w, p, sigma) in filters(run).items():
        nu = sum(np.float32(v) * image[b] for v, b in zip(w, BANDS) if v)
        assert np.isfinite(nu).all()
        nu = fftconvolve(nu, (p[::-1, ::-1] / sigma).astype(np.float32), mode="same")
        if blank:
            out[f"rms {name}"] = float(nu[40:-40, 40:-40].std())
        every[name] = {s: (x, y, h - NOMINAL) for s, v in (("p", nu), ("n", -nu)) if blank or s == "p" for x, y, h in [maxima(v)]}
    del image
    every["any band"] = {s: tuple(np.concatenate([every[f"band {b}"][s][k] for b in BANDS]) for k in range(3)) for s in every["sum"]}
    if blank:
        psi0 = plane(run, "coadd", "r/psi")
        out["size"] = psi0.shape[0]
        out["n_pixels"] = psi0.size
        lags = [np.mean(list(by_cell(run, "coadd", b, "covariance_cells", "autocorrelation").values()), 0) for b in BANDS]
        out["products"] = np.array([products(a) for a in lags])
        out["nu_rms"] = blank_rms(run)
        for name in STRATEGIES:
            for s in "pn":
                if name == "cull" and s == "n":
                    out["n cull"] = np.sort(every[name][s][2])[::-1]
                    continue
                out[f"{s} {name}"] = counted_once(*every[name][s], fwhm)
    else:
        truth = np.load(f"{run}.scene.npz")
        x, y, flux, label = (truth[k] for k in ("x", "y", "flux", "label"))
        at = np.column_stack([x, y])
        own = np.array([RADII.index(m) if m != "dv" else RADII.index(DV_RADIUS) for m, _ in CLASSES])[label]
        broadening = np.array([grid["broadening"][names.index(f"free_sed:{r}" if r else "free_sed")] for r in RADII])
        reach = fwhm * broadening[own]
        for name in STRATEGIES:
            out[name] = highest(at, reach, *every[name]["p"])
        # The layer of the source's own SED and morphology, and the free one of its morphology.
        matched, free_height, x_peak, y_peak = (np.full(len(x), np.nan) for _ in range(4))
        for c, (m, sed) in enumerate(CLASSES):
            mine = label == c
            if not mine.any():
                continue
            radius = RADII[own[mine][0]]
            for target, layer in ((matched, sed), (free_height, "free_sed")):
                k = names.index(f"{layer}:{radius}" if radius else layer)
                of = grid["p_layer"] == k
                h, which = highest(at[mine], reach[mine], grid["p_x"][of], grid["p_y"][of], grid["p_significance"][of], True)
                target[mine] = h
                if target is matched:
                    found = which >= 0
                    idx = np.flatnonzero(mine)[found]
                    x_peak[idx], y_peak[idx] = grid["p_x"][of][which[found]], grid["p_y"][of][which[found]]
        sums, norms = np.zeros((len(x), len(RADII))), np.zeros((len(x), len(RADII)))
        at_peak, top = np.zeros(len(x)), np.isfinite(x_peak)
        sed = np.array([SEDS[s] for _, s in CLASSES])[label]
        with h5py.File(sorted(glob.glob(f"{run}/main/coadd/*.h5"))[0]) as f:
            assert np.allclose(f["r"].attrs["half_light_arcsec"], RADII[1:])
        true_sq, norm_peak = np.zeros(len(x)), np.zeros(len(x))
        lags = [np.mean(list(by_cell(run, "coadd", b, "covariance_cells", "autocorrelation").values()), 0) for b in BANDS]
        pairs = np.array([products(a) for a in lags])
        cx, cy = np.rint(x).astype(int), np.rint(y).astype(int)
        phi_ratio = []
        for k, b in enumerate(BANDS):
            for m, (psi_g, phi_map) in enumerate(psi_maps(run, b)):
                sums[:, m] += sed[:, k] * spline(psi_g, x, y)
                phi = phi_map[cy, cx]
                norms[:, m] += sed[:, k] ** 2 * phi
                mine = own == m
                sure = mine & top
                at_peak[sure] += sed[sure, k] * spline(psi_g, x_peak[sure], y_peak[sure])
                is_dv = np.array([m_ == "dv" for m_, _ in CLASSES])[label]
                ratio = pairs[k, -1, -1] / pairs[k, m, m]
                true_sq[mine] += flux[mine, k] ** 2 * phi[mine] * np.where(is_dv[mine], ratio, 1.0)
                phi_ratio.append(float(np.median(phi) / pairs[k, m, m]))
        out.update(label=label, s=np.sqrt(true_sq), nu=sums / np.sqrt(norms), matched=matched, free=free_height, products=pairs, phi_ratio=phi_ratio)
        with np.errstate(invalid="ignore"):
            out["refined_less_spline"] = np.where(top, matched - at_peak / np.sqrt(norms[np.arange(len(x)), own]), np.nan)
    np.savez_compressed(path, **out)


def psi_maps(run, band):
    """Psi of every morphology, and its Phi."""
    psi = plane(run, "coadd", f"{band}/psi")
    phis = [plane(run, "coadd", f"{band}/phi"), *plane(run, "coadd", f"{band}/phi_exponential")]
    n = next_fast_len(psi.shape[0] + 128, True)
    spectrum = rfft2(psi, (n, n))
    for radius, phi in zip(RADII, phis):
        if not radius:
            yield psi, phi
            continue
        g = band_limited(radius)
        r = g.shape[0] // 2
        full = irfft2(spectrum * rfft2(g.astype(np.float32), (n, n)), (n, n))
        yield full[r : r + psi.shape[0], r : r + psi.shape[1]], phi


def blank_rms(run):
    """Root mean square of nu on a blank field, [sed, morphology], 60 pixels from the edges, where no light of a template is lost."""
    squares = np.zeros((len(SEDS), len(RADII)))
    maps = [list(psi_maps(run, b)) for b in BANDS]
    inner = np.s_[60:-60, 60:-60]
    for m in range(len(RADII)):
        for k, sed in enumerate(SEDS.values()):
            t = sum(v * maps[b][m][0][inner] for b, v in enumerate(sed) if v) / np.sqrt(sum(v * v * maps[b][m][1][inner] for b, v in enumerate(sed) if v))
            squares[k, m] = float((t.astype(float) ** 2).mean())
    return np.sqrt(squares)


def highest(at, reach, x, y, height, with_index=False):
    """Height of the highest peak within reach of every place; -inf without one."""
    tree = cKDTree(np.column_stack([x, y])) if len(x) else None
    out, which = np.full(len(at), -np.inf), np.full(len(at), -1)
    for k, near in enumerate(tree.query_ball_point(at, reach)) if tree else ():
        if near:
            best = near[int(np.argmax(height[near]))]
            out[k], which[k] = height[best], best
    return (out, which) if with_index else out


# Figures.

RATE = 0.5  # false peaks per arcmin2
N_BOOTSTRAP = 100
LABELS = {0.0: "points", 0.4: '0.4" discs', 0.8: '0.8" discs', 1.6: '1.6" discs', "dv": 'de Vaucouleurs 0.8"'}


@functools.cache
def table(threshold, dof):
    s = np.linspace(0, 40, 2001)
    return s, ncx2.sf(threshold**2, dof, np.maximum(s, 1e-6) ** 2)


def completeness(s, threshold, dof=3):
    return np.interp(s, *table(threshold, dof))


def half(threshold, dof=3):
    return brentq(lambda s: completeness(s, threshold, dof) - 0.5, 0.5, 20)


def shift(s, found, threshold, dof=3):
    """By how much the curve C has to be moved in s to fit best, and its error."""

    def nll(d):
        p = np.clip(completeness(s - d, threshold, dof), 1e-9, 1 - 1e-9)
        return -np.where(found, np.log(p), np.log1p(-p)).sum()

    grid = np.linspace(-0.8, 0.8, 33)
    near = grid[np.argmin([nll(d) for d in grid])]
    fine = near + np.linspace(-0.1, 0.1, 11)
    a, b, _ = np.polyfit(fine - near, [nll(d) for d in fine], 2)
    return near - b / (2 * a), 1 / math.sqrt(2 * a)


def sharper(fwhm_px):
    """By how much a de Vaucouleurs galaxy's curvature in the 0.8" layer moves the 50 % point, of a Gaussian PSF.

    Where a maximum of height nu is sharper than the noise makes it (nu l2), it gains a share r of what two degrees of freedom give.
    """
    k = frequencies(256)
    power = np.exp(-4 * np.pi**2 * (fwhm_px / 2.354820045) ** 2 * k**2)
    curvature = lambda w: (k * k * w).sum() / w.sum()
    f, g = transform("dv", k), transform(DV_RADIUS, k)
    r = curvature(power * g * g) / curvature(power * f * g)
    n = np.linspace(-10, 20, 30001)

    def point(t, r):
        above = np.exp(-np.maximum(t * t - n * n, 0) / (2 * r))
        return brentq(lambda s: (norm.pdf(n - s) * above).sum() * (n[1] - n[0]) - 0.5, 2, 8)

    shifts = ", ".join(f"{100 * (point(t, r) / point(t, 1.0) - 1):+.2f} % at {t}" for t in (5.0, 4.5, 4.0))
    print(f"    predicted of the last, for its image in that layer is sharper than the noise, l2 over curvature {r:.3f}: {shifts}")


def probits(s, found, weight):
    """s of 50 %, and width, of normal curves through found or not found, one for each row of found and weight; NaN where nearly none or nearly all are found."""
    # It begins where as many are found below as are missed above.
    order = np.argsort(s)
    below, above = np.cumsum(found[0][order]), np.cumsum(~found[0][order][::-1])[::-1]
    b1 = np.full(len(found), 1 / 1.2)
    b0 = -b1 * s[order][np.argmin(np.abs(below - above))]
    if len(found) > 1:
        centre, width = (v[0] for v in probits(s, found[:1], weight[:1]))
        if not math.isfinite(centre):
            return np.full((2, len(found)), np.nan)
        b0, b1 = np.full(len(found), -centre / width), np.full(len(found), 1 / width)
    for _ in range(12 if len(found) == 1 else 4):
        eta = np.clip(b0[:, None] + b1[:, None] * s, -7, 7)
        p, d = np.clip(ndtr(eta), 1e-10, 1 - 1e-10), np.exp(-0.5 * eta * eta) / math.sqrt(2 * math.pi)
        u = weight * d / (p * (1 - p))
        h, g = u * d, u * (found - p)
        h0, h1, h2, g0, g1 = h.sum(1), h @ s, h @ (s * s), g.sum(1), g @ s
        det = np.maximum(h0 * h2 - h1 * h1, 1e-12)
        d0, d1 = (h2 * g0 - h1 * g1) / det, (h0 * g1 - h1 * g0) / det
        small = np.minimum(1.0, 0.5 * np.abs(b1) / np.maximum(np.abs(d1), 1e-12))
        b0, b1 = b0 + small * d0, b1 + small * d1
    share = (weight * found).sum(1) / weight.sum(1)
    bad = (share < 0.05) | (share > 0.97)
    return np.where(bad, np.nan, -b0 / b1), np.where(bad, np.nan, 1 / b1)


def ratio(value, reference):
    """Quotient of bootstrapped values (first: the data's own), with half of its central 68 %."""
    q = value / reference
    return q[0], 0.5 * (np.nanpercentile(q[1:], 84.1) - np.nanpercentile(q[1:], 15.9))


def pm(value, error, digits=3):
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def load(folder, kinds):
    return [dict(np.load(p)) for p in sorted(Path(folder).iterdir()) if re.fullmatch(rf"({'|'.join(kinds)})\d+\.npz", p.name)]


def figures(folder, picture):
    blanks, fields = load(folder, ["blank"]), load(folder, KINDS)
    data = {k: np.concatenate([f[k] for f in fields]) for k in ("label", "s", "nu", "matched", "free", "refined_less_spline", *STRATEGIES)}
    label, s = data["label"], data["s"]
    morphology = np.array([str(m) for m, _ in CLASSES])[label]
    own = np.array([RADII.index(m) if m != "dv" else RADII.index(DV_RADIUS) for m, _ in CLASSES])[label]
    sed_of = np.array([x for _, x in CLASSES])[label]
    matched = data["nu"][np.arange(len(s)), own]
    pixels = sum(int(b["n_pixels"]) for b in blanks)
    area = pixels * (SCALE / 60) ** 2
    depth = blanks[0]["products"]  # [band, morphology, morphology]
    print(f"{len(fields)} fields of {int(blanks[0]['size'])} x {int(blanks[0]['size'])} pixels, {len(s)} sources; {len(blanks)} blank ones, {area:.0f} arcmin2; FWHM {float(blanks[0]['fwhm']):.2f} px")
    print("sources of each class: " + ", ".join(f"{m} {sed} {int((label == k).sum())}" for k, (m, sed) in enumerate(CLASSES)))
    sigma = depth[:, 0, 0] ** -0.5
    print("error of a point's flux, g r i [nJy]: " + ", ".join(f"{v:.3f}" for v in sigma) + "; widths of the layers [points]: " + ", ".join(f"{v:.2f}" for v in blanks[0]["broadening"][:: len(blanks[0]["names"]) // 4]))

    print("\nS/N at the true position over the true one, mean over mean, matched layers")
    for m in (*RADII, "all"):
        of = (morphology != "dv") & ((morphology == str(m)) | (m == "all"))
        parts = [(sed, of & (sed_of == sed)) for sed in SEDS]
        cells = [f"{sed} {pm(matched[k].sum() / s[k].sum(), math.sqrt(k.sum()) / s[k].sum(), 4)}" for sed, k in parts if k.any()]
        print(f"  {LABELS.get(m, 'all'):20} {int(of.sum()):6} sources {pm(matched[of].sum() / s[of].sum(), math.sqrt(of.sum()) / s[of].sum(), 4)}; " + ", ".join(cells))
        if m != "all":
            faint = of & (s < 6.8)
            d = matched[of] - s[of]
            print(f"    below 6.8: {pm(matched[faint].sum() / s[faint].sum(), math.sqrt(faint.sum()) / s[faint].sum(), 4)}; scatter about the true S/N {pm(d.std(), d.std() / math.sqrt(2 * len(d)))}; slope {pm((s[of] * matched[of]).sum() / (s[of] ** 2).sum(), 1 / math.sqrt((s[of] ** 2).sum()), 4)}")
    print("rms of nu on blank sky over beams (pixels x l2 / pi), and its error, for flat, red, blue, g, i:")
    rms = np.sqrt(np.mean([b["nu_rms"] ** 2 for b in blanks], axis=0))
    for m, radius in enumerate(RADII):
        l2 = float(blanks[0]["l2"][[str(n) for n in blanks[0]["names"]].index(f"flat:{radius}" if radius else "flat")])
        beams = sum(((int(b["size"]) - 120) ** 2) for b in blanks) * l2 / math.pi
        print(f"  {LABELS[radius]:20} {beams:.0f} beams: " + ", ".join(f"{v:.4f}" for v in rms[:, m]) + f" +- {1 / math.sqrt(2 * beams):.4f}")
    print("S/N in layers of other profiles over the true one: measured, predicted; points, 0.4, 0.8, 1.6 layers of the own SED")
    for m in (*RADII, "dv"):
        for sed in ("flat", "red", "blue"):
            k = (morphology == str(m)) & (sed_of == sed)
            i = len(RADII) if m == "dv" else RADII.index(m)
            v = SEDS[sed] ** 2
            predicted = [(v * depth[:, j, i]).sum() / math.sqrt((v * depth[:, j, j]).sum() * (v * depth[:, i, i]).sum()) for j in range(4)]
            print(f"  {LABELS[m]:20} {sed:5} " + "; ".join(f"{data['nu'][k, j].sum() / s[k].sum():.3f}, {predicted[j]:.3f}" for j in range(4)) + f" +- {math.sqrt(k.sum()) / s[k].sum():.3f}")
    d = data["refined_less_spline"]
    print("height by the quadratic less that of the quintic spline at the same place [sigma], mean and rms: " + "; ".join(f"{LABELS[m]} {np.nanmean(d[morphology == str(m)]):+.4f}, {np.nanstd(d[morphology == str(m)]):.4f}" for m in RADII))

    print("\n50 % of the single matched layer at nominal thresholds: measured over C(s) = P(chi'2_3 > nu2)")
    for m in (*RADII, "dv"):
        i = len(RADII) if m == "dv" else RADII.index(m)
        line = []
        for t in (5.0, 4.5, 4.0):
            of = morphology == str(m)
            v = np.array([SEDS[x] ** 2 for x in sed_of[of]])
            j = own[of][0]
            # What a layer of another profile sees of a source, 1 for matched ones.
            share = (v * depth[:, j, i]).sum(1) / np.sqrt((v * depth[:, j, j]).sum(1) * (v * depth[:, i, i]).sum(1))
            delta, error = shift(s[of] * share, data["matched"][of] >= t, t)
            line.append(f"nu {t}: {half(t) + delta:.3f} +- {error:.3f} of {half(t):.3f}, {100 * delta / half(t):+.2f} +- {100 * error / half(t):.2f} %")
        print(f"  {LABELS[m]:20} " + "; ".join(line) + (" (in S/N of the layer 0.8)" if m == "dv" else ""))
    sharper(float(blanks[0]["fwhm"]))
    pooled = morphology != "dv"
    print("  all matched          " + "; ".join(f"nu {t}: {100 * d / half(t):+.2f} +- {100 * e / half(t):.2f} %" for t in (5.0, 4.5, 4.0) for d, e in [shift(s[pooled], data["matched"][pooled] >= t, t)]))
    for k, (m, sed) in enumerate(CLASSES):
        of = label == k
        if m == "dv":
            continue
        line = [f"nu {t}: {100 * delta / half(t):+.2f} +- {100 * error / half(t):.2f} %" for t in (5.0, 4.5, 4.0) for delta, error in [shift(s[of], data["matched"][of] >= t, t)]]
        print(f"    {LABELS[m]:20} {sed:5} " + "; ".join(line))
    print("free-SED layer of the own profile: 50 %, measured over that of n + 2 = 5 degrees of freedom; of one-band sources 4, for the two others count half")
    for m in RADII:
        for t in (5.0, 4.5):
            ft = free_threshold(t)
            line = []
            for sed in SEDS:
                of = (morphology == str(m)) & (sed_of == sed)
                if of.any():
                    dof = 4 if len(sed) == 1 else 5
                    delta, error = shift(s[of], data["free"][of] >= ft, ft, dof)
                    line.append(f"{sed} {half(ft, dof) + delta:.3f} ({100 * delta / half(ft, dof):+.2f} +- {100 * error / half(ft, dof):.2f} %)")
            print(f"  {LABELS[m]:20} T > {ft:.3f} ({half(ft, 5):.3f}, {half(ft, 4):.3f}): " + ", ".join(line))

    # Strategies at one rate.
    rng = np.random.default_rng(5)
    print(f"\nThresholds that make {RATE} false peaks an arcmin2, of blank sky, less the nominal ones of 5 sigma")
    threshold = {}
    for name in STRATEGIES:
        signs = "p" if name == "cull" else "pn"
        excess = np.sort(np.concatenate([b[f"{sign} {name}"] for b in blanks for sign in signs]))[::-1]
        n = RATE * area * len(signs)
        draws = np.clip(np.concatenate([[n], rng.poisson(n, N_BOOTSTRAP)]), 1, len(excess) - 1).astype(int)
        threshold[name] = excess[draws]
        counts = ", ".join(f"{sum(int((b[f'{sign} {name}'] > threshold[name][0]).sum()) for b in blanks)} {kind}" for sign, kind in zip("pn", ("positive", "negative")) if sign in signs)
        print(f"  {name:9} {pm(threshold[name][0], threshold[name][1:].std())}: {counts}; lowest kept {excess[-1]:.2f}")
    found = {name: int((data[name] > threshold[name][0]).sum()) for name in STRATEGIES}
    best = max(("band g", "band r", "band i"), key=found.get)
    print("sources found of all: " + ", ".join(f"{k} {v}" for k, v in found.items()) + f"; the best band on average is {best[-1]}")
    limit = {}
    print("\n50 % limits in true S/N at that rate, with half of the central 68 % of the bootstrap (sources and thresholds)")
    for k, (m, sed) in enumerate(CLASSES):
        of = np.flatnonzero(label == k)
        line = []
        weights = np.vstack([np.ones(len(of)), rng.multinomial(len(of), np.full(len(of), 1 / len(of)), N_BOOTSTRAP)])
        for name in STRATEGIES:
            v = probits(s[of], data[name][of] > threshold[name][:, None], weights)[0]
            top = s[of].max()
            v[(v > top) | (v < 0)] = np.nan
            limit[k, name] = v
            line.append(f"{name} " + (pm(v[0], 0.5 * (np.nanpercentile(v[1:], 84.1) - np.nanpercentile(v[1:], 15.9)), 2) if np.isfinite(v[0]) else f"> {top:.0f}"))
        print(f"  {LABELS[m]:20} {sed:5} " + ", ".join(line))
    print("\nLimits over that of the grid, in brackets magnitudes gained by the grid")
    gains = ("cull", best, "any band", "sum")
    for k, (m, sed) in enumerate(CLASSES):
        line = []
        for name in gains:
            q, e = ratio(limit[k, name], limit[k, "grid"])
            line.append(f"{name} " + (f"{pm(q, e)} ({2.5 * math.log10(q):+.3f} +- {1.0857 * e / q:.3f})" if np.isfinite(q) else f"> {s[label == k].max() / limit[k, 'grid'][0]:.1f}"))
        print(f"  {LABELS[m]:20} {sed:5} " + "; ".join(line))
    print("Means of their logarithms over classes")
    for m, seds in ((0.0, ("flat", "red", "blue")), (0.4, ("flat", "red", "blue")), (0.8, ("flat", "red", "blue")), (1.6, ("flat", "red", "blue")), ("dv", ("flat", "red", "blue")), (0.0, ("g", "i")), (1.6, ("g", "i"))):
        line = []
        for name in gains:
            q = np.exp(np.mean([np.log(limit[CLASSES.index((m, sed)), name] / limit[CLASSES.index((m, sed)), "grid"]) for sed in seds], 0))
            e = 0.5 * (np.nanpercentile(q[1:], 84.1) - np.nanpercentile(q[1:], 15.9)) if np.isfinite(q[0]) else math.nan
            line.append(f"{name} " + (f"{pm(q[0], e)} ({2.5 * math.log10(q[0]):+.3f} +- {1.0857 * e / q[0]:.3f})" if np.isfinite(q[0]) else "beyond"))
        print(f"  {LABELS[m]:20} {', '.join(seds):15} " + "; ".join(line))
    draw(data, label, threshold, limit, best, picture)


def draw(data, label, threshold, limit, best, picture):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.grid": True, "grid.alpha": 0.3})
    fig, axes = plt.subplots(2, 3, figsize=(12, 7), constrained_layout=True)
    s = data["s"]

    def points(ax, s, found, bins, **style):
        which = np.digitize(s, bins) - 1
        x, y, e = [], [], []
        for k in range(len(bins) - 1):
            n = (which == k).sum()
            if n >= 5:
                p = found[which == k].mean()
                q = (found[which == k].sum() + 1) / (n + 2)
                x.append(s[which == k].mean()), y.append(p), e.append(math.sqrt(q * (1 - q) / n))
        ax.errorbar(x, y, e, ls="none", ms=3, lw=0.8, **style)

    ax = axes[0, 0]
    grid = np.linspace(2.5, 9, 200)
    for t in (4.0, 5.0):
        ax.plot(grid, completeness(grid, t), "k-", lw=0.8)
    for k, m in enumerate(RADII):
        of = np.isin(label, [i for i, c in enumerate(CLASSES) if c[0] == m])
        for t in (4.0, 5.0):
            points(ax, s[of], data["matched"][of] >= t, np.arange(2.8, 8.8, 0.25), fmt="o", color=f"C{k}", label=LABELS[m] if t == 5 else None)
    ax.set_title(r"matched layers at 4 and 5 $\sigma$, and C(s)")
    ax.legend(loc="lower right")
    colours = {"grid": "C0", "cull": "C1", best: "C2", "any band": "C3", "sum": "C4"}
    for ax, (m, sed), high in zip(axes.ravel()[1:5], ((0.0, "flat"), (0.0, "g"), (1.6, "flat"), (1.6, "i")), (14, 14, 24, 24)):
        k = CLASSES.index((m, sed))
        of = label == k
        for name, colour in colours.items():
            found = data[name][of] > threshold[name][0]
            points(ax, s[of], found, np.concatenate([np.arange(2.8, 6.9, 0.5), np.linspace(6.8, high, 7)[1:]]), fmt="o", color=colour, label=name)
            centre, width = (v[0] for v in probits(s[of], found[None], np.ones((1, len(found)))))
            if np.isfinite(centre):
                x = np.linspace(2.5, high, 200)
                ax.plot(x, norm.cdf((x - centre) / width), "-", color=colour, lw=0.8)
        ax.set_title(f"{LABELS[m]}, {'only in ' + sed if len(sed) == 1 else sed}, one rate of false peaks")
        ax.legend(loc="lower right")
    for ax in axes.ravel()[:5]:
        ax.set_xlabel("true S/N of the source's own matched filter")
        ax.set_ylabel("share found")
    ax = axes[1, 2]
    for j, (name, colour) in enumerate(colours.items()):
        for k in range(len(CLASSES)):
            v = limit[k, name]
            y = -k - 0.12 * j
            if np.isfinite(v[0]):
                ax.errorbar(v[0], y, xerr=np.maximum([[v[0] - np.nanpercentile(v[1:], 15.9)], [np.nanpercentile(v[1:], 84.1) - v[0]]], 0), fmt="o", color=colour, ms=3, lw=0.8)
            else:
                ax.plot(s[label == k].max(), y, ">", color=colour, ms=3)
    ax.set_yticks([-k - 0.24 for k in range(len(CLASSES))], [f"{LABELS[m]} {sed}" for m, sed in CLASSES])
    ax.set_xscale("log")
    ax.set_xticks([4, 5, 6, 8, 10, 15, 20, 30], ["4", "5", "6", "8", "10", "15", "20", "30"])
    ax.minorticks_off()
    ax.set_xlabel("50 % limit, true S/N")
    ax.set_title("limits of all classes (arrow: beyond)")
    fig.savefig(picture, dpi=110)


if __name__ == "__main__":
    {"pointings": pointings, "scene": scene, "peaks": peaks, "take": take, "figures": figures}[sys.argv[1]](*sys.argv[2:])
