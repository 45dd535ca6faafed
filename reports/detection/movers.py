"""Movers of the ladder of velocities beside the truth.

movers.py PICTURE RUN ...     all figures
movers.py brief RUN ...       what is found and what is not, of movers that the run's ladder reaches
"""

import json
import sys
import tomllib
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from astropy.wcs import WCS
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_dilation
from scipy.optimize import minimize
from scipy.stats import ncx2

SPEEDS = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0]
# What detection has in its code: a mover's own stacks are looked for within so many FWHM of it; least sqrt(g) of a subtracted stack.
APART_FWHM, MIN_LEFT = 3.0, 0.85


def tract_wcs(config: dict) -> WCS:
    m = config["sky_map"]
    wcs = WCS(naxis=2)
    n = m["cell_px"] * np.array(m["tract_cells"])
    s = m["pixel_scale_arcsec"] / 3600
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [m["ra_deg"], m["dec_deg"]]
    wcs.wcs.crpix = (n - 1) / 2 + 1
    wcs.wcs.cd = [[-s, 0], [0, s]]
    return wcs


def binomial(k: int, n: int) -> str:
    if n == 0:
        return "none"
    p = (k + 0.5) / (n + 1)
    return f"{100 * k / n:.1f} ± {100 * np.sqrt(p * (1 - p) / n):.1f} % of {n}"


def disc(radius: int) -> np.ndarray:
    j, i = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return i * i + j * j <= radius * radius


class Stacks:
    """The maps of the windows, with static sources left out or the mean taken off, as detection makes them."""

    def __init__(self, psi: np.ndarray, phi: np.ndarray, t: np.ndarray, settings: dict, fwhm_px: float, l2: float) -> None:
        self.t, self.l2 = t, l2
        whole_psi, whole_phi = psi.sum(0, dtype=float), phi.sum(0, dtype=float)
        self.still = whole_psi / np.sqrt(np.maximum(whole_phi, 1e-30))
        grown = lambda level: binary_dilation(np.abs(self.still) > level, disc(round(fwhm_px)))
        self.static, self.bright = grown(settings["static_threshold"]), grown(max(settings["bright_threshold"], settings["static_threshold"]))
        less = (psi - phi * (whole_psi / np.maximum(whole_phi, 1e-30))).astype(np.float32)
        self.maps = {
            "all": (psi, phi),
            "masked": (np.where(self.static, 0, psi), np.where(self.static, 0, phi)),
            "subtracted": (np.where(self.bright, 0, less), np.where(self.bright, 0, phi)),
        }
        self.weight = phi.mean((1, 2), dtype=float)

    def left(self, v: np.ndarray) -> float:
        """Share of a mover's variance of signal that is left when the mean is taken off."""
        w = self.weight / self.weight.sum()
        lag2 = (self.t[:, None] - self.t[None, :]) ** 2 * (v[0] ** 2 + v[1] ** 2)
        return max(0.0, 1 - float(w @ np.exp(-0.5 * self.l2 * lag2) @ w))

    def height(self, kind: str, p: np.ndarray, t: np.ndarray | None = None) -> float:
        psi, phi = self.maps[kind]
        t = self.t if t is None else t
        x, y = p[0] + p[2] * t, p[1] + p[3] * t
        i, j = np.rint(x).astype(int), np.rint(y).astype(int)
        k = np.flatnonzero((i >= 1) & (j >= 1) & (i < psi.shape[2] - 1) & (j < psi.shape[1] - 1))
        k = k[phi[k, j[k], i[k]] > 0]
        # What lies beside pixels that are left out is taken as it was.
        values = self.maps["subtracted" if kind == "subtracted" else "all"][0]
        u, w = x[k] - i[k], y[k] - j[k]
        of = lambda u: np.array([u * (u - 1) / 2, 1 - u * u, u * (u + 1) / 2])
        total = sum(of(w)[b] * of(u)[a] * values[k, j[k] + b - 1, i[k] + a - 1] for a in range(3) for b in range(3)).sum()
        depth = float(phi[k, j[k], i[k]].sum())
        left = self.left(p[2:]) if kind == "subtracted" else 1.0
        return total / np.sqrt(left * depth) if depth > 0 and left > 0 else 0.0

    def best(self, kind: str, p: np.ndarray, fwhm_px: float) -> tuple[float, np.ndarray]:
        """The highest peak within about an FWHM of a track, at its ends too."""
        half = np.abs(self.t).max()
        scale = np.array([1, 1, 1 / half, 1 / half])
        minus = lambda q: -self.height(kind, p + np.clip(q, -fwhm_px, fwhm_px) * scale)
        simplex = np.vstack([np.zeros(4), 1.2 * np.eye(4)])
        found = minimize(minus, np.zeros(4), method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-3, "maxiter": 400})
        return -found.fun, p + np.clip(found.x, -fwhm_px, fwhm_px) * scale


def read(run: Path) -> dict:
    config = tomllib.loads((run / "config.toml").read_text())
    settings = config["detect"]["movers"]
    wcs, scale = tract_wcs(config), config["sky_map"]["pixel_scale_arcsec"]
    fwhm_px = config["sky"]["movers"]["fwhm_arcsec"] / scale
    # Patches whose layers are there, side by side; the rest has no data.
    nx, ny = config["sky_map"]["cell_px"] * np.array(config["sky_map"]["tract_cells"])
    parts = []
    done = np.zeros((ny, nx), bool)
    for path in sorted((run / "main/coadd").glob("*.h5")):
        layers = run / "main/layers" / path.name
        with h5py.File(path) as f:
            x0, y0, width, height = f["i"].attrs["bbox"]
            at = np.s_[y0 : y0 + height, x0 : x0 + width]
            if not parts:
                names, tract_fwhm = sorted(f["i/windows"], key=int), float(f["i"].attrs["fwhm_px"])
                begins = np.array([[f["i/windows"][k].attrs[a] for a in ("first_mjd", "last_mjd")] for k in names])
                means = np.array([f["i/windows"][k].attrs["mean_mjd"] for k in names])
                exposed, seeing = f["i/input_exposures/mjd"][:], f["i/input_exposures/fwhm"][:]
                psi, phi = np.zeros((2, len(names), ny, nx), np.float32)
            for k, name in enumerate(names):
                psi[k][at], phi[k][at] = f["i/windows"][name]["psi"][:], f["i/windows"][name]["phi"][:]
        if layers.exists():
            with h5py.File(layers) as f:
                parts.append({k: f["movers"][k][:] for k in ("x", "y", "significance", "velocity")})
                l2 = float(f["layers"]["l2"][0])
            done[at] = True
    found = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    of = [(exposed >= begin) & (exposed < end) for begin, end in begins]
    mjd, sharp = np.array([exposed[o].mean() for o in of]), np.array([(seeing[o] ** -2.0).mean() for o in of])
    middle = (begins.min() + begins.max()) / 2
    t = means - middle
    stacks = Stacks(psi, phi, t, settings, tract_fwhm, l2)
    with h5py.File(run / "main/truth.h5") as f:
        truth = {k: f["truth"][k][:] for k in ("ra", "dec", "pm_ra", "pm_dec", "epoch", "i_flux", "regime")}
    years = (middle - truth["epoch"]) / 365.25
    x, y = wcs.all_world2pix(
        truth["ra"] + years * truth["pm_ra"] / 3.6e6 / np.cos(np.radians(truth["dec"])), truth["dec"] + years * truth["pm_dec"] / 3.6e6, 0
    )
    v = np.column_stack([-truth["pm_ra"], truth["pm_dec"]]) / 365.25 / 1000 / scale
    moves = truth["regime"] == b"slow"
    depth = np.median(phi.sum(0))
    stars = {"x": x[~moves], "y": y[~moves], "snr": truth["i_flux"][~moves] * np.sqrt(depth)}
    n = int(moves.sum())
    out = {
        "run": run, "settings": settings, "fwhm": fwhm_px, "l2": l2, "t": t, "found": found, "stacks": stacks, "stars": stars,
        "x": x[moves], "y": y[moves], "v": v[moves], "flux": truth["i_flux"][moves], "late": float(np.mean(mjd - begins.mean(1))),
        "window_jitter": float(np.std(mjd - begins.mean(1))), "done": done, "scale": scale, "tract_fwhm": tract_fwhm,
    }
    # Along the true paths, at the true times.
    true_t = mjd - middle
    l2_of = l2 * sharp * phi.sum() / (phi.sum((1, 2)) @ sharp)
    strong = stars["snr"] > 5
    keys = ("inside", "snr", "snr_masked", "masked", "bright", "info", "place_info", "on_truth", "star_px")
    for key in keys:
        out[key] = np.zeros(n)
    for k in range(n):
        px, py = out["x"][k] + out["v"][k, 0] * true_t, out["y"][k] + out["v"][k, 1] * true_t
        i, j = np.rint(px).astype(int), np.rint(py).astype(int)
        out["inside"][k] = ((i >= 2) & (i < nx - 2) & (j >= 2) & (j < ny - 2)).all() and done[round(out["y"][k]), round(out["x"][k])]
        i, j = i.clip(0, nx - 1), j.clip(0, ny - 1)
        of = np.arange(len(t))
        weight, good = phi[of, j, i].astype(float), ~stacks.static[j, i]
        out["snr"][k], out["snr_masked"][k] = out["flux"][k] * np.sqrt([weight.sum(), (weight * good).sum()])
        out["masked"][k], out["bright"][k] = 1 - good.mean(), stacks.bright[j, i].mean()
        # Information on position and velocity, an axis: each with the other unknown.
        fisher = np.array([[(l2_of * weight * t ** (a + b)).sum() for a in range(2)] for b in range(2)])
        bound = np.linalg.inv(fisher * out["flux"][k] ** 2)
        out["place_info"][k], out["info"][k] = 1 / np.diag(bound)
        out["on_truth"][k] = stacks.height("masked", np.array([out["x"][k], out["y"][k], *out["v"][k]]), true_t)
        d = np.hypot(px[:, None] - stars["x"][strong], py[:, None] - stars["y"][strong])
        out["star_px"][k] = d.min() if d.size else np.inf
    out["left"] = np.array([stacks.left(w) for w in out["v"]])
    out["speed"] = np.hypot(*out["v"].T) / fwhm_px
    out["inside"] = out["inside"] > 0
    return out


def match(r: dict) -> None:
    """One to one, the most significant first: within an FWHM in the middle, 1.5 at the ends."""
    f, half = r["found"], np.abs(r["t"]).max()
    r["taken"], r["of"] = np.full(len(r["x"]), -1), np.full(len(f["x"]), -1)
    for i in np.argsort(-f["significance"]):
        d = np.hypot(f["x"][i] - r["x"], f["y"][i] - r["y"])
        dv = np.hypot(*(f["velocity"][i] - r["v"]).T) * half
        score = np.where((r["taken"] >= 0) | (d > r["fwhm"]) | (dv > 1.5 * r["fwhm"]), np.inf, d + dv)
        if np.isfinite(score).any():
            r["of"][i] = k = int(score.argmin())
            r["taken"][k] = i


def missed(r: dict, k: int) -> tuple[str, float]:
    """Prints what is near a mover that was not found; returns why, and the highest peak near it."""
    s, limits = r["stacks"], r["settings"]
    track = np.array([r["x"][k], r["y"][k], *r["v"][k]])
    best = {kind: s.best(kind, track, r["fwhm"]) for kind in ("all", "masked", "subtracted")}
    if s.left(r["v"][k]) ** 0.5 < MIN_LEFT:
        del best["subtracted"]
    searched = {kind: b for kind, b in best.items() if kind != "all"}
    kind = max(searched, key=lambda q: searched[q][0])
    height, at = searched[kind]
    unmoved = s.height(kind, np.array([at[0], at[1], 0, 0])) if kind == "masked" else 0.0
    motion = np.sqrt(max(0.0, height**2 - max(unmoved, 0.0) ** 2))
    d = np.hypot(r["found"]["x"] - r["x"][k], r["found"]["y"] - r["y"][k])
    others = np.hypot(r["x"] - r["x"][k], r["y"] - r["y"][k])
    others[k] = np.inf
    stars = np.hypot(r["stars"]["x"] - r["x"][k], r["stars"]["y"] - r["y"][k])
    near_star = np.flatnonzero((stars < APART_FWHM * r["fwhm"]) & (r["stars"]["snr"] > 4))
    if best["all"][0] < limits["threshold"]:
        why = "noise"
    elif height < limits["threshold"]:
        why = "left out"
    elif motion < limits["motion_threshold"]:
        why = "may stand still"
    elif near_star.size:
        why = "beside a star"
    elif others.min() < APART_FWHM * r["fwhm"]:
        why = "beside another mover"
    else:
        # Noise may make a higher peak of less motion beside it, which hides it.
        slower, at = s.best("masked", np.array([*at[:2], 0, 0]), r["fwhm"])
        still = s.height("masked", np.array([*at[:2], 0, 0]))
        is_hidden = slower > height and slower**2 - max(still, 0.0) ** 2 < limits["motion_threshold"] ** 2
        why = f"hidden by a peak that may stand still ({slower:.2f}, ν₀ {still:.2f})" if is_hidden else "not found"
    heights = ", ".join(f"{q} {b[0]:.2f}" for q, b in best.items())
    print(
        f"    ({r['x'][k]:.0f}, {r['y'][k]:.0f}) {r['speed'][k]:.2f} FWHM, S/N {r['snr'][k]:.2f}, {r['snr_masked'][k]:.2f} off static sources ({100 * r['masked'][k]:.0f} % of the windows on them, "
        f"{100 * r['bright'][k]:.0f} % on bright ones), √g {r['left'][k] ** 0.5:.2f}; peaks: {heights}; of the motion {motion:.2f} (ν₀ {unmoved:.2f}); "
        f"star {r['star_px'][k]:.0f} px off the path, {stars.min():.0f} px off the middle; mover {others.min():.0f} px, found {d.min() if d.size else np.inf:.0f} px: {why}"
    )
    return why, height


def false(r: dict, i: int) -> None:
    f, s = r["found"], r["stacks"]
    track = np.array([f["x"][i], f["y"][i], *f["velocity"][i]])
    ends = np.array([r["t"].min(), 0.0, r["t"].max()])
    d = np.hypot(f["x"][i] - r["x"], f["y"][i] - r["y"])
    j = int(d.argmin())
    px, py = f["x"][i] + f["velocity"][i, 0] * r["t"], f["y"][i] + f["velocity"][i, 1] * r["t"]
    crossed = [
        f"mover {k} ({d[k]:.0f} px, {r['snr'][k]:.1f}{', found' if r['taken'][k] >= 0 else ''})"
        for k in range(len(r["x"]))
        if (np.hypot(px - r["x"][k] - r["v"][k, 0] * r["t"], py - r["y"][k] - r["v"][k, 1] * r["t"]) < r["fwhm"]).sum() >= 3
    ]
    near = np.hypot(px[:, None] - r["stars"]["x"], py[:, None] - r["stars"]["y"])
    star = near.min(0)
    b = int(np.argmin(star - 20 * (r["stars"]["snr"] > 5)))
    ny, nx = s.static.shape
    a, c = np.rint(px).astype(int), np.rint(py).astype(int)
    on = s.static[c.clip(0, ny - 1), a.clip(0, nx - 1)].mean()
    bright = s.bright[c.clip(0, ny - 1), a.clip(0, nx - 1)].mean()
    outside = ((a < 0) | (c < 0) | (a >= nx) | (c >= ny)).mean()
    print(
        f"    ({f['x'][i]:.1f}, {f['y'][i]:.1f}) at {f['significance'][i]:.2f}, v ({f['velocity'][i, 0]:.2f}, {f['velocity'][i, 1]:.2f}), √g {s.left(track[2:]) ** 0.5:.2f}; here all {s.height('all', track):.2f}, "
        f"masked {s.height('masked', track):.2f}, subtracted {s.height('subtracted', track):.2f}; {100 * on:.0f} % of the windows on static sources, {100 * bright:.0f} % on bright ones, {100 * outside:.0f} % off the tract; "
        f"star of S/N {r['stars']['snr'][b]:.0f} {star[b]:.0f} px off the path; nearest mover {d[j]:.0f} px, v ({r['v'][j, 0]:.2f}, {r['v'][j, 1]:.2f}){', inside' if r['inside'][j] else ', leaves the tract'}; "
        f"crosses {'; '.join(crossed) or 'none'}; ends ({px.min():.0f} to {px.max():.0f}, {py.min():.0f} to {py.max():.0f})"
    )


def injected(r: dict, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Errors over Cramer-Rao of the highest point near movers put into the windows' maps themselves, at the middles of the windows: (position, velocity)."""
    rng = np.random.default_rng(3)
    s, stars, t, flux = r["stacks"], r["stars"], r["t"], r["flux"][0]
    psi, phi = s.maps["all"]
    side = psi.shape[1]
    shape = []
    for k in range(len(t)):
        nu = np.where(s.static, np.nan, psi[k] / np.sqrt(np.maximum(phi[k], 1e-30)))
        nu -= np.nanmean(nu)
        lags = [np.nanmean(nu * nu)] + [(np.nanmean(nu[:, q:] * nu[:, :-q]) + np.nanmean(nu[q:] * nu[:-q])) / 2 for q in range(1, 13)]
        shape.append(CubicSpline(np.arange(-12, 13), np.array(lags[:0:-1] + lags) / lags[0]))
    l2_of = np.array([-f(0, 2) for f in shape])
    errors, left = [], n
    while left:
        speed, angle = 0.05 * 20 ** rng.random() * r["fwhm"], 2 * np.pi * rng.random()
        at, v = rng.uniform(80, side - 80, 2), speed * np.array([np.cos(angle), np.sin(angle)])
        x, y = at[:, None] + v[:, None] * t
        i, j = np.rint(x).astype(int), np.rint(y).astype(int)
        of = stars["snr"] > 4
        if min(i.min(), j.min()) < 14 or max(i.max(), j.max()) > side - 15 or s.static[j, i].any():
            continue
        if np.hypot(x[:, None] - stars["x"][of], y[:, None] - stars["y"][of]).min() < 16:
            continue
        if np.hypot(at[0] - r["x"], at[1] - r["y"]).min() < 30:
            continue
        left -= 1
        weight = phi[np.arange(len(t)), j, i].astype(float)
        cuts = [np.s_[k, j[k] - 12 : j[k] + 13, i[k] - 12 : i[k] + 13] for k in range(len(t))]
        before = [psi[cut].copy() for cut in cuts]
        for k, cut in enumerate(cuts):
            jj, ii = np.mgrid[cut[1], cut[2]]
            psi[cut] += flux * weight[k] * shape[k](np.minimum(np.hypot(ii - x[k], jj - y[k]), 12))
        height, best = s.best("all", np.array([*at, *v]), r["fwhm"])
        for cut, values in zip(cuts, before):
            psi[cut] = values
        bound = np.linalg.inv(flux**2 * np.array([[(l2_of * weight * t ** (a + b)).sum() for a in range(2)] for b in range(2)]))
        if height > r["settings"]["threshold"]:
            errors.append(((best[:2] - at) / np.sqrt(bound[0, 0]), (best[2:] - v) / np.sqrt(bound[1, 1])))
    return errors


def brief(run: Path) -> None:
    r = read(run)
    match(r)
    limits = r["settings"]
    n, n_true = len(r["of"]), int((r["of"] >= 0).sum())
    fastest = limits["fastest_arcsec_per_day"] / r["scale"] / r["fwhm"]
    slow = r["inside"] & (r["speed"] < 0.95 * fastest)
    cpu = sum(json.loads((run / "timing.json").read_text())["cpu_s_by_rank"])
    print(
        f"{run.name}: up to {fastest:.2f} FWHM a window, bright_threshold {limits['bright_threshold']}, motion_threshold {limits['motion_threshold']}: found {n}, without a truth {n - n_true}; "
        f"of {slow.sum()} movers {int((r['taken'][slow] >= 0).sum())}; {cpu / r['done'].size * 1e6:.0f} CPU s a Mpix"
    )
    for i in np.flatnonzero(r["of"] < 0):
        false(r, i)


def main(picture: str, runs: list[Path]) -> None:
    all_runs = []
    for run in runs:
        r = read(run)
        match(r)
        all_runs.append(r)
    join = lambda key: np.concatenate([r[key] for r in all_runs])
    threshold = all_runs[0]["settings"]["threshold"]
    inside, speed, snr, masked, taken = join("inside"), join("speed"), join("snr"), join("masked"), join("taken") >= 0
    first, fwhm = all_runs[0], all_runs[0]["fwhm"]
    t = first["t"]
    area = sum(int(r["done"].sum()) for r in all_runs) / 1e6
    print(
        f"{len(all_runs)} fields of {area:.2f} Mpix in all, {len(t)} windows over {np.ptp(t):.1f} d, l2 {first['l2']:.4f} per pixel²; exposures {first['late']:+.3f} ± {first['window_jitter']:.3f} d from the middles of their windows"
    )
    print(
        f"{inside.sum()} movers inside in all windows ({len(inside) - inside.sum()} leave the field or what is searched), S/N {np.median(snr[inside]):.2f} in all, {np.median(snr[inside]) / np.sqrt(len(t)):.2f} a window; "
        f"stars above 5 sigma {sum((r['stars']['snr'] > 5).sum() for r in all_runs) / sum(r['done'].size for r in all_runs) * 1e6:.0f} per Mpix; left out: {100 * np.mean([r['stacks'].static.mean() for r in all_runs]):.2f} % of the pixels as static, "
        f"{100 * np.mean([r['stacks'].bright.mean() for r in all_runs]):.2f} % as bright; {100 * masked[inside].mean():.1f} % of the windows of all paths"
    )
    # What a search that knows only the truth would expect: the better of the two stacks.
    of_best = np.maximum(join("snr_masked"), np.where(np.sqrt(join("left")) >= MIN_LEFT, snr * np.sqrt(join("left") * (1 - join("bright"))), 0))
    ideal, expected = ncx2.sf(threshold**2, 5, snr**2), ncx2.sf(threshold**2, 5, of_best**2)
    clear = inside & (masked == 0) & (join("star_px") > APART_FWHM * fwhm)
    n_found, n_true = sum(len(r["of"]) for r in all_runs), sum(int((r["of"] >= 0).sum()) for r in all_runs)
    print(f"found {n_found}, true {n_true}: purity {binomial(n_true, n_found)}")
    for r in all_runs:
        for i in np.flatnonzero(r["of"] < 0):
            false(r, i)
    for name, of in (("all paths", inside), ("paths 3 FWHM clear of stars above 5 sigma", clear), ("the others", inside & ~clear), ("clear, below 0.2 FWHM a window", clear & (speed < 0.2)), ("all from 0.2 up", inside & (speed >= 0.2))):
        n = int(of.sum())
        print(
            f"completeness, {name}: {binomial(int(taken[of].sum()), n)}; expected P(chi'² of 5 > {threshold}²) {100 * ideal[of].mean():.1f} % with nothing static, {100 * expected[of].mean():.1f} % with what is left out"
            if n
            else f"completeness, {name}: none"
        )
    for name, key in (("the true paths", "on_truth"),):
        off = (join(key) - snr)[clear]
        print(f"  heights on {name} less S/N, clear paths: {off.mean():+.3f} ± {off.std() / np.sqrt(off.size):.3f}, scatter {off.std():.3f}; at 0.4 FWHM a window and more {off[speed[clear] >= 0.4].mean():+.3f}")
    rows = []
    for low, high in zip(SPEEDS[:-1], SPEEDS[1:]):
        bin_ = inside & (speed >= low) & (speed < high * 1.0001)
        both = bin_ & clear
        if bin_.any():
            print(
                f"  {low} to {high} FWHM a window: all {binomial(int(taken[bin_].sum()), int(bin_.sum()))}, expected {100 * ideal[bin_].mean():.1f} / {100 * expected[bin_].mean():.1f} %; clear {binomial(int(taken[both].sum()), int(both.sum()))}"
            )
        if both.any():
            rows.append((np.sqrt(low * high), taken[both].mean(), ideal[both].mean(), both.sum()))
    print("missed:")
    lost = [missed(r, k) for r in all_runs for k in np.flatnonzero(r["inside"] & (r["taken"] < 0))]
    whys = [why for why, _ in lost]
    whys = [why.split(" (")[0] for why in whys]
    print("  " + ", ".join(f"{why}: {whys.count(why)}" for why in sorted(set(whys))))

    # Errors beside Cramer-Rao, at the true S/N, 1 / sqrt(F^2 sum l2 Phi (t - t_mean)^2) an axis; and beside a maximum of the same stacks found here.
    pulls, shifts, places, whose, again = [], [], [], [], []
    for r in all_runs:
        for k in np.flatnonzero((r["taken"] >= 0) & r["inside"]):
            i = r["taken"][k]
            dv = r["found"]["velocity"][i] - r["v"][k]
            dx = np.array([r["found"]["x"][i] - r["x"][k], r["found"]["y"][i] - r["y"][k]])
            pulls.append(dv * np.sqrt(r["info"][k]))
            places.append(dx * np.sqrt(r["place_info"][k]))
            shifts.append(((dx @ r["v"][k]), r["v"][k] @ r["v"][k]))
            whose.append((r["speed"][k], r["masked"][k] == 0 and r["star_px"][k] > APART_FWHM * r["fwhm"], r["found"]["significance"][i]))
            track = np.array([r["found"]["x"][i], r["found"]["y"][i], *r["found"]["velocity"][i]])
            kind = "masked"
            if r["stacks"].left(r["v"][k]) ** 0.5 >= MIN_LEFT and r["stacks"].height("subtracted", track) > r["stacks"].height("masked", track):
                kind = "subtracted"
            height, best = r["stacks"].best(kind, track, r["fwhm"])
            again.append([*((best[2:] - r["v"][k]) * np.sqrt(r["info"][k])), height - r["found"]["significance"][i], kind == "subtracted"])
    pulls, places, whose, again = np.array(pulls), np.array(places), np.array(whose), np.array(again)

    def rms(p: np.ndarray) -> str:
        if not p.size:
            return "none"
        r = np.sqrt((p**2).mean())
        return f"rms {r:.3f} ± {r / np.sqrt(2 * p.size):.3f}, 1.48 MAD {1.4826 * np.median(np.abs(p)):.3f}, beyond 3: {(np.abs(p) > 3).sum()} of {p.size}"

    print(f"velocity errors over Cramer-Rao: {rms(pulls)}; mean {pulls.mean():+.3f}")
    print(f"  clear paths: {rms(pulls[whose[:, 1] > 0])}")
    for low, high in zip(SPEEDS[:-1], SPEEDS[1:]):
        print(f"  {low} to {high} FWHM a window: {rms(pulls[(whose[:, 0] >= low) & (whose[:, 0] < high * 1.0001)])}")
    print(f"  the highest point of the same stacks, found by another climb: {rms(again[:, :2])}; it is higher by {again[:, 2].mean():.3f} sigma on average, by more than 0.2 for {(again[:, 2] > 0.2).sum()}; {int(again[:, 3].sum())} of {len(again)} from subtracted stacks")
    shifts = np.array(shifts)
    print(f"position errors over Cramer-Rao: {rms(places)}")
    late = shifts[:, 0].sum() / shifts[:, 1].sum()
    bound = 1 / (np.median(snr[inside]) * np.sqrt(first["l2"]))
    print(f"  positions lie {late:+.3f} ± {bound / np.sqrt(shifts[:, 1].sum()):.3f} d of motion ahead")
    own = [e for r in all_runs for e in injected(r, 150)]
    for name, q in (("velocity", 1), ("position", 0)):
        print(f"movers put into the maps, the highest point near them above the threshold, {name} errors over Cramer-Rao: {rms(np.array([e[q] for e in own]))}")
    step = first["settings"]["step_fwhm"] * first["tract_fwhm"] / np.ptp(t)
    fastest = first["settings"]["fastest_arcsec_per_day"] / first["scale"]
    n = np.arange(-int(fastest / step), int(fastest / step) + 1) * step
    rungs = int((np.hypot(n[:, None], n) <= fastest).sum())
    for r in all_runs:
        timing = json.loads((r["run"] / "timing.json").read_text())
        if timing["phases"][-1]["phase"] == "detect" and r["done"].all():
            cpu, size = sum(timing["cpu_s_by_rank"]), r["done"].size / 1e6
            print(f"cost of detect, {r['run'].name}: {cpu:.0f} CPU s for {size:.2f} Mpix and {rungs} velocities, {cpu / size:.0f} a Mpix, {timing['peak_memory_mb_by_rank'][0]:.0f} MB")

    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2))
    b = np.array(rows)
    p = (b[:, 1] * b[:, 3] + 0.5) / (b[:, 3] + 1)
    axes[0].errorbar(b[:, 0], b[:, 1], np.sqrt(p * (1 - p) / b[:, 3]), fmt="o", label="found, paths clear of stars")
    axes[0].plot(b[:, 0], b[:, 2], "k-", label="theory")
    axes[0].axhline(0.9, color="0.7", lw=0.8)
    axes[0].set(xscale="log", xlabel="FWHM a window", ylabel="completeness", ylim=(0, 1.05))
    axes[0].set_xticks([0.05, 0.1, 0.2, 0.5, 1.0], ["0.05", "0.1", "0.2", "0.5", "1"])
    axes[0].legend(loc="lower right")
    z = np.linspace(-5, 5, 200)
    axes[1].hist(pulls.ravel().clip(-5, 5), bins=np.linspace(-5, 5, 41), density=True)
    axes[1].plot(z, np.exp(-z * z / 2) / np.sqrt(2 * np.pi), "k-")
    axes[1].set(xlabel="velocity error / Cramér-Rao bound (beyond 5: at 5)", ylabel="density")
    axes[2].plot(whose[:, 0], whose[:, 2], ".", label="found")
    axes[2].plot(speed[~taken & inside], [height for _, height in lost], "rx", label="missed, highest peak near it")
    axes[2].axhline(threshold, color="0.7", lw=0.8)
    axes[2].set(xscale="log", xlabel="FWHM a window", ylabel="height [sigma]")
    axes[2].set_xticks([0.05, 0.1, 0.2, 0.5, 1.0], ["0.05", "0.1", "0.2", "0.5", "1"])
    axes[2].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(picture, dpi=90)


if __name__ == "__main__":
    if sys.argv[1] == "brief":
        for name in sys.argv[2:]:
            brief(Path(name))
    else:
        main(sys.argv[1], [Path(p) for p in sys.argv[2:]])
