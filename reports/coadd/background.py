"""Backgrounds of a simulated run against what the simulation put in: a table, and a picture of the coadd's error.

    python3 background.py OUT.txt OUT.png NAME=RUN ...

Every run has the same exposures. For each: differences between exposures and the coadd's final background, recovered less true, on superpixels
of 64 tract pixels; steps on the coadd at the edges of amplifiers, detectors, visits and patches, over their errors (the scatter of the same strips
moved away from the edges, and the error of the solution); the flux of the cluster's halo; and, where the backgrounds are matched, the steps of recovered less true background at
amplifiers, detectors and visits in units of their errors, which come from a dense solution of the same
equations by numpy.
"""
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_dilation, gaussian_filter

STEP = 8  # tract pixels between sample points
SUPERPIXEL = 64


def tan_to_sky(wcs, x, y):
    """Pixels (0-based) to unit vectors, for a TAN header."""
    u, v = x - (wcs["CRPIX1"] - 1), y - (wcs["CRPIX2"] - 1)
    xi, eta = np.radians(wcs["CD1_1"] * u + wcs["CD1_2"] * v), np.radians(wcs["CD2_1"] * u + wcs["CD2_2"] * v)
    a, d = np.radians(wcs["CRVAL1"]), np.radians(wcs["CRVAL2"])
    east = np.array([-np.sin(a), np.cos(a), 0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    pole = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    p = pole + xi[..., None] * east + eta[..., None] * north
    return p / np.linalg.norm(p, axis=-1, keepdims=True)


def tan_to_pixel(wcs, p):
    a, d = np.radians(wcs["CRVAL1"]), np.radians(wcs["CRVAL2"])
    east = np.array([-np.sin(a), np.cos(a), 0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    pole = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    w = np.degrees(np.stack([p @ east, p @ north]) / (p @ pole))
    cd = np.array([[wcs["CD1_1"], wcs["CD1_2"]], [wcs["CD2_1"], wcs["CD2_2"]]])
    u = np.tensordot(np.linalg.inv(cd), w, axes=1)
    return u[0] + wcs["CRPIX1"] - 1, u[1] + wcs["CRPIX2"] - 1


def chebyshev(group, x, y):
    x0, y0, width, height = group.attrs["bbox"]
    c = group["coefficients_yx"][()]
    u, v = 2 * (x - x0) / (width - 1) - 1, 2 * (y - y0) / (height - 1) - 1
    return np.einsum("...i,...j,ji->...", chebvander(u, c.shape[1] - 1), chebvander(v, c.shape[0] - 1), c)


def steps(rows, x, y):
    out = np.zeros_like(x)
    for x0, y0, width, height, step in rows:
        out += step * ((np.round(x) >= x0) & (np.round(x) < x0 + width) & (np.round(y) >= y0) & (np.round(y) < y0 + height))
    return out


def true_background(group, x, y):
    light = chebyshev(group, x, y)
    for gx, gy, sigma, flatness, height in group["glows"][()]:
        light += height * np.exp(-((((x - gx) ** 2 + (y - gy) ** 2) / (2 * sigma**2)) ** flatness))
    if "relative" in group:
        light /= chebyshev(group["relative"], x, y)
    return light + steps(group["steps"][()], x, y)


def mesh_background(group, x, y):
    """Natural bicubic spline through the nodes, linear beyond them."""
    x0, y0, width, height = group.attrs["bbox"]
    nodes = group["nodes_adu"][()]

    def basis(v, n, start, size):
        t = (v - start + 0.5) * n / size - 0.5
        if n == 1:
            return np.ones(v.shape + (1,))
        spline = CubicSpline(np.arange(n), np.eye(n), bc_type="natural")
        inside = np.clip(t, 0, n - 1)
        return spline(inside) + spline(inside, 1) * (t - inside)[..., None]

    return np.einsum("...j,...i,ji->...", basis(y, nodes.shape[0], y0, height), basis(x, nodes.shape[1], x0, width), nodes)


class Exposure:
    def __init__(self, run, name, background):
        with h5py.File(run / "main/exposures" / f"{name}.h5") as f, h5py.File(run / "main/visit" / f"{name}.h5") as v:
            self.name, self.wcs, self.shape = name, dict(f["wcs"].attrs), f["image"].shape
            self.scale = f["photo_calib"].attrs["mean_njy_per_adu"]
            self.x, self.y = tan_to_pixel(self.wcs, SKY)
            margin = 3  # what the kernel reaches
            ny, nx = self.shape
            self.inside = (self.x > margin) & (self.y > margin) & (self.x < nx - 1 - margin) & (self.y < ny - 1 - margin)
            area = TRACT_AREA / abs(self.wcs["CD1_1"] * self.wcs["CD2_2"] - self.wcs["CD1_2"] * self.wcs["CD2_1"])
            self.njy = self.scale * area
            truth = true_background(f["background_true"], self.x, self.y)
            found = self.found(background, v, self.x, self.y)
            self.sigma = np.sqrt(chebyshev(v["background_variance"], np.array(nx / 2), np.array(ny / 2))) * self.njy
            self.error = np.where(self.inside, (found - truth) * self.njy, np.nan)
            self.true_steps = f["background_true/steps"][()]
        self.run, self.background = run, background
        visit, detector = name.rsplit("_d", 1)
        self.visit, self.detector = visit, int(detector)

    def found(self, background, visit, x, y):
        if background is None:
            return mesh_background(visit["background"], x, y)
        group = background[f"r/exposures/{self.name}"]
        return chebyshev(group, x, y) + steps(group["steps"][()], x, y)

    def error_at(self, x, y):
        """Recovered less true background at pixel positions [nJy per tract pixel]."""
        with h5py.File(self.run / "main/exposures" / f"{self.name}.h5") as f, h5py.File(self.run / "main/visit" / f"{self.name}.h5") as v:
            return (self.found(self.background, v, x, y) - true_background(f["background_true"], x, y)) * self.njy

    def side(self, axis, end, n=25):
        """Positions along a side: `axis` "x" or "y" is constant, `end` 0 or 1."""
        ny, nx = self.shape
        along = np.linspace(0, (ny if axis == "x" else nx) - 1, n)
        across = np.full(n, end * ((nx if axis == "x" else ny) - 1.0))
        return (across, along) if axis == "x" else (along, across)


def blocks(plane):
    """Mean over superpixels of sample points; NaN where fewer than half are there."""
    k = SUPERPIXEL // STEP
    p = plane.reshape(plane.shape[0] // k, k, plane.shape[1] // k, k)
    n = np.isfinite(p).sum((1, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n * 2 >= k * k, np.nansum(p, (1, 3)) / n, np.nan)


def differences(exposures):
    """Rms over superpixels and pairs of the difference's error, in sigma of one exposure's pixel."""
    means = [blocks(e.error) / 1 for e in exposures]
    sums, n = 0.0, 0
    for i, a in enumerate(exposures):
        for j in range(i):
            d = (means[i] - means[j]) / np.sqrt(0.5 * (a.sigma**2 + exposures[j].sigma ** 2))
            good = np.isfinite(d)
            sums, n = sums + np.sum(d[good] ** 2), n + good.sum()
    return np.sqrt(sums / n), n


def coadd_planes(run, names):
    out = {}
    for path in sorted((run / "main/coadd").glob("*.h5")):
        with h5py.File(path) as f:
            x0, y0, width, height = f["r"].attrs["bbox"]
            for name in names:
                plane = f["r"][name][()]
                full = out.setdefault(name, np.zeros(plane.shape[:-2] + SHAPE, plane.dtype))
                full[..., y0 : y0 + height, x0 : x0 + width] = plane
            weights = f["r/input_exposures/weight"][()]
            ids = [i.decode() for i in f["r/input_exposures/id"][()]]
    return out, dict(zip(ids, weights)), ids


class Solution:
    """The stored levels solved once more, densely, for the errors of anything that is linear in the coefficients."""

    def __init__(self, run, exposures):
        rows = {}
        for path in sorted((run / "main/match").glob("*.h5")):
            with h5py.File(path) as f:
                for name in f["r/levels"]:
                    rows.setdefault(name, []).append(f["r/levels"][name][()])
        t = {name: np.concatenate(v) for name, v in rows.items()}
        with h5py.File(run / "main/solve.h5") as f:
            self.found, reference = f["r/coefficients"][()], f["r/exposures/is_reference"][()].astype(bool)
            self.ids = [i.decode() for i in f["r/exposures/id"][()]]
            self.amplifiers, self.order = [int(v) for v in f["r"].attrs["amplifiers"]], int(f["r"].attrs["order"])
            self.scatter, self.n_rejected = f["r"].attrs["residual_scatter"], f["r"].attrs["n_rejected"]
        self.by_id = {e.name: e for e in exposures}
        shape = exposures[0].shape
        terms = self.terms(t["x"], t["y"], shape, t["amplifier"]) * t["njy_per_adu"][:, None]
        self.n_terms = terms.shape[1]
        self.n_smooth = self.n_terms - self.amplifiers[0] * self.amplifiers[1] + 1
        n = len(self.ids) * self.n_terms
        normal, rhs = np.zeros((n, n)), np.zeros(n)
        w = t["level_err"] ** -2.0
        cell = t["row"].astype(np.int64) * 10**8 + t["column"] * 10**4 + t["set"]
        order_of = np.argsort(cell, kind="stable")
        sky_rows, sky_at, sky_weight = [], [], []
        for part in np.split(order_of, np.flatnonzero(np.diff(cell[order_of])) + 1):
            b = np.zeros((len(part), n))
            for row, s in zip(b, part):
                if t["exposure"][s] == len(self.ids):
                    continue  # the template: nothing in it is free
                row[t["exposure"][s] * self.n_terms : (t["exposure"][s] + 1) * self.n_terms] = terms[s]
            sky_rows.append(w[part] @ b / w[part].sum())
            sky_at.append((t["tract_x"][part[0]], t["tract_y"][part[0]]))
            sky_weight.append(w[part].sum())
            if len(part) < 2:
                continue
            a = np.diag(w[part]) - np.outer(w[part], w[part]) / w[part].sum()
            normal += b.T @ a @ b
            rhs += b.T @ a @ t["level"][part]
        sigma = np.array([self.by_id[i].sigma / self.by_id[i].njy for i in self.ids])
        n_steps = self.n_terms - self.n_smooth
        normal += np.diag(np.concatenate([np.r_[np.full(self.n_smooth, (100 * s) ** -2), np.full(n_steps, s**-2)] for s in sigma]))
        free = ~np.concatenate([np.r_[np.full(self.n_smooth, r), np.zeros(n_steps, bool)] for r in reference])
        self.covariance = np.zeros((n, n))
        self.covariance[np.ix_(free, free)] = np.linalg.inv(normal[np.ix_(free, free)])
        self.dense = (self.covariance @ rhs).reshape(self.found.shape)
        # What the deep image's polynomial takes back of the coefficients' errors.
        with h5py.File(run / "main/background.h5") as f:
            self.deep_order = f["r/deep_0/coefficients_yx"].shape[0] - 1
        a = self.deep_terms(*np.array(sky_at).T) * np.sqrt(sky_weight)[:, None]
        self.deep = np.linalg.lstsq(a, np.array(sky_rows) * np.sqrt(sky_weight)[:, None], rcond=None)[0]

    def terms(self, x, y, shape, amplifier=None):
        sy, sx = shape
        nx, ny = self.amplifiers
        if amplifier is None:
            amplifier = (np.round(y) * ny // sy * nx + np.round(x) * nx // sx).astype(int)
        tx, ty = chebvander(2 * x / (sx - 1) - 1, self.order), chebvander(2 * y / (sy - 1) - 1, self.order)
        smooth = [tx[:, i] * ty[:, j] for j in range(self.order + 1) for i in range(self.order + 1 - j)]
        return np.array(smooth + [(amplifier == k).astype(float) for k in range(1, nx * ny)]).T

    def deep_terms(self, x, y):
        tx, ty = (chebvander(2 * v / (n - 1) - 1, self.deep_order) for v, n in ((x, SHAPE[1]), (y, SHAPE[0])))
        return np.array([tx[:, i] * ty[:, j] for j in range(self.deep_order + 1) for i in range(self.deep_order + 1 - j)]).T

    def error(self, parts, deep=0.0):
        """Error [nJy] of Σ weight × background over (exposure, x, y, weight), less `deep`."""
        c = np.zeros(len(self.covariance)) - deep
        for name, x, y, weight in parts:
            e = self.by_id[name]
            i = self.ids.index(name) * self.n_terms
            c[i : i + self.n_terms] += e.njy * (np.broadcast_to(weight, x.shape) @ self.terms(x, y, e.shape))
        return np.sqrt(c @ self.covariance @ c)

    def coadd_step(self, points, weights):
        """Step [nJy] of the coadd's recovered less true background between tract positions (x, y) with sign -1 and +1, and its error."""
        x, y, sign = points
        sky = tan_to_sky(TRACT, x, y)
        shares, on, off = [], [], 0.0
        for name in self.ids:
            e = self.by_id[name]
            px, py = tan_to_pixel(e.wcs, sky)
            inside = (px > 3) & (py > 3) & (px < e.shape[1] - 4) & (py < e.shape[0] - 4)
            shares.append(np.where(inside, weights[name], 0.0))
            off = off + shares[-1] * e.error_at(px, py)
            on.append((px, py))
        total = np.sum(shares, axis=0)
        good = total > 0
        weight = np.where(good, np.where(sign > 0, 1 / max((sign[good] > 0).sum(), 1), -1 / max((sign[good] < 0).sum(), 1)), 0.0)
        share = [s[good] / total[good] * weight[good] for s in shares]
        deep = weight[good] @ self.deep_terms(x[good], y[good]) @ self.deep
        parts = [(name, px[good], py[good], s) for name, (px, py), s in zip(self.ids, on, share) if s.any()]
        return off[good] / total[good] @ weight[good], self.error(parts, deep)

    def steps(self):
        """Recovered less true steps at amplifiers, detectors and visits over their errors."""
        pulls = {"amplifier": [], "detector": [], "visit": []}
        n_amplifiers = self.amplifiers[0] * self.amplifiers[1]
        for i, name in enumerate(self.ids):
            truth = self.by_id[name].true_steps[-n_amplifiers:, 4]  # amplifiers come after the detector
            for k in range(1, n_amplifiers):
                term = self.n_smooth + k - 1
                error = np.sqrt(self.covariance[i * self.n_terms + term, i * self.n_terms + term])
                pulls["amplifier"].append((self.found[i, term] - (truth[k] - truth[0])) / error)
        exposures = list(self.by_id.values())
        for e in exposures:
            for axis, step in (("x", 1), ("y", 2)):
                place = e.detector % 2 if axis == "x" else e.detector // 2
                # The neighbour across the gap, once a pair.
                for other in exposures:
                    if place == 0 and other.visit == e.visit and other.detector == e.detector + step:
                        (xa, ya), (xb, yb) = e.side(axis, 1), other.side(axis, 0)
                        on = on_tract(e, xa, ya) & on_tract(other, xb, yb)
                        if on.sum() >= 10:
                            step_found = e.error_at(xa[on], ya[on]).mean() - other.error_at(xb[on], yb[on]).mean()
                            parts = [(e.name, xa[on], ya[on], 1 / on.sum()), (other.name, xb[on], yb[on], -1 / on.sum())]
                            pulls["detector"].append(step_found / self.error(parts))
                # The outer side: against the mean of all exposures of other visits that cover it.
                x, y = e.side(axis, place)
                sky, on = tan_to_sky(e.wcs, x, y), on_tract(e, x, y)
                parts, mean, weights = [], 0.0, 0.0
                for other in exposures:
                    if other.visit == e.visit or on.sum() < 10:
                        continue
                    xo, yo = tan_to_pixel(other.wcs, sky[on])
                    if ((xo > 0) & (yo > 0) & (xo < other.shape[1] - 1) & (yo < other.shape[0] - 1)).all():
                        w = other.sigma**-2
                        parts.append((other.name, xo, yo, -w))
                        mean, weights = mean + w * other.error_at(xo, yo).mean(), weights + w
                if parts:
                    parts = [(name, xo, yo, w / weights / on.sum()) for name, xo, yo, w in parts] + [(e.name, x[on], y[on], 1 / on.sum())]
                    pulls["visit"].append((e.error_at(x[on], y[on]).mean() - mean / weights) / self.error(parts))
        return {kind: np.array(p) for kind, p in pulls.items()}


def on_tract(e, x, y):
    tx, ty = tan_to_pixel(TRACT, tan_to_sky(e.wcs, x, y))
    return (tx > 0) & (ty > 0) & (tx < SHAPE[1] - 1) & (ty < SHAPE[0] - 1)


def edges(exposures, patches):
    """Segments (x, y) -> (x, y) on the tract, by kind."""
    ny, nx = SHAPE
    out = {"patch": [], "amplifier": [], "detector": [], "visit": []}
    for k in range(1, patches):
        for j in range(patches):
            out["patch"].append(((nx * k / patches - 0.5, ny * j / patches), (nx * k / patches - 0.5, ny * (j + 1) / patches)))
            out["patch"].append(((nx * j / patches, ny * k / patches - 0.5), (nx * (j + 1) / patches, ny * k / patches - 0.5)))
    for e in exposures:
        sy, sx = e.shape
        detector = int(e.name.rsplit("_d", 1)[1])
        column, row = detector % 2, detector // 2
        lines = {"amplifier": [((sx / 2 - 0.5, 0), (sx / 2 - 0.5, sy)), ((0, sy / 2 - 0.5), (sx, sy / 2 - 0.5))]}
        sides = {(0, "x"): ((2.5, 0), (2.5, sy)), (1, "x"): ((sx - 3.5, 0), (sx - 3.5, sy)), (0, "y"): ((0, 2.5), (sx, 2.5)), (1, "y"): ((0, sy - 3.5), (sx, sy - 3.5))}
        for (side, axis), line in sides.items():
            is_outer = side == (column if axis == "x" else row)
            lines.setdefault("visit" if is_outer else "detector", []).append(line)
        for kind, group in lines.items():
            for line in group:
                ends = [tan_to_pixel(TRACT, tan_to_sky(e.wcs, np.array([float(p[0])]), np.array([float(p[1])]))) for p in line]
                out[kind].append(tuple((float(x[0]), float(y[0])) for x, y in ends))
    return out


def strip_step(image, variance, good, line, shift):
    """Mean on one side of a line less that on the other, 2 to 34 pixels from it, and the variance of that for white noise; None if too little is left."""
    (xa, ya), (xb, yb) = line
    length = np.hypot(xb - xa, yb - ya)
    along, across = np.array([(xb - xa) / length, (yb - ya) / length]), np.array([-(yb - ya) / length, (xb - xa) / length])
    s, d = np.meshgrid(np.arange(0, length), np.r_[np.arange(-34, -2), np.arange(3, 35)])
    x = np.round(xa + along[0] * s + across[0] * (d + shift)).astype(int)
    y = np.round(ya + along[1] * s + across[1] * (d + shift)).astype(int)
    ok = (x >= 0) & (y >= 0) & (x < SHAPE[1]) & (y < SHAPE[0])
    ok[ok] = good[y[ok], x[ok]]
    left, right = ok & (d < 0), ok & (d > 0)
    if min(left.sum(), right.sum()) < 12000:
        return None
    at = np.clip(y, 0, SHAPE[0] - 1), np.clip(x, 0, SHAPE[1] - 1)
    z, v = image[at], variance[at]
    return z[right].mean() - z[left].mean(), v[left].mean() / left.sum() + v[right].mean() / right.sum()


def coadd_steps(image, variance, good, lines, solution, weights, unit):
    """Steps over their errors, by kind: of the coadd's pixels (errors: the scatter of the same strips moved 45 to 110 pixels away, which holds
    the noise and all faint objects, and the error of the solution), and of the recovered less true background alone (the solution's error)."""
    of_pixels, of_background = {}, {}
    for kind, group in lines.items():
        pulls, alone = [], []
        for line in group:
            found = strip_step(image, variance, good, line, 0.0)
            if found:
                step, error = solution.coadd_step(strip_points(line), weights) if solution else (0.0, 0.0)
                pulls.append(found[0] / np.hypot(np.sqrt(found[1]) * unit, error))
                alone.append(step / error if solution else np.nan)
        of_pixels[kind], of_background[kind] = np.array(pulls), np.array(alone)
    return of_pixels, of_background


def strip_unit(image, variance, good, lines):
    """Scatter of the strips moved away from their edges, over that of white noise."""
    rng, control = np.random.default_rng(1), []
    for line in [line for group in lines.values() for line in group]:
        for _ in range(8):
            found = strip_step(image, variance, good, line, rng.choice([-1, 1]) * rng.uniform(45, 110))
            if found:
                control.append(found[0] / np.sqrt(found[1]))
    return np.sqrt(np.mean(np.square(control)))


def strip_points(line):
    (xa, ya), (xb, yb) = line
    s = np.linspace(0.02, 0.98, 25)
    length = np.hypot(xb - xa, yb - ya)
    nx, ny = -(yb - ya) / length, (xb - xa) / length
    x, y = xa + (xb - xa) * s, ya + (yb - ya) * s
    points = [(x + d * nx, y + d * ny, np.full(25, np.sign(d))) for d in (-26, -10, 10, 26)]
    x, y, sign = (np.concatenate(c) for c in zip(*points))
    on = (x >= 0) & (y >= 0) & (x < SHAPE[1]) & (y < SHAPE[0])
    return x[on], y[on], sign[on]


def halo(run, error):
    """Error of the flux between 1 and 2.5 half-light radii of the light between the galaxies, over its true flux there."""
    with h5py.File(run / "main/truth.h5") as f:
        t = f["truth"]
        i = [r.decode() for r in t["regime"][()]].index("icl")
        flux, radius, q, pa, n = (t[c][i] for c in ("r_flux", "half_light_radius", "axis_ratio", "position_angle", "sersic_n"))
    scale = np.sqrt(TRACT_AREA) * 3600
    x, y = np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))
    x, y = -(x - (SHAPE[1] - 1) / 2) * scale, (y - (SHAPE[0] - 1) / 2) * scale  # east, north
    s, c = np.sin(np.radians(pa)), np.cos(np.radians(pa))
    r = np.hypot(x * s + y * c, (x * c - y * s) / q) / radius
    b = 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n * n)
    profile = np.exp(-b * r ** (1 / n))
    ring = (r > 1) & (r < 2.5)
    true_flux = flux * profile[ring].sum() / profile.sum()
    points = (np.arange(SHAPE[0] // STEP) * STEP + STEP // 2)
    at = ring[np.ix_(points, points)]
    return -np.nansum(error[at]) * STEP**2 / true_flux, true_flux / ring.sum()


def describe(what, pulls):
    if len(pulls) == 0:
        return f"{what}: none"
    return (
        f"{what}: scatter {np.sqrt(np.mean(pulls**2)):.2f} +- {1 / np.sqrt(2 * len(pulls)):.2f} errors, mean {pulls.mean():+.2f}, "
        f"largest {np.abs(pulls).max():.2f}, n = {len(pulls)}"
    )


def main():
    global SHAPE, TRACT, TRACT_AREA, SKY
    text, picture, runs = sys.argv[1], sys.argv[2], [a.split("=", 1) for a in sys.argv[3:]]
    lines_out, maps, unit = [], [], None
    for label, folder in runs:
        run = Path(folder)
        config = tomllib.loads((run / "config.toml").read_text())
        m = config["sky_map"]
        SHAPE = (m["tract_cells"][1] * m["cell_px"], m["tract_cells"][0] * m["cell_px"])
        s = m["pixel_scale_arcsec"] / 3600
        TRACT_AREA = s * s
        TRACT = {"CRVAL1": m["ra_deg"], "CRVAL2": m["dec_deg"], "CRPIX1": (SHAPE[1] + 1) / 2, "CRPIX2": (SHAPE[0] + 1) / 2}
        TRACT |= {"CD1_1": -s, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": s}
        points = [np.arange(n // STEP) * STEP + STEP // 2 for n in SHAPE]
        gy, gx = np.meshgrid(*points, indexing="ij")
        SKY = tan_to_sky(TRACT, gx.astype(float), gy.astype(float))
        matched = config["match"]["background"] == "matched"
        background = h5py.File(run / "main/background.h5") if matched else None
        names = sorted(p.stem for p in (run / "main/exposures").glob("*.h5"))
        exposures = [Exposure(run, name, background) for name in names]
        rms, n = differences(exposures)
        planes, weights, ids = coadd_planes(run, ["image", "variance", "inputs", "mask"])
        sums, all_weights = np.zeros(gx.shape), np.zeros(gx.shape)
        by_id = {e.name: e for e in exposures}
        for i, name in enumerate(ids):
            has = (planes["inputs"][i // 64][np.ix_(*points)] >> np.uint64(i % 64)) & np.uint64(1)
            has = (has > 0) & np.isfinite(by_id[name].error)
            sums += np.where(has, weights[name] * by_id[name].error, 0.0)
            all_weights += np.where(has, weights[name], 0.0)
        error = np.where(all_weights > 0, sums / np.where(all_weights > 0, all_weights, 1), np.nan)
        final = blocks(error)
        good = np.isfinite(planes["image"])
        sigma = np.sqrt(np.median(planes["variance"][good]))
        constant = np.nanmean(final)
        off = np.nanstd(final)
        lines_out += [f"## {label}", ""]
        lines_out.append(f"differences between exposures: {100 * rms:.2f} % of one exposure's pixel noise (rms over {n} superpixels of pairs)")
        lines_out.append(f"final background of the coadd: {100 * off / sigma:.2f} % of the coadd's pixel noise ({sigma:.3f} nJy) after a constant of {100 * constant / sigma:+.2f} %")
        error_of_halo, brightness = halo(run, error)
        lines_out.append(f"halo between 1 and 2.5 half-light radii ({brightness / sigma:.2f} sigma a pixel): {100 * error_of_halo:+.2f} % of its flux")
        template = Path(config["match"].get("template") or "none")
        for whose, path in (("the deep background", run), ("the template's deep background", template)):
            if (path / "main/background.h5").exists():
                with h5py.File(path / "main/background.h5") as f:
                    deep = f["r/deep_0"].attrs
                    lines_out.append(f"superpixels that the polynomial of {whose} goes through: {deep['n_used']} of {deep['n_superpixels']}")
        image = np.nan_to_num(planes["image"])
        lines = edges(exposures, m["patches"][0])
        if unit is None:  # sources and noise are the first run's for all: a wrong background is neither
            bright = gaussian_filter(image, 2) > 3 * sigma / np.sqrt(4 * np.pi * 4)
            bright |= gaussian_filter(image, 10) > 3 * sigma / np.sqrt(4 * np.pi * 100)
            blank = good & ~binary_dilation(bright, iterations=6)
            unit = strip_unit(image, planes["variance"], blank, lines)
        solution = Solution(run, exposures) if matched and config["solve"]["pairs"] == "all" else None
        pulls, alone = coadd_steps(image, planes["variance"], blank, lines, solution, weights, unit)
        lines_out += [describe(f"steps on the coadd at {kind} edges", p) for kind, p in pulls.items()]
        if solution:
            lines_out += [describe(f"steps of the coadd's background at {kind} edges", p) for kind, p in alone.items()]
            lines_out += [describe(f"steps of the solution at {kind} edges", p) for kind, p in solution.steps().items()]
            apart = np.abs(solution.dense - solution.found).max()
            lines_out.append(
                f"dense solution by numpy, of all samples: coefficients differ by at most {apart:.1e} adu, with {solution.n_rejected} samples "
                f"left out of the other; residuals scatter by {solution.scatter:.2f} of their errors"
            )
        lines_out.append("")
        maps.append((label, (final - constant) / sigma))
    Path(text).write_text("\n".join(lines_out))
    print("\n".join(lines_out))
    draw(picture, maps)


def draw(path, maps):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 3
    figure, axes = plt.subplots(-(-len(maps) // columns), columns, figsize=(3.6 * columns, 3.5 * -(-len(maps) // columns)), constrained_layout=True, squeeze=False)
    for axis, (label, values) in zip(axes.flat, maps):
        shown = axis.imshow(100 * values, origin="lower", vmin=-10, vmax=10, cmap="RdBu_r", extent=(0, SHAPE[1], 0, SHAPE[0]))
        axis.set_title(label)
    for axis in axes[-1]:
        axis.set_xlabel("tract column [pixel]")
    for axis in axes[:, 0]:
        axis.set_ylabel("tract row [pixel]")
    figure.colorbar(shown, ax=axes, label="recovered less true background of the coadd\n[% of its pixel noise]", shrink=0.85)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
