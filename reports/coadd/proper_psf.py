"""PSFs of proper coadds drawn apart from the program, edges of exposures included: every exposure's Moffat integrated over its own pixels as far as
they go, over the background variance, correlated with the PSF, sampled at the tract's pixels through a quintic spline, added up, filtered by the cell's
filter, which is made from its autocorrelation in the coadd's file, and brought to level. For runs of the simulation with a constant Moffat.
"""

import tomllib

import h5py
import numpy as np
from coadd_psf import by_cell, plane
from numpy.polynomial.chebyshev import chebgrid2d
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import map_coordinates, spline_filter

# Least share of the PSF's sum of squares that must lie on an exposure.
LEAST_SHARE = 0.1
# Shares nearer to that are no certain sign of the program's choice: its sums are from tables.
UNSURE = 1e-3
# Of A(0): below it there is no data.
LEAST_PHI = 0.05
# Sub-pixel phases an axis at which sums of squares are made, cubic between.
PHASES = 4
# Further than the prefilter of a spline reaches.
MARGIN = 14


def stamp_spectrum(stamp, n):
    r = stamp.shape[0] // 2
    return rfft2(np.roll(np.pad(stamp, (0, n - stamp.shape[0])), (-r, -r), (0, 1)))


def centred(image, r):
    return np.roll(image, (r, r), (0, 1))[: 2 * r + 1, : 2 * r + 1]


def cos_taper(shape, start, end):
    r = shape[0] // 2
    d = np.hypot(*np.mgrid[-r : r + 1, -r : r + 1])
    return np.cos(np.pi / 2 * np.clip((d - start) / (end - start), 0, 1)) ** 2


def filter_of(lags, weight, border, floor):
    """K of a cell: W^(-1/2) (A^2 + (floor/4)^2 A(0)^2)^(-1/4) of the tapered autocorrelation, cut to the border by a taper that keeps its sum."""
    h = lags.shape[0] // 2
    n = next_fast_len(2 * (h + border) + 66)
    power = np.maximum(stamp_spectrum(lags * cos_taper(lags.shape, 0.75 * h, h + 1), n).real, 0)
    dc = power[0, 0]
    ideal = ((power / dc) ** 2 + (floor / 4) ** 2) ** -0.25 / np.sqrt(weight * dc)
    kernel = centred(irfft2(ideal, (n, n)), border)
    kernel = kernel * cos_taper(kernel.shape, border / 2, border)
    broad = cos_taper(kernel.shape, 0, border)
    return kernel + (ideal[0, 0] - kernel.sum()) / broad.sum() * broad


def chebyshev_plane(coefficients, bbox):
    x0, y0, nx, ny = bbox
    along = lambda n: (2 * np.arange(n) + 1) / n - 1
    return chebgrid2d(along(ny), along(nx), coefficients)


class Source:
    """One exposure: what it adds to the sums of a source."""

    def __init__(self, run, name, exposure):
        self.exposure = exposure
        with h5py.File(f"{run}/main/visit/{name}.h5") as f:
            v = f["background_variance"]
            self.variance = chebyshev_plane(v["coefficients_yx"][()], v.attrs["bbox"][()]) * exposure.njy**2
        assert self.variance.shape == exposure.shape
        self.psf = exposure.stamp(0.0, 0.0)
        # Sums of squares on the columns and rows before a pixel of the stamp, by phase (y, x).
        at = np.arange(PHASES) / PHASES
        squares = np.array([[exposure.stamp(p, q) ** 2 for p in at] for q in at])
        self.before = np.pad(squares.cumsum(2).cumsum(3), ((0, 0), (0, 0), (1, 0), (1, 0)))

    def share(self, x, y):
        """Sums of squares on the exposure of PSFs at these places; and without its edges."""
        r, (ny, nx) = self.exposure.radius, self.exposure.shape
        total = self.before[:, :, -1, -1]
        whole = map_coordinates(total, [(y % 1) * PHASES, (x % 1) * PHASES], order=3, mode="grid-wrap")
        is_inside = (x >= r + 1) & (y >= r + 1) & (x <= nx - r - 2) & (y <= ny - r - 2)
        is_cut = (x > -r - 2) & (y > -r - 2) & (x < nx + r + 1) & (y < ny + r + 1) & ~is_inside
        on = np.where(is_inside, whole, 0.0)
        if is_cut.any():
            on[is_cut] = self.cut_share(x[is_cut], y[is_cut])
        return on, whole

    def cut_share(self, x, y):
        margin, side = 4, 2 * self.exposure.radius + 1
        x0, y0 = (int(np.floor(v.min())) - margin for v in (x, y))
        x1, y1 = (int(np.floor(v.max())) + 2 + margin for v in (x, y))

        def sides(first, end, n):
            """Columns of the stamp from which on, and up to which, it is on the exposure."""
            start = np.arange(first, end) - self.exposure.radius
            return np.clip(-start, 0, side), np.clip(n - start, 0, side)

        (low, high), (left, right) = sides(y0, y1, self.exposure.shape[0]), sides(x0, x1, self.exposure.shape[1])

        def of(rows, columns):
            return self.before[:, :, rows[:, None], columns[None, :]]

        sums = of(high, right) - of(low, right) - of(high, left) + of(low, left)
        fine = sums.transpose(2, 0, 3, 1).reshape(sums.shape[2] * PHASES, sums.shape[3] * PHASES)
        return map_coordinates(fine, [(y - y0) * PHASES, (x - x0) * PHASES], order=3, mode="nearest")

    def maps(self, tract, x, y, gx, gy):
        """Psi of a unit source at the tract's (x, y), Phi and the share of the PSF's sum of squares, at the tract's pixels (gx, gy); nothing if it is far from all."""
        ex, ey = self.exposure.wcs.to_pixel(tract.to_sky(gx, gy))
        ny, nx = self.exposure.shape
        r = self.exposure.radius
        if ex.max() < -r or ey.max() < -r or ex.min() > nx + r or ey.min() > ny + r:
            return None
        on, whole = self.share(ex, ey)
        share = on / whole
        if share.max() < LEAST_SHARE - UNSURE:
            return None
        clamped = np.clip(np.rint(ey).astype(int), 0, ny - 1), np.clip(np.rint(ex).astype(int), 0, nx - 1)
        phi = on / self.variance[clamped]
        px, py = self.exposure.wcs.to_pixel(tract.to_sky(x, y))
        qx, qy = int(np.rint(px)), int(np.rint(py))
        # Light as far as the PSF goes, its correlation twice as far.
        reach = 2 * r + MARGIN
        inside = lambda q, n: np.clip([q - r, q + r + 1], 0, n)
        (x0, x1), (y0, y1) = inside(qx, nx), inside(qy, ny)
        if x0 >= x1 or y0 >= y1:
            return np.zeros(gx.shape), phi, share
        light = np.zeros((2 * reach + 1, 2 * reach + 1))
        drawn = self.exposure.stamp(px - qx, py - qy)
        part = light[reach - r : reach + r + 1, reach - r : reach + r + 1]
        own = np.s_[y0 - qy + r : y1 - qy + r, x0 - qx + r : x1 - qx + r]
        part[own] = drawn[own] / self.variance[y0:y1, x0:x1]
        n = next_fast_len(light.shape[0] + 2 * r + 1)
        psi = irfft2(rfft2(light, (n, n)) * stamp_spectrum(self.psf, n).conj(), (n, n))[: light.shape[0], : light.shape[0]]
        sampled = map_coordinates(spline_filter(psi, 5), [ey - qy + reach, ex - qx + reach], order=5, prefilter=False)
        return sampled, phi, share


class ProperPsf:
    def __init__(self, run, band, direct):
        """`direct`: the CoaddPsf, for its exposures."""
        with open(f"{run}/config.toml", "rb") as f:
            c = tomllib.load(f)
        self.border, self.floor, self.cell = c["combine"]["border_px"], c["combine"]["floor"], c["sky_map"]["cell_px"]
        self.tract = direct.tract
        self.sources = [Source(run, i, e) for i, e in zip(direct.ids, direct.exposures)]
        self.lags = by_cell(run, "coadd", band, "covariance_cells", "autocorrelation")
        self.weights = by_cell(run, "coadd", band, "covariance_cells", "autocorrelation_weight")
        self.filters = {}
        self.phi = plane(run, "coadd", f"{band}/phi")
        self.shape = self.phi.shape

    def filter(self, cell):
        if cell not in self.filters:
            self.filters[cell] = filter_of(self.lags[cell], float(self.weights[cell]), self.border, self.floor)
        return self.filters[cell]

    def sums(self, x, y, reach, is_by_file=False):
        """Psi of a unit source and Phi on the tract's pixels within reach of (x, y). `is_by_file`: unsure exposures are taken where the file's Phi has them."""
        cx, cy = int(np.rint(x)), int(np.rint(y))
        gx, gy = np.meshgrid(np.arange(cx - reach, cx + reach + 1.0), np.arange(cy - reach, cy + reach + 1.0))
        parts = [p for p in (s.maps(self.tract, x, y, gx, gy) for s in self.sources) if p is not None]
        psi, phi = (sum(np.where(p[2] >= LEAST_SHARE, p[k], 0.0) for p in parts) for k in (0, 1))
        inside = (gx >= 0) & (gy >= 0) & (gx < self.shape[1]) & (gy < self.shape[0])
        if is_by_file:
            of_file = self.phi[np.clip(gy, 0, self.shape[0] - 1).astype(int), np.clip(gx, 0, self.shape[1] - 1).astype(int)]
            for p in parts:
                sign = np.where(p[2] >= LEAST_SHARE, -1, 1)
                is_better = inside & (np.abs(p[2] - LEAST_SHARE) < UNSURE) & (np.abs(phi + sign * p[1] - of_file) < np.abs(phi - of_file))
                psi, phi = (v + np.where(is_better, sign * p[k], 0.0) for k, v in ((0, psi), (1, phi)))
        # The maps end with the tract.
        return np.where(inside, psi, 0.0), np.where(inside, phi, 0.0)

    def shares(self, x, y):
        """Of every exposure near the tract's pixel: the share of the sum of squares of a PSF there that is on it."""
        at = self.tract.to_sky(np.array([float(x)]), np.array([float(y)]))
        pairs = [s.share(*s.exposure.wcs.to_pixel(at)) for s in self.sources]
        return [float(on[0] / whole[0]) for on, whole in pairs if on[0] > 0]

    def stamp(self, x, y, r, is_by_file=False):
        """The image of a unit source on the tract's pixels about the nearest, [2r+1, 2r+1]."""
        b = self.border
        psi, phi = self.sums(x, y, r + b, is_by_file)
        cx, cy = int(np.rint(x)), int(np.rint(y))
        phi = phi[b:-b, b:-b]
        columns, rows = (np.arange(c - r, c + r + 1) // self.cell for c in (cx, cy))
        n = next_fast_len(psi.shape[0])
        spectrum = rfft2(psi, (n, n))
        out = np.full(phi.shape, np.nan)
        for column, row in {(i, j) for i in columns for j in rows}:
            if (column, row) not in self.lags:
                continue
            h = self.lags[column, row].shape[0] // 2
            at_zero = self.lags[column, row][h, h]
            if not at_zero > 0:
                continue
            filtered = irfft2(spectrum * stamp_spectrum(self.filter((column, row)), n), (n, n))[b : b + 2 * r + 1, b : b + 2 * r + 1]
            own = np.outer(rows == row, columns == column) & (phi >= LEAST_PHI * at_zero)
            out[own] = filtered[own] * at_zero / phi[own]
        return out
