"""False peaks of blank sky: those of every layer beside the theory of peaks, those of calibrated searches beside the rate asked for.

    noise.py sky RUN OUT.npz        mean, variance and skewness of psi / sqrt(phi)
    noise.py take RUN OUT.npz       peaks of a run's detect phase, and the skewness that its Poisson sky should have
    noise.py table FOLDER FIGURE    of all fields together

Predicted for a layer: l2 and pixels from its file; n(> t) of the peaks of Gaussian noise (algorithms: false positives), times the share of them that the
quadratic through nine pixels finds, times 1 +- the skewness of the Poisson sky. For a calibrated search: the rate asked for, with the same skewness, which
calibration on Gaussian noise does not know.
"""

import glob
import math
import sys
from pathlib import Path

import h5py
import matplotlib
import numpy as np
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree
from scipy.stats import chi2, norm, poisson

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parent.parent / "coadd"))
from coadd_psf import CoaddPsf
from kinds import chi_density, family, free_density, normal_density, share_found

BANDS = ("g", "r", "i")
RADII = (0.0, 0.4, 0.8, 1.6)
SLOPES = {"flat": 0.0, "red": 3.0, "blue": -2.0}
WAVELENGTHS = {"g": 482.0, "r": 622.0, "i": 755.0}
THRESHOLDS = (4.0, 4.5, 5.0)
SCALE = 0.2
ENOUGH, FIELD_ARCMIN2 = 400, 16 * 2**20 * (SCALE / 60) ** 2  # of the calibration: 16 fields of 1024 pixels a side


def exponential(half_light_px):
    if half_light_px == 0:
        return np.ones((1, 1))
    r = int(6 * half_light_px)
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    g = np.exp(-1.678 * np.hypot(x, y) / half_light_px)
    return g / g.sum()


def cumulants(run):
    """Second and third cumulant of psi of blank sky, [band, morphology]."""
    out = np.zeros((2, len(BANDS), len(RADII)))
    for b, band in enumerate(BANDS):
        for e in CoaddPsf(run, band).exposures:
            psf = np.pad(e.stamp(0.0, 0.0), 40)
            third = e.sky_e / e.electrons_per_njy**3
            for m, radius in enumerate(RADII):
                p = fftconvolve(psf, exponential(radius / SCALE), mode="same")
                out[0, b, m] += (p**2).sum() / e.variance
                out[1, b, m] += (p**3).sum() * third / e.variance**3
    return out


def sky(run, path):
    """Moments of nu by band with the errors of their means, from the scatter of squares of 256 pixels: [band, moment, (value, error)]."""
    parts = [[] for _ in BANDS]
    for name in sorted(glob.glob(f"{run}/main/coadd/*.h5")):
        with h5py.File(name) as f:
            for b, band in enumerate(BANDS):
                nu = f[f"{band}/psi"][()].astype(float) / np.sqrt(f[f"{band}/phi"][()].astype(float))
                for c in (nu[j : j + 256, i : i + 256] for j in range(0, nu.shape[0], 256) for i in range(0, nu.shape[1], 256)):
                    m, v = c.mean(), (c**2).mean()
                    parts[b].append((m, v, (c**3).mean() - 3 * m * v + 2 * m**3))
    parts = np.array(parts)
    np.savez(path, moments=np.stack([parts.mean(axis=1), parts.std(axis=1, ddof=1) / math.sqrt(parts.shape[1])], -1))


def take(run, path):
    table = {}

    def add(name, values):
        table.setdefault(name, []).append(np.asarray(values))

    for name in sorted(glob.glob(f"{run}/main/layers/*.h5")):
        with h5py.File(name) as f:
            layers = f["layers"]
            names, offset = list(layers["name"].asstr()[:]), float(f.attrs["threshold_offset"])
            threshold, l2 = layers["threshold"][:], layers["l2"][:]
            add("n_pixels", layers["n_pixels"][:])
            p = f["peaks"]
            of_layer = np.repeat(np.arange(len(names)), np.diff(p["offsets"][:]))
            for key in ("x", "y", "significance", "fate", "best_layer"):
                add(f"p_{key}", p[key][:])
            add("p_layer", of_layer)
            add("p_best", np.nanmax(p["layer_significance"][:], axis=1, initial=-1.0) if len(of_layer) else [])
            n = f["negative_peaks"]
            for key in ("x", "y", "significance"):
                add(f"n_{key}", n[key][:])
            add("n_layer", np.repeat(np.arange(len(names)), np.diff(n["offsets"][:])))
    with h5py.File(sorted(glob.glob(f"{run}/main/coadd/*.h5"))[0]) as f:
        fwhm = float(np.mean([f[b].attrs["fwhm_px"] for b in BANDS]))
    pixels = np.sum(table.pop("n_pixels"), axis=0)
    arrays = {key: np.concatenate(parts) for key, parts in table.items()}
    np.savez_compressed(path, names=names, offset=offset, threshold=threshold, l2=l2, n_pixels=pixels, fwhm=fwhm, cumulants=cumulants(run), **arrays)


# Predictions.

ROWS = family()


def split(name):
    sed, _, radius = name.partition(":")
    return sed, float(radius or 0)


def skewness(cumulants, sed, radius):
    """Of a layer of one SED; of a free SED the mean of its bands."""
    k2, k3 = cumulants[..., RADII.index(radius)]
    if sed == "free_sed":
        return float(np.mean(k3 / k2**1.5))
    s = np.array([1.0 if sed == b else 0.0 for b in BANDS]) if sed in BANDS else np.array([WAVELENGTHS[b] for b in BANDS]) ** SLOPES[sed]
    return float((s**3 * k3).sum() / (s**2 * k2).sum() ** 1.5)


def share(i_or_t, l2):
    """Share that refined heights find, between the thresholds tabulated."""
    return float(np.interp(i_or_t, THRESHOLDS, [share_found(ROWS, i, l2) for i in range(len(THRESHOLDS))]))


def expected(data, layer, t, sign):
    """Peaks of a layer above t."""
    sed, radius = split(str(data["names"][layer]))
    l2, pixels, gamma = float(data["l2"][layer]), float(data["n_pixels"][layer]), sign * skewness(data["cumulants"], sed, radius)
    if sed == "free_sed":
        density = free_density(t, len(BANDS), l2, gamma)
    else:
        density = normal_density(t, l2) * (1 + gamma / 6 * (t**3 - 3 * t))
    return pixels * density * share(t, l2)


def by_skewness(data, sed, radius, t):
    """Relative excess of positive peaks above t by the skewness."""
    gamma = skewness(data["cumulants"], sed, radius)
    if sed != "free_sed":
        return gamma / 6 * (t**3 - 3 * t)
    return free_density(t, len(BANDS), 1.0, gamma) / free_density(t, len(BANDS), 1.0, 0.0) - 1


def counted_once(x, y, excess, layer, radius):
    """Layers of the peaks with no higher one, kept, within the radius."""
    order = np.argsort(-excess, kind="stable")
    at = np.column_stack([x, y])
    near = cKDTree(at).query_ball_point(at, radius * (1 - 1e-12)) if len(at) else []
    dropped, kept = np.zeros(len(at), bool), []
    for k in order:
        if not dropped[k]:
            kept.append(layer[k])
            dropped[near[k]] = True
    return np.array(kept, int)


def pull(n, mean, relative=0.0):
    """Deviation in errors; of small means the normal quantile of the Poisson probability, half of that of n itself counted."""
    if mean > 30 or relative:
        return (n - mean) / math.sqrt(mean + (relative * mean) ** 2)
    above = poisson.sf(n, mean) + 0.5 * poisson.pmf(n, mean)
    return float(norm.isf(above))


def fields(folder, name):
    return [dict(np.load(p)) for p in sorted(glob.glob(f"{folder}/{name}_*.npz"))]


def draw(path, pulls):
    fig, axes = plt.subplots(3, 1, figsize=(11, 9), dpi=80, sharex=True)
    names = list(dict.fromkeys(p[1] for p in pulls))
    for k, (ax, t) in enumerate(zip(axes, THRESHOLDS)):
        for sign, colour, label in ((1, "tab:red", "positive"), (-1, "tab:blue", "negative")):
            own = [p for p in pulls if p[3] == sign][k :: len(THRESHOLDS)]
            x = [names.index(p[1]) + 0.12 * sign for p in own]
            ax.errorbar(x, [p[4] / p[5] for p in own], [1 / math.sqrt(p[5]) for p in own], fmt="o", ms=4, color=colour, label=label)
        ax.axhline(1, color="k", lw=0.8)
        ax.set(ylabel=f"found over predicted, > {t:g} sigma", ylim=(0, 2) if t < 5 else (0, 4))
    axes[0].legend(loc="upper left")
    axes[-1].set_xticks(range(len(names)), names, rotation=60, ha="right")
    fig.tight_layout()
    fig.savefig(path)


def layers_alone(folder, figure):
    runs = fields(folder, "nominal")
    names = [str(n) for n in runs[0]["names"]]
    pixels = sum(int(r["n_pixels"][0]) for r in runs)
    area = pixels * (SCALE / 60) ** 2
    print(f"{len(runs)} fields, {pixels / 1e6:.1f} 10^6 pixels, {area:.0f} arcmin2; FWHM {', '.join(format(float(r['fwhm']), '.2f') for r in runs)} px")
    print("skewness of the sky by field, g r i, points: " + "; ".join(", ".join(f"{skewness(r['cumulants'], b, 0.0):.4f}" for b in BANDS) for r in runs))
    for path in sorted(glob.glob(f"{folder}/sky_*.npz")):
        seed, m = Path(path).stem.split("_")[1], np.load(path)["moments"]
        r = dict(np.load(f"{folder}/nominal_{seed}.npz"))
        print(f"field {seed}, psi / sqrt(phi) of points by band: " + "; ".join(
            f"{b} mean {m[k, 0, 0]:+.4f} +- {m[k, 0, 1]:.4f}, mean square {m[k, 1, 0]:.4f} +- {m[k, 1, 1]:.4f}, skewness {m[k, 2, 0]:.4f} +- {m[k, 2, 1]:.4f} of {skewness(r['cumulants'], b, 0.0):.4f}" for k, b in enumerate(BANDS)))  # fmt: skip
    print("\nSingle layers, nominal thresholds: found and predicted, positive; negative; deviations in Poisson errors; density of both signs [arcmin-2] found, predicted")
    pulls = []
    for layer, name in enumerate(names):
        cells = []
        for t in THRESHOLDS:
            limit = t
            line = []
            for sign, kind in ((1, "p"), (-1, "n")):
                n, mean = 0, 0.0
                for r in runs:
                    # A free SED's threshold is that of the same pointwise rate: its layer begins at that of 4 sigma.
                    limit = free_threshold(t) if split(name)[0] == "free_sed" else t
                    own = r[f"{kind}_layer"] == layer
                    n += int((r[f"{kind}_significance"][own] >= limit).sum())
                    mean += expected(r, layer, limit, sign)
                line.append((n, mean, pull(n, mean)))
                pulls.append((pull(n, mean), name, limit, sign, n, mean))
            (a, b, c), (d, e, g) = line
            cells.append(f"> {limit:.3f}: {a} of {b:.1f} ({c:+.1f}); {d} of {e:.1f} ({g:+.1f}); {(a + d) / area:.4f} {(b + e) / area:.4f}")
        print(f"  {name:13} " + "  |  ".join(cells))
    print("\nSingle bands together (their noise is independent): found and predicted, positive; negative; both over predicted")
    for radius in RADII:
        cells = []
        for t in THRESHOLDS:
            own = [p for p in pulls if split(p[1])[0] in BANDS and split(p[1])[1] == radius and p[2] == t]
            (a, b), (c, d) = ((sum(p[4] for p in own if p[3] == sign), sum(p[5] for p in own if p[3] == sign)) for sign in (1, -1))
            cells.append(f"> {t}: {a} of {b:.1f} ({pull(a, b):+.1f}); {c} of {d:.1f} ({pull(c, d):+.1f}); {(a + c) / (b + d):.3f} +- {1 / math.sqrt(b + d):.3f}")
        print(f"  half-light radius {radius} arcsec " + "  |  ".join(cells))
    draw(figure, pulls)
    for t in range(len(THRESHOLDS)):
        for sign in (1, -1):
            z = np.array([p[0] for p in pulls if p[3] == sign and abs(p[2] - (free_threshold(THRESHOLDS[t]) if split(p[1])[0] == "free_sed" else THRESHOLDS[t])) < 1e-9])
            print(f"all {len(z)} layers above {THRESHOLDS[t]}, {'positive' if sign > 0 else 'negative'}: mean deviation {z.mean():+.2f}, rms {math.sqrt((z**2).mean()):.2f}, worst {z[np.argmax(abs(z))]:+.2f} ({[p[1] for p in pulls if p[0] == z[np.argmax(abs(z))]][0]})")


def free_threshold(t, n=len(BANDS)):
    rate = norm.sf(t)
    tail = lambda v: sum(math.comb(n, k) * 0.5**n * chi2.sf(v * v, k) for k in range(1, n + 1))
    lo, hi = t, t + 10
    for _ in range(60):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if tail(mid) > rate else (lo, mid)
    return (lo + hi) / 2


def calibrated(folder, name, rate):
    runs = fields(folder, name)
    if not runs:
        return
    area = sum(float(r["n_pixels"][0]) for r in runs) * (SCALE / 60) ** 2
    found, predicted = {1: 0, -1: 0}, {1: 0.0, -1: 0.0}
    for r in runs:
        names, is_cull = [str(n) for n in r["names"]], name.startswith("cull")
        threshold = r["threshold"]
        skews = []
        for sign, kind in ((1, "p"), (-1, "n")):
            use = r["p_fate"] == 0 if is_cull and sign > 0 else np.ones(len(r[f"{kind}_x"]), bool)
            layer = r[f"{kind}_layer"]
            height = r["p_best"] if is_cull and sign > 0 else r[f"{kind}_significance"]
            kept = counted_once(r[f"{kind}_x"][use], r[f"{kind}_y"][use], (height - threshold[layer])[use], (r["p_best_layer"] if is_cull and sign > 0 else layer)[use], float(r["fwhm"]))
            found[sign] += len(kept)
            if is_cull:
                if sign > 0:
                    skews += [by_skewness(r, "free_sed", RADII[k], float(threshold[0])) for k in kept]
            else:
                skews += [by_skewness(r, *split(names[k]), float(threshold[k])) for k in kept]
        for sign in (1, -1):
            predicted[sign] += rate * float(r["n_pixels"][0]) * (SCALE / 60) ** 2 * (1 + sign * np.mean(skews))
    # The calibration's own counts scatter too, in each field; where it carries on from 400 peaks, by somewhat more.
    n_calibration = rate * FIELD_ARCMIN2
    relative = 1 / math.sqrt(min(max(n_calibration, 1), 1e9)) if n_calibration >= ENOUGH else 1.3 / math.sqrt(ENOUGH)
    relative /= math.sqrt(len(runs))
    total, mean = found[1] + found[-1], predicted[1] + predicted[-1]
    print(
        f"  {name:14} asked {rate:5} per arcmin2; positive {found[1]} of {predicted[1]:.1f} ({pull(found[1], predicted[1], relative):+.1f}); negative {found[-1]} of {predicted[-1]:.1f} "
        f"({pull(found[-1], predicted[-1], relative):+.1f}); mean of both signs {total / area / 2:.4f} +- {math.sqrt(total) / area / 2:.4f} per arcmin2, over that asked "
        f"{total / mean:.3f} +- {math.sqrt(1 / total + relative**2):.3f} (calibration alone {relative:.3f}); offsets {', '.join(format(float(r['offset']), '+.3f') for r in runs)}"
    )


def same_as_alone(folder):
    for alone, layer in (("r-alone", "r"), ("free-alone", "free_sed")):
        for r in fields(folder, alone):
            grid = fields(folder, "nominal")[0]
            k = [str(n) for n in grid["names"]].index(layer)
            same = all(np.array_equal(np.sort(r[f"{s}_significance"]), np.sort(grid[f"{s}_significance"][grid[f"{s}_layer"] == k])) for s in "pn")
            print(f"layer {layer} searched alone, field 1: {len(r['p_x'])} positive and {len(r['n_x'])} negative peaks, {'the same as' if same else 'OTHERS THAN'} those of the grid")


def table(folder, figure):
    layers_alone(folder, figure)
    print("\nCalibrated searches, peaks within a FWHM counted once: found and predicted, deviations in errors (Poisson and calibration)")
    for rate in (4.0, 1.0, 0.25):
        for strategy in ("grid", "cull", "far"):
            calibrated(folder, f"{strategy}-{rate:g}", rate)
    print()
    same_as_alone(folder)


if __name__ == "__main__":
    {"sky": sky, "take": take, "table": table}[sys.argv[1]](*sys.argv[2:])
