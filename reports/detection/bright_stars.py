"""False detections about saturated stars, trails, edges and bad columns beside the truth, and the neighbours that are kept.

bright_stars.py --sky CSV                           writes the field
bright_stars.py FIGURE LIKELIHOOD_RUN LSST_RUN      prints the tables, draws the worst stars
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import matplotlib
import numpy as np
from astropy.wcs import WCS
from scipy.ndimage import distance_transform_edt, maximum_filter, median_filter
from scipy.spatial import cKDTree
from scipy.stats import chi2
from tract import tract_pixels

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SCALE, CENTRE_DEG, SIDE_PX = 0.2, (150.1, 2.2), 1536  # of the tract: bright_stars.toml
BANDS = ("g", "r", "i")
M5 = 24.9  # of the coadds' point sources, about
SATURATION_NJY = 2.9e6  # of a star in the mean seeing, about
N_STARS, N_PROBES = 36, 10


def sky(path: Path) -> None:
    """The field of the catalog: saturated stars with halo and spikes, probes around them and around blank places, a field of faint stars and galaxies."""
    rng = np.random.default_rng(91)
    rows: list[dict[str, object]] = []

    def add(at: np.ndarray, flux: np.ndarray, regime: str, size: float = 0.0, ratio: float = 1.0, angle: float = 0.0, n: float = 0.0) -> None:
        ra, dec = sky_of(at[None])
        row = {"id": len(rows) + 1, "ra": ra[0], "dec": dec[0], "class": "galaxy" if size > 0 else "star", "regime": regime}
        row |= {f"{b}_flux": f for b, f in zip(BANDS, flux)}
        rows.append(row | {"half_light_radius": size, "axis_ratio": ratio, "position_angle": angle, "sersic_n": n})

    def placed(n: int, margin: float, others: list[np.ndarray], apart: float) -> list[np.ndarray]:
        """Places `apart` pixels from each other and from `others`, as far as there is room."""
        out: list[np.ndarray] = []
        for _ in range(400 * n):
            at = rng.uniform(margin, SIDE_PX - 1 - margin, 2)
            if len(out) < n and all(np.hypot(*(at - o)) > apart for o in [*others, *out]):
                out.append(at)
        return out

    stars = placed(N_STARS, 40.0, [], 60.0)
    # dN/dlog(excess) falls by 10^(-0.3) a decade: excess 1 to 1000.
    u = rng.random(N_STARS)
    excess = 10 ** (-np.log10(1 - u * (1 - 10**-0.9)) / 0.3)
    for at, e in zip(stars, np.sort(excess)[::-1]):
        flux = SATURATION_NJY * e * 10 ** (-0.4 * rng.normal(0, 0.3, 3))
        add(at, flux, "saturated")
        add(at, 0.003 * flux, "halo", 8.0, 1.0, 0.0, 1.0)
        for angle in (20.0, 110.0):
            add(at, 0.0015 * flux, "spike", 8.0, 0.05, angle, 1.0)
    blank = placed(20, 100.0, stars, 130.0)
    # Probes: point sources of S/N 4 to 40, 1" to 15" from the star or the blank place, no nearer to each other than 1.6".
    for regime, anchors in (("probe", stars), ("control", blank)):
        for anchor in anchors:
            mine: list[np.ndarray] = []
            for _ in range(40 * N_PROBES):
                r, phi = rng.uniform(5, 75), rng.uniform(0, 2 * np.pi)
                at = anchor + r * np.array([np.cos(phi), np.sin(phi)])
                inside = np.all((at > 12) & (at < SIDE_PX - 13))
                if len(mine) < N_PROBES and inside and all(np.hypot(*(at - o)) > 8 for o in mine):
                    mine.append(at)
                    total = 10 ** rng.uniform(np.log10(4), np.log10(40))
                    share = np.sqrt(rng.dirichlet((4, 4, 4)))
                    add(at, total * share * nanojansky(M5) / 5, regime)
    for _ in range(round(45 * (SIDE_PX * SCALE / 60) ** 2)):
        k, lo, hi = 0.3 * np.log(10), -7.0, 1.5
        m = lo + np.log1p(rng.random() * np.expm1(k * (hi - lo))) / k
        flux = nanojansky(M5 + m + rng.normal(0, 0.4, 3) * [1, 0, 1])
        at = rng.uniform(2, SIDE_PX - 3, 2)
        if rng.random() < min(0.25 * 10 ** (-0.1 * m), 0.9):
            add(at, flux, "field")
        else:
            size = float(np.clip(0.3 * 10 ** (-0.08 * m) * np.exp(0.4 * rng.normal()), 0.05, 5.0))
            add(at, flux, "field", size, rng.uniform(0.2, 1.0), rng.uniform(0, 180), float(rng.choice([0.5, 1.0, 1.5, 2.0, 3.0, 4.0])))
    with path.open("w") as out:
        out.write(",".join(rows[0]) + "\n")
        out.writelines(",".join(str(v) for v in row.values()) + "\n" for row in rows)


def nanojansky(mag_ab: float | np.ndarray) -> np.ndarray:
    return 10 ** (-0.4 * (np.asarray(mag_ab) - 31.4))


def sky_of(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of tract_pixels."""
    step, (a0, d0) = np.radians(SCALE / 3600), np.radians(CENTRE_DEG)
    xi, eta = ((SIDE_PX - 1) / 2 - at[:, 0]) * step, (at[:, 1] - (SIDE_PX - 1) / 2) * step
    a = a0 + np.arctan2(xi, np.cos(d0) - eta * np.sin(d0))
    d = np.arctan2((np.sin(d0) + eta * np.cos(d0)) * np.cos(a - a0), np.cos(d0) - eta * np.sin(d0))
    return np.degrees(a), np.degrees(d)


MATCH = 1.0  # FWHM within which a peak or an object stands for a truth
SEEN = 3.0  # S/N of what a peak may stand for
NEAR_PX = 3.0  # of an edge, a trail, a column
RINGS = (0.0, 2.0, 5.0, 10.0, 20.0, np.inf)  # arcsec from the nearest saturated star
REACHES = (0.0, 0.5, 1.0, 2.0, 4.0, np.inf)  # the same in radii at which the star's own light falls to 1 sigma a pixel
MOFFAT_BETA = 3.5
BLANK_ARCSEC = 20.0
MARGIN_PX = 8


@dataclass
class Sky:
    """What the products and the truth say of the field."""

    image: dict[str, np.ndarray]
    psi: dict[str, np.ndarray]
    phi: dict[str, np.ndarray]  # [morphology, y, x]
    phi3: dict[str, np.ndarray]
    radii: np.ndarray  # arcsec, of the morphologies
    fwhm: float
    truth: dict[str, np.ndarray]
    at: np.ndarray
    snr: np.ndarray  # of every truth by the local Φ, over all bands
    is_real: np.ndarray
    stars: np.ndarray  # indices of the saturated ones
    excess: np.ndarray  # of the stars, over saturation
    core_px: np.ndarray  # radius of what is masked around each
    reach_px: np.ndarray  # radius at which its light falls to 1 sigma a pixel
    near: dict[str, np.ndarray]  # maps of what lies within NEAR_PX of trails, edges, bad columns, cosmic rays
    distance_px: np.ndarray  # map: to the nearest star
    nearest: np.ndarray  # map: which
    has_data: np.ndarray
    wing: dict[str, np.ndarray]  # variance of the stars' own photons over the sky's, by band
    spike: np.ndarray  # map: the spikes' light above half a sigma a pixel


def moffat(r_px: np.ndarray, fwhm_px: float) -> np.ndarray:
    alpha = fwhm_px / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    return (MOFFAT_BETA - 1) / (np.pi * alpha**2) * (1 + (r_px / alpha) ** 2) ** -MOFFAT_BETA


def stitched(run: Path, band: str, name: str) -> np.ndarray:
    out = None
    for path in sorted((run / "main/coadd").glob("*.h5")):
        with h5py.File(path) as f:
            x0, y0, w, h = f[band].attrs["bbox"]
            part = f[band][name][:]
            if out is None:
                out = np.zeros((*part.shape[:-2], SIDE_PX, SIDE_PX), part.dtype)
            out[..., y0 : y0 + h, x0 : x0 + w] = part
    return out


def exposures_maps(run: Path) -> dict[str, np.ndarray]:
    """Where trails, edges, bad columns and cosmic rays of the single exposures lie on the tract."""
    maps = {name: np.zeros((SIDE_PX, SIDE_PX), bool) for name in ("trail", "edge", "column", "cosmic ray")}
    for path in sorted((run / "main/exposures").glob("*.h5")):
        with h5py.File(path) as f:
            mask, wcs = f["mask"][:], WCS({k: v for k, v in f["wcs"].attrs.items()})
        ny, nx = mask.shape
        bad = mask & 1 > 0
        border = np.zeros_like(bad)
        border[[0, -1]] = border[:, [0, -1]] = True
        columns = np.broadcast_to(bad.mean(axis=0) > 0.5, bad.shape)
        for name, pixels in (("trail", mask & 2 > 0), ("edge", border), ("column", columns), ("cosmic ray", mask & 8 > 0)):
            y, x = np.nonzero(pixels)
            if len(x):
                at = np.rint(tract_pixels(*wcs.all_pix2world(x, y, 0), CENTRE_DEG, SIDE_PX, SCALE)).astype(int)
                at = at[np.all((at >= 0) & (at < SIDE_PX), axis=1)]
                maps[name][at[:, 1], at[:, 0]] = True
    return {name: distance_transform_edt(~m) <= NEAR_PX for name, m in maps.items()}


def sky_of_run(run: Path) -> Sky:
    with h5py.File(run / "main/truth.h5") as f:
        truth = {k: (f["truth"][k].asstr()[:] if f["truth"][k].dtype == object else f["truth"][k][:])
                 for k in ("ra", "dec", "class", "regime", "half_light_radius", "axis_ratio", "position_angle", *(f"{b}_flux" for b in BANDS))}  # fmt: skip
    at = tract_pixels(truth["ra"], truth["dec"], CENTRE_DEG, SIDE_PX, SCALE)
    first = sorted((run / "main/coadd").glob("*.h5"))[0]
    with h5py.File(first) as f:
        fwhm_of = {b: float(f[b].attrs["fwhm_px"]) for b in BANDS}
        radii = np.concatenate([[0.0], f["r"].attrs["half_light_arcsec"]])
        planes = {b: set(f[b]) for b in BANDS}
    fwhm = float(np.mean(list(fwhm_of.values())))
    image = {b: stitched(run, b, "image") for b in BANDS}
    psi = {b: stitched(run, b, "psi") for b in BANDS}
    variance = {b: stitched(run, b, "variance") for b in BANDS}
    phi3 = {b: stitched(run, b, "phi3") for b in BANDS}
    phi = {b: np.concatenate([stitched(run, b, "phi")[None], stitched(run, b, "phi_exponential")]) for b in BANDS}
    pixel = np.clip(np.rint(at).astype(int), 0, SIDE_PX - 1)
    size = truth["half_light_radius"] * np.sqrt(truth["axis_ratio"])
    snr_sq = np.zeros(len(at))
    for b in BANDS:
        of_truth = phi[b][:, pixel[:, 1], pixel[:, 0]]
        local = np.array([np.interp(s, radii, p) for s, p in zip(size, of_truth.T)])
        snr_sq += truth[f"{b}_flux"] ** 2 * local
    regime = truth["regime"]
    stars = np.flatnonzero(regime == "saturated")
    is_light = np.isin(regime, ("halo", "spike"))
    snr = np.sqrt(snr_sq)
    is_real = ((snr >= SEEN) | (regime == "saturated")) & ~is_light
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    has_data = np.any([phi[b][0] > 0 for b in BANDS], axis=0)
    distance, nearest = np.full((SIDE_PX, SIDE_PX), np.inf), np.zeros((SIDE_PX, SIDE_PX), int)
    wing = {b: np.zeros((SIDE_PX, SIDE_PX), np.float32) for b in BANDS}
    sky_sigma = {b: float(np.sqrt(np.median(variance[b][np.isfinite(variance[b])]))) for b in BANDS}
    core, reach = np.zeros(len(stars)), np.zeros(len(stars))
    radius = np.geomspace(0.5, 400, 600)
    # Halos are exponentials of 8" half-light radius.
    scale_px = 8.0 / 1.678 / SCALE
    def stamp(s: int, half: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """Pixels within `half` of an object, and their distance."""
        part = tuple(slice(max(int(at[s, k]) - half, 0), min(int(at[s, k]) + half + 1, SIDE_PX)) for k in (1, 0))
        return part, np.hypot(x[part] - at[s, 0], y[part] - at[s, 1])

    for k, s in enumerate(stars):
        d = np.hypot(x - at[s, 0], y - at[s, 1])
        is_nearer = d < distance
        distance[is_nearer], nearest[is_nearer] = d[is_nearer], k
        (part, d), (core_part, core_d) = stamp(s, 300), stamp(s, 60)
        for b in BANDS:
            flux = truth[f"{b}_flux"][s]
            light = lambda r: flux * (moffat(r, fwhm_of[b]) + 0.003 * np.exp(-r / scale_px) / (2 * np.pi * scale_px**2))
            wing[b][part] += light(d).astype(np.float32)
            reach[k] = max(reach[k], radius[light(radius) > sky_sigma[b]].max(initial=0.0))
            local, usual = phi[b][0][core_part], np.median(phi[b][0])
            masked = [r for r in range(60) if np.median(local[(core_d >= r) & (core_d < r + 1)]) < 0.5 * usual]
            # From the centre outwards, whole rings only: trails are no part of it.
            core[k] = max(core[k], next((r for r in range(60) if r not in masked), 60))
    for b in BANDS:
        # Photons of a light L add L njy_per_electron to a variance v: Φ3/Φ = (Σφ³/Σφ²) njy_per_electron/v.
        r = np.hypot(*np.mgrid[-40:41, -40:41])
        p = moffat(r, fwhm_of[b])
        per_light = np.median((phi3[b] / phi[b][0])[phi[b][0] > 0]) / ((p**3).sum() / (p**2).sum())
        wing[b] *= per_light
    spike = np.zeros((SIDE_PX, SIDE_PX), bool)
    for s in np.flatnonzero(regime == "spike"):
        angle = np.radians(truth["position_angle"][s])
        dx, dy = x - at[s, 0], y - at[s, 1]
        # East of north; east is to lower x.
        along, across = -dx * np.sin(angle) + dy * np.cos(angle), dx * np.cos(angle) + dy * np.sin(angle)
        minor = np.hypot(scale_px * truth["axis_ratio"][s], fwhm / 2.355)
        for b in BANDS:
            light = truth[f"{b}_flux"][s] * np.exp(-np.abs(along) / scale_px) / (2 * scale_px) * np.exp(-0.5 * (across / minor) ** 2) / (2.5 * minor)
            spike |= light > 0.5 * sky_sigma[b]
    excess = np.max([truth[f"{b}_flux"][stars] for b in BANDS], axis=0) / SATURATION_NJY
    return Sky(image, psi, phi, phi3, radii, fwhm, truth, at, snr, is_real, stars, excess, core, reach,
               exposures_maps(run), distance, nearest, has_data, wing, spike)  # fmt: skip


def layers(run: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Settings of the layers, their peaks, their negative peaks."""
    settings, peaks, negative = {}, {}, {}
    for path in sorted((run / "main/layers").glob("*.h5")):
        with h5py.File(path) as f:
            settings = {k: (f["layers"][k].asstr()[:] if f["layers"][k].dtype == object else f["layers"][k][:]) for k in f["layers"]}
            for name in ("x", "y", "significance", "layer", "fate", "saddle_significance", "covariance"):
                peaks.setdefault(name, []).append(f["peaks"][name][:])
            n = np.diff(f["negative_peaks/offsets"][:])
            negative.setdefault("layer", []).append(np.repeat(np.arange(len(n)), n))
            for name in ("x", "y", "significance"):
                negative.setdefault(name, []).append(f["negative_peaks"][name][:])
    return settings, {k: np.concatenate(v) for k, v in peaks.items()}, {k: np.concatenate(v) for k, v in negative.items()}


def objects(run: Path) -> dict[str, np.ndarray]:
    """Objects of all parents: places, significance, layer, log odds and conditional significance."""
    out: dict[str, list[np.ndarray]] = {}
    for path in sorted((run / "main/parents").glob("*.h5")):
        with h5py.File(path) as f:
            d = f["decisions"]
            founded = d["decision"][:] == 0
            for name in ("x", "y", "significance", "layer", "seen_in"):
                out.setdefault(name, []).append(d["peaks"][name][:][founded])
            for name in ("saddle", "saddle_significance"):
                out.setdefault(name, []).append(d["peaks"][name][:][founded])
            for name in ("log_odds", "conditional_significance"):
                out.setdefault(name, []).append(d[name][:][founded])
    return {k: np.concatenate(v) for k, v in out.items()}


def is_false(sky: Sky, at: np.ndarray, significance: np.ndarray, group: np.ndarray, broadening: np.ndarray) -> np.ndarray:
    """Nothing real is there; of those on a saturated star's masked core the highest of each group (layer) stands for the star."""
    real = np.flatnonzero(sky.is_real)
    size_px = sky.truth["half_light_radius"][real] / SCALE
    allowed = MATCH * sky.fwhm * np.maximum(1.0, 0.75 * broadening)
    tree, out = cKDTree(sky.at[real]), np.ones(len(at), bool)
    for i, near in enumerate(tree.query_ball_point(at, allowed + 2 * sky.fwhm)):
        d = np.hypot(*(sky.at[real[near]] - at[i]).T)
        is_star = sky.truth["regime"][real[near]] == "saturated"
        out[i] = not np.any((d <= allowed[i] + np.minimum(size_px[near], 2 * sky.fwhm)) & ~is_star)
    for k, s in enumerate(sky.stars):
        d = np.hypot(*(at - sky.at[s]).T)
        on = np.flatnonzero(out & (d <= np.maximum(sky.core_px[k] + sky.fwhm, allowed)))
        for g in np.unique(group[on]):
            mine = on[group[on] == g]
            out[mine[np.argmax(significance[mine])]] = False
    return out


def value(plane: np.ndarray, at: np.ndarray) -> np.ndarray:
    p = np.clip(np.rint(at).astype(int), 0, SIDE_PX - 1)
    return plane[p[:, 1], p[:, 0]]


def inside(at: np.ndarray) -> np.ndarray:
    return np.all((at > MARGIN_PX) & (at < SIDE_PX - 1 - MARGIN_PX), axis=1)


def poisson(n: int, area: float, unit: str = "") -> str:
    """Rate with the 68 % interval of a Poisson mean, as a symmetric error."""
    low, high = (chi2.ppf(0.1587, 2 * n) / 2 if n else 0.0), chi2.ppf(0.8413, 2 * n + 2) / 2
    return f"{n / area:7.2f} ± {(high - low) / 2 / area:.2f}{unit}" if area > 0 else "      -      "


LIGHT = (0.0, 0.02, 0.1, 0.3, 1.0, np.inf)  # the stars' smooth light, sigma of a pixel of the coadd


def starlight(sky: Sky) -> np.ndarray:
    """Light of stars, halos and spikes over the sigma of a pixel, the largest of the bands."""
    r = np.hypot(*np.mgrid[-40:41, -40:41])
    p = moffat(r, sky.fwhm)
    out = np.zeros((SIDE_PX, SIDE_PX))
    for b in BANDS:
        good = sky.phi[b][0] > 0
        per_light = np.median(sky.phi3[b][good] / sky.phi[b][0][good]) / ((p**3).sum() / (p**2).sum())
        sigma = np.sqrt((p**2).sum() / np.median(sky.phi[b][0]))
        out = np.maximum(out, sky.wing[b] / per_light / sigma)
    return np.where(sky.spike, np.maximum(out, 0.5), out)


def zones(sky: Sky) -> dict[str, np.ndarray]:
    """Maps: rings about the stars, then trails, edges and columns outside of 20", and what is left."""
    arcsec = sky.distance_px * SCALE
    ring = lambda lo, hi: sky.has_data & (arcsec >= lo) & (arcsec < hi)
    out = {f'{lo:g}-{hi:g}"' if np.isfinite(hi) else f'> {lo:g}"': ring(lo, hi) for lo, hi in zip(RINGS, RINGS[1:])}
    relative = sky.distance_px / sky.reach_px[sky.nearest]
    for lo, hi in zip(REACHES, REACHES[1:]):
        out[f"{lo:g}-{hi:g} r1" if np.isfinite(hi) else f"> {lo:g} r1"] = sky.has_data & (relative >= lo) & (relative < hi)
    light = starlight(sky)
    for lo, hi in zip(LIGHT, LIGHT[1:]):
        out[f"light {lo:g}-{hi:g}"] = sky.has_data & (light >= lo) & (light < hi) & (sky.distance_px > sky.core_px[sky.nearest] + 1.5 * sky.fwhm)
    off_core = sky.has_data & (sky.distance_px > sky.core_px[sky.nearest] + 1.5 * sky.fwhm)
    out["spikes"] = off_core & sky.spike
    # In what follows no star has light.
    far = sky.has_data & (light < LIGHT[1])
    out["trails"] = far & sky.near["trail"]
    free = far & ~sky.near["trail"]
    out["edges"] = free & sky.near["edge"]
    out["bad columns"] = free & sky.near["column"] & ~sky.near["edge"]
    out["cosmic rays"] = free & sky.near["cosmic ray"] & ~sky.near["edge"] & ~sky.near["column"]
    out["elsewhere"] = free & ~sky.near["edge"] & ~sky.near["column"] & ~sky.near["cosmic ray"]
    edge = np.zeros_like(far)
    edge[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = True
    return {k: v & edge for k, v in out.items()}


@dataclass
class Found:
    """Peaks or objects with the verdict."""

    at: np.ndarray
    significance: np.ndarray
    group: np.ndarray
    false: np.ndarray
    more: dict[str, np.ndarray]


def of_peaks(sky: Sky, run: Path) -> tuple[Found, Found, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Good peaks, negative peaks, the layers, and the peaks that are put down to masked pixels."""
    settings, peaks, negative = layers(run)
    masked = {k: v[peaks["fate"] == 1] for k, v in peaks.items()}
    found = []
    for p in (peaks, negative):
        keep = inside(np.column_stack([p["x"], p["y"]])) & (p["fate"] == 0 if "fate" in p else True)
        p = {k: v[keep] for k, v in p.items()}
        at = np.column_stack([p["x"], p["y"]])
        broadening = settings["broadening"][p["layer"]]
        false = is_false(sky, at, p["significance"], p["layer"], broadening) if "fate" in p else np.ones(len(at), bool)
        found.append(Found(at, p["significance"], p["layer"], false, p))
    return found[0], found[1], settings, masked


def of_objects(sky: Sky, run: Path, settings: dict[str, np.ndarray]) -> Found:
    o = objects(run)
    at = np.column_stack([o["x"], o["y"]])
    o, at = {k: v[inside(at)] for k, v in o.items()}, at[inside(at)]
    false = is_false(sky, at, o["significance"], np.zeros(len(at), int), np.sqrt(settings["broadening"][o["layer"]]))
    return Found(at, o["significance"], o["layer"], false, o)


def table_of_rates(sky: Sky, peaks: Found, negative: Found, settings: dict[str, np.ndarray], by_rules: dict[str, Found]) -> list[str]:
    maps = zones(sky)
    px = (SCALE / 60) ** 2
    radii = np.unique(settings["half_light"])
    heads = [f'peaks {r:g}"' for r in radii] + [f'negative {r:g}"' for r in radii] + [f"objects {k}" for k in by_rules]
    lines = ["False per arcmin2 (number): peaks and negative peaks are means over the 7 layers of a morphology", f"{'zone':14} {'arcmin2':>8} " + " ".join(f"{h:>26}" for h in heads)]
    n_seds = len(settings["half_light"]) / len(radii)
    for name, zone in maps.items():
        area = zone.sum() * px
        cells = []
        for f in (peaks, negative):
            within = value(zone, f.at) & f.false
            for r in radii:
                n = int((within & (settings["half_light"][f.group] == r)).sum())
                cells.append(f"{poisson(n, area * n_seds)} ({n})")
        for f in by_rules.values():
            n = int((value(zone, f.at) & f.false).sum())
            cells.append(f"{poisson(n, area)} ({n})")
        lines.append(f"{name:14} {area:8.3f} " + " ".join(f"{c:>26}" for c in cells))
    return lines


def one_to_one(truth_at: np.ndarray, at: np.ndarray, radius: float) -> np.ndarray:
    """For every truth the object within the radius, the nearest pairs first; -1 without."""
    of_truth, taken = np.full(len(truth_at), -1), np.zeros(len(at), bool)
    pairs = cKDTree(truth_at).sparse_distance_matrix(cKDTree(at), radius, output_type="coo_matrix")
    for k in np.argsort(pairs.data, kind="stable"):
        i, j = pairs.row[k], pairs.col[k]
        if of_truth[i] < 0 and not taken[j]:
            of_truth[i], taken[j] = j, True
    return of_truth


SNR_EDGES = np.array([5, 6, 7, 8, 10, 13, 18, 26, 40, np.inf])


def completeness(sky: Sky, by_rules: dict[str, Found]) -> list[str]:
    """Of true point sources by distance from the nearest saturated star, beside what those far away of the same S/N have."""
    real = np.flatnonzero(sky.is_real)
    point = (sky.truth["half_light_radius"][real] == 0) & (sky.truth["regime"][real] != "saturated") & inside(sky.at[real])
    arcsec = value(sky.distance_px, sky.at[real]) * SCALE
    relative = arcsec / SCALE / sky.reach_px[value(sky.nearest, sky.at[real])]
    # With the stars' own photons in the noise.
    pixel = np.clip(np.rint(sky.at[real]).astype(int), 0, SIDE_PX - 1)
    snr_sq = np.zeros(len(real))
    for b in BANDS:
        snr_sq += sky.truth[f"{b}_flux"][real] ** 2 * sky.phi[b][0][pixel[:, 1], pixel[:, 0]] / (1 + sky.wing[b][pixel[:, 1], pixel[:, 0]])
    lines = []
    for rules, f in by_rules.items():
        found = one_to_one(sky.at[real], f.at, 0.75 * sky.fwhm) >= 0
        for label, snr in (("local Φ", sky.snr[real]), ("with the stars' photons", np.sqrt(snr_sq))):
            use = point & (snr >= SNR_EDGES[0])
            far = use & (arcsec > BLANK_ARCSEC)
            bins = np.digitize(snr, SNR_EDGES) - 1
            share = np.array([found[far & (bins == k)].mean() for k in range(len(SNR_EDGES) - 1)])
            if label == "local Φ":
                lines.append(f"{rules}: found beyond 20\": " + ", ".join(
                    f"S/N {lo:g}-{hi:g} {100 * share[k]:.0f} % of {(far & (bins == k)).sum()}" for k, (lo, hi) in enumerate(zip(SNR_EDGES, SNR_EDGES[1:]))))  # fmt: skip
            for name, groups in (('"', (arcsec, RINGS)), (" r1", (relative, REACHES))):
                for lo, hi in zip(groups[1], groups[1][1:]):
                    inside_ring = use & (groups[0] >= lo) & (groups[0] < hi)
                    n, k, expected = int(inside_ring.sum()), int(found[inside_ring].sum()), share[bins[inside_ring]]
                    if n:
                        error = np.sqrt(max(k / n * (1 - k / n), 1 / n) / n)
                        lines.append(f"  S/N {label:24} {f'{lo:g}-{hi:g}' + name:12} {k:4} of {n:4}: {100 * k / n:6.2f} ± {100 * error:.2f} %, as far away {100 * expected.mean():6.2f} %")
    return lines


def causes(sky: Sky, f: Found) -> tuple[list[str], np.ndarray]:
    """What is at each false one, the first that fits."""
    d_px, nearest, light = value(sky.distance_px, f.at), value(sky.nearest, f.at), value(starlight(sky), f.at)
    photons = np.max([value(sky.wing[b], f.at) for b in BANDS], axis=0)
    near = {k: value(m, f.at) for k, m in sky.near.items()}
    fitting = {
        "around a masked core": d_px <= sky.core_px[nearest] + 1.5 * sky.fwhm,
        "spike": value(sky.spike, f.at),
        "halo, its photons a quarter of the sky's or more": (light >= LIGHT[1]) & (photons > 0.25),
        "halo and a trail": (light >= LIGHT[1]) & near["trail"],
        "halo": light >= LIGHT[1],
        "trail": near["trail"],
        "edge, bad column": near["edge"] | near["column"],
        "nothing": np.ones(len(f.at), bool),
    }
    name = np.full(len(f.at), "", dtype="U64")
    for k, fits in fitting.items():
        name[(name == "") & fits] = k
    return [f"{k}: {(f.false & (name == k)).sum()}" for k in fitting], name


def pictures(sky: Sky, peaks: Found, settings: dict[str, np.ndarray], by_rules: dict[str, Found], figure: str) -> list[str]:
    """The four stars with most false objects within 20": r, peaks of all layers, objects that are true and false."""
    ours = by_rules["likelihood"]
    mine = ours.false & (value(sky.distance_px, ours.at) * SCALE < BLANK_ARCSEC)
    counts = np.bincount(value(sky.nearest, ours.at)[mine], minlength=len(sky.stars))
    worst = np.argsort(-counts, kind="stable")[:4]
    fig, axes = plt.subplots(2, 2, figsize=(15, 15), dpi=75)
    half = 110
    noise = np.nanstd(sky.image["r"][np.abs(sky.image["r"]) < 3 * np.nanmedian(np.abs(sky.image["r"]))])
    for ax, k in zip(axes.flat, worst):
        x, y = sky.at[sky.stars[k]]
        ax.imshow(np.arcsinh(sky.image["r"] / noise), cmap="gray_r", vmin=-1, vmax=7, origin="lower", interpolation="nearest")
        for r, colour in zip(np.unique(settings["half_light"]), ("tab:blue", "tab:cyan", "tab:olive", "tab:pink")):
            of = settings["half_light"][peaks.group] == r
            ax.plot(*peaks.at[of].T, ".", ms=3, color=colour, label=f'peaks {r:g}"')
        ax.plot(*ours.at[~ours.false].T, "o", ms=10, mfc="none", mec="tab:green", label="true objects")
        ax.plot(*ours.at[ours.false].T, "x", ms=9, color="tab:red", mew=1.6, label="false, likelihood")
        theirs = by_rules["lsst"]
        ax.plot(*theirs.at[theirs.false].T, "+", ms=9, color="tab:orange", mew=1.4, label="false, LSST")
        ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), title=f"{sky.excess[k]:.1f} x saturation, {counts[k]} false by likelihood")
    axes[0, 0].legend(loc="upper left", fontsize=8)
    fig.tight_layout()
    fig.savefig(figure)
    return [f"worst stars: " + ", ".join(f"{sky.excess[k]:.1f} x saturation at ({sky.at[sky.stars[k], 0]:.0f}, {sky.at[sky.stars[k], 1]:.0f}): {counts[k]} false" for k in worst)]


def true_objects(sky: Sky, f: Found) -> np.ndarray:
    """Objects that a true source of S/N 5 has for its own."""
    of_truth = one_to_one(sky.at[np.flatnonzero(sky.is_real & (sky.snr >= 5))], f.at, 0.75 * sky.fwhm)
    true = np.zeros(len(f.at), bool)
    true[of_truth[of_truth >= 0]] = True
    return true


def roundness(sky: Sky, peaks: Found, settings: dict[str, np.ndarray]) -> list[str]:
    """Curvature of peaks along their flatter axis, over l2 of their layer [sigma]: layers of points."""
    xx, xy, yy = peaks.more["covariance"].T
    widest = 0.5 * (xx + yy) + np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    k = 1 / np.sqrt(settings["l2"][peaks.group] * widest)
    known = np.isfinite(widest) & (settings["half_light"][peaks.group] == 0) & (value(sky.distance_px, peaks.at) > sky.core_px[value(sky.nearest, peaks.at)] + sky.fwhm)
    spike, light = value(sky.spike, peaks.at), value(starlight(sky), peaks.at) >= LIGHT[1]
    lines = []
    for name, which in (("false, on spikes", peaks.false & spike), ("false, in other starlight", peaks.false & ~spike & light), ("not false, in starlight", ~peaks.false & light)):
        for lo, hi in ((5, 7), (7, 10), (10, 20), (20, 40)):
            m = known & which & (peaks.significance >= lo) & (peaks.significance < hi)
            if m.sum() > 10:
                low, median, high = np.percentile(k[m], (5, 50, 95))
                lines.append(f"  {name:26} {lo:2}-{hi} sigma, {m.sum():5}: median {median:5.2f}, 5 % below {low:5.2f}, 95 % below {high:5.2f}; of the height {np.median(k[m] / peaks.significance[m]):.2f}")
    return lines


def lost(sky: Sky, by_rules: dict[str, Found], peaks: Found, masked: dict[str, np.ndarray]) -> list[str]:
    """True point sources of S/N 10 by the local Φ that have no object: what is there in the layers."""
    real = np.flatnonzero(sky.is_real)
    regime = sky.truth["regime"][real]
    use = (sky.truth["half_light_radius"][real] == 0) & (regime != "saturated") & (sky.snr[real] >= 10) & inside(sky.at[real])
    arcsec = value(sky.distance_px, sky.at[real]) * SCALE
    masked_at = np.column_stack([masked["x"], masked["y"]])
    at_peak = cKDTree(peaks.at).query(sky.at[real])[0] <= 0.75 * sky.fwhm
    near_masked = cKDTree(masked_at).query_ball_point(sky.at[real], 0.75 * sky.fwhm)
    deepest = np.array([masked["saddle_significance"][n].max(initial=-1.0) if n else -1.0 for n in near_masked])
    lines = []
    for rules, f in by_rules.items():
        found = one_to_one(sky.at[real], f.at, 0.75 * sky.fwhm) >= 0
        for lo, hi in zip(RINGS, RINGS[1:]):
            ring = use & (arcsec >= lo) & (arcsec < hi)
            m = ring & ~found
            by_mask = m & ~at_peak & (deepest >= 0)
            lines.append(f'  {rules:24} {lo:g}-{hi:g}": {m.sum():3} of {ring.sum():3} lost: {(m & at_peak).sum()} have a good peak, {by_mask.sum()} one put down to masked pixels '
                f"(dip of 5 sigma: {(by_mask & (deepest >= 5)).sum()}), {(m & ~at_peak & (deepest < 0)).sum()} none in any layer")  # fmt: skip
    tree, light = cKDTree(sky.at[real]), value(sky.distance_px, masked_at) * SCALE
    true = tree.query(masked_at)[0] <= 0.75 * sky.fwhm
    for c in (0, 3, 5, 7, 10):
        deep = masked["saddle_significance"] >= c
        lines.append(f"  peaks put down to masked pixels with a dip of {c:g} sigma: {(deep & true).sum()} at a truth, {(deep & ~true).sum()} at none; "
            f"places: {len(np.unique(np.rint(masked_at[deep & true] / sky.fwhm), axis=0))} and {len(np.unique(np.rint(masked_at[deep & ~true] / sky.fwhm), axis=0))}; beyond 2\" {(deep & true & (light > 2)).sum()} and {(deep & ~true & (light > 2)).sum()}")  # fmt: skip
    return lines


def without_smooth_light(sky: Sky, run: Path) -> list[str]:
    """Maxima of the free-SED point layer above 5.5 sigma as it is, and with the median B of ν, or of Ψ/Ω, over a square of 4.4" taken off: ν - B, (Ψ - B Ω)/√Φ."""
    real = np.flatnonzero(sky.is_real)
    bright = (sky.truth["half_light_radius"][real] == 0) & (sky.truth["regime"][real] != "saturated") & (sky.snr[real] >= 10) & inside(sky.at[real])
    arcsec = value(sky.distance_px, sky.at[real]) * SCALE
    light, lines = starlight(sky), []
    off_core = sky.distance_px > sky.core_px[sky.nearest] + 1.5 * sky.fwhm
    for name in ("as it is", "ν - B", "(Ψ - B Ω)/√Φ"):
        square = np.zeros((SIDE_PX, SIDE_PX))
        for b in BANDS:
            phi = sky.phi[b][0]
            nu = np.where(phi > 0, sky.psi[b] / np.sqrt(np.where(phi > 0, phi, 1)), 0)
            if name.startswith("(Ψ"):
                omega = stitched(run, b, "omega")
                good = (phi > 0) & (omega > 0)
                level = np.where(good, sky.psi[b] / np.where(good, omega, 1), 0)
                nu = nu - np.kron(median_filter(level[::2, ::2], 11), np.ones((2, 2))) * omega / np.sqrt(np.where(phi > 0, phi, np.inf))
            elif name != "as it is":
                nu = nu - np.kron(median_filter(nu[::2, ::2], 11), np.ones((2, 2)))
            square += np.maximum(nu, 0) ** 2
        t = np.sqrt(square)
        y, x = np.nonzero((t == maximum_filter(t, 3)) & (t > 5.5))
        at = np.column_stack([x, y]).astype(float)
        at, height = at[inside(at)], t[y, x][inside(at)]
        false = is_false(sky, at, height, np.zeros(len(at), int), np.ones(len(at)))
        here, lit = value(off_core, at), value(light, at) >= LIGHT[1]
        found = cKDTree(at).query(sky.at[real])[0] <= 0.75 * sky.fwhm
        kept = ", ".join(f'{lo:g}-{hi:g}": {(bright & found & (arcsec >= lo) & (arcsec < hi)).sum()} of {(bright & (arcsec >= lo) & (arcsec < hi)).sum()}' for lo, hi in zip(RINGS, RINGS[1:]))
        lines.append(f"  {name:16} {(false & here & lit).sum():4} false in the stars' light, {(false & here & ~lit).sum()} out of it, {(false & ~here).sum()} around cores; truths of S/N 10 with a maximum: {kept}")
    return lines


def main() -> None:
    if sys.argv[1] == "--sky":
        sky(Path(sys.argv[2]))
        return
    figure, runs = sys.argv[1], dict(zip(("likelihood", "lsst"), map(Path, sys.argv[2:4])))
    field = sky_of_run(runs["likelihood"])
    peaks, negative, settings, masked = of_peaks(field, runs["likelihood"])
    by_rules = {k: of_objects(field, run, settings) for k, run in runs.items()}
    excess = np.sort(field.excess)[::-1]
    print(f"{len(field.stars)} saturated stars, {excess[0]:.0f} to {excess[-1]:.2f} times saturation, median {np.median(excess):.1f}; FWHM {field.fwhm * SCALE:.2f}\"; "
          f"masked cores to {field.core_px.max() * SCALE:.1f}\", median {np.median(field.core_px) * SCALE:.1f}\"; "
          f"r1 {field.reach_px.min() * SCALE:.1f} to {field.reach_px.max() * SCALE:.1f}\"")  # fmt: skip
    print(f"true sources of S/N {SEEN:g}: {field.is_real.sum()}\n")
    print("\n".join(table_of_rates(field, peaks, negative, settings, by_rules)))
    print("\nFalse ones by what is there (the first that fits)")
    for k, f in by_rules.items():
        near = value(starlight(field), f.at) >= LIGHT[1]
        print(f"objects {k}: {f.false.sum()} of {len(f.at)}, in the stars' light {(f.false & near).sum()}, {(f.false & near).sum() / len(field.stars):.1f} a star; "
              f"true {(true_objects(field, f) & near).sum()} in the light, {(true_objects(field, f) & ~near).sum()} out of it; " + ", ".join(causes(field, f)[0]))
    print(f"peaks of all layers: {peaks.false.sum()} of {len(peaks.at)}; " + ", ".join(causes(field, peaks)[0]))
    print("\nTrue point sources of S/N 5 found by distance from the nearest saturated star")
    print("\n".join(completeness(field, by_rules)))
    print("\nCurvature of peaks along their flatter axis [sigma]; noise on a ridge: median 2.04, 5 % below 0.55, 95 % below 4.24")
    print("\n".join(roundness(field, peaks, settings)))
    print("\nLost ones of S/N 10")
    print("\n".join(lost(field, by_rules, peaks, masked)))
    print("\nMaxima of the free-SED point layer, smooth light taken off")
    print("\n".join(without_smooth_light(field, runs["likelihood"])))
    print()
    print("\n".join(pictures(field, peaks, settings, by_rules, figure)))


if __name__ == "__main__":
    main()
