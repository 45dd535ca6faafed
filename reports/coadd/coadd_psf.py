"""PSFs of coadds drawn apart from the program: every exposure's Moffat integrated over its pixels at the star's native phase, warped by a
Lanczos kernel of its own, and averaged with the weights of the coadd's file. For runs of the simulation with a constant Moffat.
"""

import glob
import tomllib

import h5py
import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)
NODES, WEIGHTS = NODES / 2, WEIGHTS / 2


class Tan:
    """A TAN projection between pixels (0-based) and unit vectors."""

    def __init__(self, ra, dec, crpix, cd):
        a, d = np.radians(ra), np.radians(dec)
        self.axes = np.array(
            [
                [-np.sin(a), np.cos(a), 0],
                [-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)],
                [np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)],
            ]
        )
        self.crpix, self.cd = np.array(crpix, float), np.radians(np.array(cd, float))

    def to_sky(self, x, y):
        w = np.tensordot(self.cd, np.stack([np.asarray(x, float) - self.crpix[0], np.asarray(y, float) - self.crpix[1]]), axes=1)
        p = np.tensordot(np.stack([*w, np.ones_like(w[0])], -1), self.axes, axes=1)
        return p / np.linalg.norm(p, axis=-1, keepdims=True)

    def to_pixel(self, p):
        v = np.tensordot(p, self.axes.T, axes=1)
        u = np.tensordot(np.linalg.inv(self.cd), np.stack([v[..., 0], v[..., 1]]) / v[..., 2], axes=1)
        return u[0] + self.crpix[0], u[1] + self.crpix[1]


def unit_vector(ra, dec):
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], -1)


def tract(run):
    """The tract's projection, and (columns, rows, side) of its cells."""
    with open(f"{run}/config.toml", "rb") as f:
        m = tomllib.load(f)["sky_map"]
    (nx, ny), cell, s = m["tract_cells"], m["cell_px"], m["pixel_scale_arcsec"] / 3600
    return Tan(m["ra_deg"], m["dec_deg"], [(nx * cell - 1) / 2, (ny * cell - 1) / 2], [[-s, 0], [0, s]]), (nx, ny, cell)


class Exposure:
    def __init__(self, path):
        with h5py.File(path) as f:
            w, psf = f["wcs"].attrs, f["psf"].attrs
            assert psf["kind"] in ("moffat", b"moffat")
            self.wcs = Tan(w["CRVAL1"], w["CRVAL2"], [w["CRPIX1"] - 1, w["CRPIX2"] - 1], [[w["CD1_1"], w["CD1_2"]], [w["CD2_1"], w["CD2_2"]]])
            self.fwhm, self.beta, self.e1, self.e2 = (float(psf[k]) for k in ("fwhm_px", "beta", "e1", "e2"))
            self.radius, self.is_integrated = int(psf["radius_px"]), bool(psf["pixel_integrated"])
            self.shape, gain = f["image"].shape, f.attrs["gain_e_per_adu"]
            self.njy = float(f["photo_calib"].attrs["mean_njy_per_adu"])
            self.electrons_per_njy = gain / self.njy
            sky_e = f.attrs.get("known_sky_adu", np.nan) * gain
            self.sky_e, self.variance_e = sky_e, sky_e + f.attrs["read_noise_e"] ** 2
            self.variance = self.variance_e / gain**2 * self.njy**2  # nJy2 per pixel, of the sky as it was drawn

    def density(self, x, y):
        alpha_sq = (self.fwhm / 2) ** 2 / (2 ** (1 / self.beta) - 1)
        a, b, c = 1 - self.e1, -self.e2, 1 + self.e1
        s = 1 / (alpha_sq * (1 - self.e1**2 - self.e2**2))
        r2 = s * ((a * a + b * b) * x * x + 2 * (a * b + b * c) * x * y + (b * b + c * c) * y * y)
        return (self.beta - 1) / (np.pi * alpha_sq) * (1 + r2) ** -self.beta

    def stamp(self, fx, fy, radius=None):
        """Shares of a source's light per pixel, the source at (fx, fy) from the middle."""
        r = min(radius or self.radius, self.radius)
        v = np.arange(-r, r + 1.0)
        if self.is_integrated:
            return self.density(*np.meshgrid(v - fx, v - fy))
        x, y = np.add.outer(v - fx, NODES).ravel(), np.add.outer(v - fy, NODES).ravel()
        fine = self.density(*np.meshgrid(x, y)).reshape(len(v), len(NODES), len(v), len(NODES))
        return np.einsum("jaib,a,b->ji", fine, WEIGHTS, WEIGHTS)


def lanczos(t, order=3):
    return np.where(np.abs(t) < order, np.sinc(t) * np.sinc(t / order), 0.0)


def warped(exposure, tract, x, y, radius, order=3):
    """The image of a unit source at tract position (x, y) on the tract's pixels about the nearest, through the kernel."""
    cx, cy = int(np.rint(x)), int(np.rint(y))
    gx, gy = np.meshgrid(np.arange(cx - radius, cx + radius + 1.0), np.arange(cy - radius, cy + radius + 1.0))
    ex, ey = exposure.wcs.to_pixel(tract.to_sky(gx, gy))
    px, py = exposure.wcs.to_pixel(tract.to_sky(x, y))
    h = 0.5
    dx = np.array(exposure.wcs.to_pixel(tract.to_sky(x + h, y))) - exposure.wcs.to_pixel(tract.to_sky(x - h, y))
    dy = np.array(exposure.wcs.to_pixel(tract.to_sky(x, y + h))) - exposure.wcs.to_pixel(tract.to_sky(x, y - h))
    area = abs(dx[0] * dy[1] - dx[1] * dy[0])
    qx, qy = int(np.rint(px)), int(np.rint(py))
    reach = radius + int(np.ceil(0.2 * radius)) + order + 3
    native = np.pad(exposure.stamp(px - qx, py - qy, reach), order + reach)
    middle = native.shape[0] // 2
    u, v = ex - qx + middle, ey - qy + middle
    ix, iy = np.floor(u).astype(int), np.floor(v).astype(int)
    taps = np.arange(1 - order, order + 1)
    wx, wy = lanczos(taps - (u - ix)[..., None], order), lanczos(taps - (v - iy)[..., None], order)
    wx, wy = wx / wx.sum(-1, keepdims=True), wy / wy.sum(-1, keepdims=True)
    values = native[(iy[..., None] + taps)[..., :, None], (ix[..., None] + taps)[..., None, :]]
    return area * np.einsum("yxji,yxj,yxi->yx", values, wy, wx)


class CoaddPsf:
    """The PSF of the direct coadd of one band: `stamp` at any place, of the exposures whose bits are set."""

    def __init__(self, run, band, order=3):
        self.tract, _ = tract(run)
        self.order = order
        with h5py.File(sorted(glob.glob(f"{run}/main/coadd/*.h5"))[0]) as f:
            t = f[band]["input_exposures"]
            self.ids, self.weights = [i.decode() for i in t["id"][()]], t["weight"][()]
        self.exposures = [Exposure(f"{run}/main/exposures/{i}.h5") for i in self.ids]
        self.last = None, {}

    def stamp(self, x, y, words, radius):
        if self.last[0] != (x, y, radius):
            self.last = (x, y, radius), {}
        warps = self.last[1]
        total, out = 0.0, 0.0
        for i, (e, w) in enumerate(zip(self.exposures, self.weights)):
            if int(words[i // 64]) >> (i % 64) & 1:
                if i not in warps:
                    warps[i] = warped(e, self.tract, x, y, radius, self.order)
                total, out = total + w, out + w * warps[i]
        return out / total


def plane(run, kind, path):
    """A plane of all patches on the tract; leading axes are kept. `path`: the group that has the box, and the plane's name in it."""
    parts = []
    for name in sorted(glob.glob(f"{run}/main/{kind}/*.h5")):
        with h5py.File(name) as f:
            parts.append((f[path.rsplit("/", 1)[0]].attrs["bbox"][()], f[path][()]))
    width, height = (max(b[k] + b[k + 2] for b, _ in parts) for k in (0, 1))
    out = np.zeros(parts[0][1].shape[:-2] + (height, width), parts[0][1].dtype)
    for (x0, y0, nx, ny), values in parts:
        out[..., y0 : y0 + ny, x0 : x0 + nx] = values
    return out


def by_cell(run, kind, group, cells, name):
    """Stamps by (column, row) of the cell."""
    found = {}
    for path in sorted(glob.glob(f"{run}/main/{kind}/*.h5")):
        with h5py.File(path) as f:
            g = f[group]
            found.update((tuple(int(v) for v in c), s.astype(float)) for c, s in zip(g[cells][()], g[name][()]))
    return found
