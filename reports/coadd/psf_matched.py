"""The PSF of the PSF-matched coadd against stars of negligible noise: core flux, size and ellipticity of each star less the target's.

    psf_matched.py RUN FIGURE.png
"""

import glob
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def mosaic(folder, band):
    """Image and number of exposures on the tract, target FWHM, all checks of the product itself."""
    parts = []
    for path in sorted(glob.glob(f"{folder}/main/psf_matched/*.h5")):
        with h5py.File(path) as f:
            g = f[band]
            checks = {k: g["psf_checks"][k][:] for k in ("core_flux", "size", "e1", "e2")}
            parts.append((g.attrs["bbox"][:], g["image"][:], g["n_exposures"][:], float(g.attrs["target_fwhm_px"]), checks))
    width, height = (max(p[0][i] + p[0][i + 2] for p in parts) for i in (0, 1))
    image, n = np.full((height, width), np.nan), np.zeros((height, width), int)
    for (x, y, w, h), z, e, _, _ in parts:
        image[y : y + h, x : x + w], n[y : y + h, x : x + w] = z, e
    checks = {k: np.concatenate([p[4][k] for p in parts]) for k in parts[0][4]}
    return image, n, parts[0][3], checks


def tract_pixels(run, ra, dec):
    """Tract pixels of sky positions: a TAN projection about the middle of the tract."""
    with h5py.File(f"{run}/run.h5") if glob.glob(f"{run}/run.h5") else open(f"{run}/config.toml") as f:
        text = f["config"][()].decode() if isinstance(f, h5py.File) else f.read()
    section = text.split("[sky_map]")[1].split("\n[")[0]
    value = {k.strip(): v.strip() for k, v in (line.split("=", 1) for line in section.splitlines() if "=" in line)}
    ra0, dec0, scale = np.radians(float(value["ra_deg"])), np.radians(float(value["dec_deg"])), float(value["pixel_scale_arcsec"])
    nx, ny = (int(v) for v in value["tract_cells"].strip("[]").split(","))
    cell = int(value["cell_px"])
    a, d = np.radians(ra) - ra0, np.radians(dec)
    c = np.sin(dec0) * np.sin(d) + np.cos(dec0) * np.cos(d) * np.cos(a)
    xi = np.cos(d) * np.sin(a) / c
    eta = (np.cos(dec0) * np.sin(d) - np.sin(dec0) * np.cos(d) * np.cos(a)) / c
    per_px = np.radians(scale / 3600)
    return (nx * cell - 1) / 2 - xi / per_px, (ny * cell - 1) / 2 + eta / per_px


def residual(image, x, y, flux, fwhm):
    """Core flux, size, e1, e2 of a star at (x, y) less those of a Gaussian of this FWHM at the same place; NaN at holes."""
    sigma = fwhm / 2.35482
    r = int(np.ceil(4 * sigma))
    cx, cy = int(round(x)), int(round(y))
    if cx < r or cy < r or cx + r >= image.shape[1] or cy + r >= image.shape[0]:
        return np.full(4, np.nan)
    dy, dx = np.mgrid[cy - r : cy + r + 1, cx - r : cx + r + 1].astype(float)
    dx, dy = dx - x, dy - y
    target = np.exp(-0.5 * (dx**2 + dy**2) / sigma**2) / (2 * np.pi * sigma**2)
    star = image[cy - r : cy + r + 1, cx - r : cx + r + 1] / flux
    core = np.hypot(dx, dy) <= 0.5 * fwhm

    def shape(z):
        m = [np.sum(target * g * z) for g in (1.0, dx**2, dy**2, dx * dy)]
        return np.sum(z[core]), np.sqrt((m[1] + m[2]) / m[0]), (m[1] - m[2]) / (m[1] + m[2]), 2 * m[3] / (m[1] + m[2])

    s, t = shape(star), shape(target)
    return np.array([s[0] / t[0] - 1, s[1] / t[1] - 1, s[2] - t[2], s[3] - t[3]])


def main():
    run, figure = sys.argv[1:3]
    image, n, fwhm, checks = mosaic(run, "r")
    with h5py.File(f"{run}/main/truth.h5") as f:
        table = f["truth"]
        ra, dec, flux = table["ra"][:], table["dec"][:], table["r_flux"][:]
    x, y = tract_pixels(run, ra, dec)
    found = np.array([residual(image, *star, fwhm) for star in zip(x, y, flux)])
    # Across an edge of a detector the number of exposures changes within the core.
    r = int(np.ceil(fwhm))
    window = [n[max(int(round(b)) - r, 0) : int(round(b)) + r + 1, max(int(round(a)) - r, 0) : int(round(a)) + r + 1] for a, b in zip(x, y)]
    on_edge = np.array([w.size > 0 and w.min() != w.max() for w in window])
    good = np.isfinite(found).all(axis=1)
    names = ["core flux", "size", "e1", "e2"]
    print(f"target FWHM {fwhm:.2f} px, {good.sum()} stars, {np.sum(good & on_edge)} across an edge")
    print(f"{'':10} {'mean':>9} {'rms':>9} {'largest':>9}   {'mean':>9} {'largest':>9} (edges)   {'mean':>9} {'largest':>9} (the product's own checks)")
    for k, name in enumerate(names):
        away, edge, own = found[good & ~on_edge, k], found[good & on_edge, k], checks[["core_flux", "size", "e1", "e2"][k]]
        print(
            f"{name:10} {away.mean():9.1e} {away.std():9.1e} {np.abs(away).max():9.1e}   "
            f"{edge.mean():9.1e} {np.abs(edge).max():9.1e}           {own.mean():9.1e} {np.abs(own).max():9.1e}"
        )
    fig, axes = plt.subplots(1, 4, figsize=(13, 3.2), sharey=True)
    bins = np.linspace(-5e-3, 5e-3, 51)
    for k, (axis, name) in enumerate(zip(axes, names)):
        for which, label in ((good & ~on_edge, "away from edges"), (good & on_edge, "across an edge")):
            axis.hist(np.clip(found[which, k], -5e-3, 5e-3), bins, histtype="step", label=f"{label}: {which.sum()}")
        axis.axvspan(-1e-3, 1e-3, color="0.9", zorder=0)
        axis.set_xlabel(f"{name}, star less target")
    axes[0].set_ylabel("stars")
    axes[0].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(figure, dpi=110)


main()
