"""Plots of the field `survey` against real (and simulated) catalogs: counts, sizes, colours, redshifts, stars, clustering.

    FATHOM_DATA=<folder of the real data> python reports/truth/sky_plots.py SURVEY.h5 OUT_FOLDER

SURVEY.h5 is made by `cargo run --release -p fathom-sim --example truth -- survey 30 SURVEY.h5`. Needs numpy, scipy, matplotlib, astropy, h5py.
"""

import os
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

DATA = os.path.join(os.environ["FATHOM_DATA"])
SURVEY, OUT = sys.argv[1:3]
SIDE_DEG = 0.5
BLUE, ORANGE, GREY = "#1f5fa8", "#d9691c", "#888888"
np.seterr(invalid="ignore", divide="ignore")
plt.rcParams.update({"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "figure.dpi": 90})


def catalog(*name):
    return os.path.join(DATA, *name)


def save(figure, name):
    figure.tight_layout()
    figure.savefig(os.path.join(OUT, name + ".png"))
    plt.close(figure)


with h5py.File(SURVEY) as f:
    t = f["truth"]
    truth = {name: t[name][:] for name in t}
text = lambda name: np.array([v.decode() if isinstance(v, bytes) else v for v in truth[name]])
kind, sed = text("class"), text("sed")
with np.errstate(divide="ignore"):
    mag = {b: 31.4 - 2.5 * np.log10(truth[b + "_flux"]) for b in "ugrizy"}
galaxy, star = kind == "galaxy", sed == "star"
z = truth["redshift"]


def running(x, y, edges):
    """Median and 16, 84 per cent in bins."""
    mid, out = [], []
    for low, high in zip(edges, edges[1:]):
        s = (x >= low) & (x < high) & np.isfinite(y)
        if s.sum() >= 5:
            mid.append(0.5 * (low + high))
            out.append(np.percentile(y[s], [16, 50, 84]))
    return np.array(mid), np.array(out).reshape(-1, 3).T


# ---- counts
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
edges = np.arange(16, 27.01, 0.5)
mid = 0.5 * (edges[1:] + edges[:-1])
for axis, band in zip(axes, "gi"):
    n = np.histogram(mag[band][galaxy], edges)[0]
    axis.errorbar(mid, n / SIDE_DEG**2 / 0.5, np.sqrt(n) / SIDE_DEG**2 / 0.5, fmt="o", ms=3, color=BLUE, label="survey, galaxies")
    hsc = np.loadtxt(catalog("catalogs", "hsc_counts", f"hsc_{band}_n.dat"), skiprows=1)
    for column, style, label in ((3, "-", "HSC, observed"), (1, ":", "HSC, continued by a power law")):
        cumulative = np.interp(edges, hsc[:, 0], hsc[:, column])
        axis.plot(mid, np.maximum(np.diff(cumulative) / 0.5, 1e-3), style, color=ORANGE, label=label)
    axis.set(yscale="log", ylim=(3, 1e6), xlabel=f"{band} [AB]", ylabel="number / deg$^2$ / mag")
    axis.legend(fontsize=7)
trilegal = Table.read(catalog("catalogs", "skycatalogs", "trilegal.fits.gz"))
n = np.histogram(mag["i"][star], edges)[0]
axes[2].errorbar(mid, n / SIDE_DEG**2 / 0.5, np.sqrt(n) / SIDE_DEG**2 / 0.5, fmt="o", ms=3, color=BLUE, label="survey, stars")
m = np.histogram(np.array(trilegal["imag"]), edges)[0]
axes[2].plot(mid, m * n[4:18].sum() / m[4:18].sum() / SIDE_DEG**2 / 0.5, color=ORANGE, label="TRILEGAL sample (simulated), scaled")
axes[2].set(yscale="log", xlabel="i [AB]", ylabel="number / deg$^2$ / mag")
axes[2].legend(fontsize=7)
save(figure, "sky_counts")
hsc = np.loadtxt(catalog("catalogs", "hsc_counts", "hsc_i_n.dat"), skiprows=1)
for low in range(18, 25):
    s = galaxy & (mag["i"] >= low) & (mag["i"] < low + 1)
    real = np.diff(np.interp([low, low + 1], hsc[:, 0], hsc[:, 3]))[0] * SIDE_DEG**2
    print(f"counts i {low}..{low + 1}: survey {s.sum()}, HSC {real:.0f}, ratio {s.sum() / real:.3f}")

# ---- sizes
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
radius = truth["half_light_radius"]
circular = radius * np.sqrt(truth["axis_ratio"])
edges = np.arange(17, 27.1, 0.75)
x, y = running(mag["i"][galaxy], radius[galaxy], edges)
axes[0].fill_between(x, y[0], y[2], color=BLUE, alpha=0.2)
axes[0].plot(x, y[1], color=BLUE, label="survey (16, 50, 84 %)")
fits = Table.read(catalog("hst_galaxies", "real_galaxy_catalog_23.5_example_fits.fits"))
sersic = np.array(fits["sersicfit"])
axes[0].plot(fits["mag_auto"], sersic[:, 1] * 0.03, "o", ms=3, color=ORANGE, label="COSMOS, Sérsic fits")
faint = Table.read(catalog("hst_galaxies", "real_galaxy_catalog_26_extension_example.fits"))
faint_fits = Table.read(catalog("hst_galaxies", "real_galaxy_catalog_26_extension_example_fits.fits"))
# The flux radius is circular and holds the PSF (0.07 arcsec); 0.55 is the median axis ratio.
major = np.sqrt(np.maximum((np.array(faint_fits["flux_radius"]) * 0.03) ** 2 - 0.07**2, 0)) / np.sqrt(0.55)
axes[0].plot(faint["MAG"], major, "s", ms=3, color=GREY, label="COSMOS, flux radii (PSF off)")
axes[0].set(yscale="log", ylim=(0.03, 6), xlabel="i or F814W [AB]", ylabel="half-light radius, major axis [arcsec]")
axes[0].legend(fontsize=7)
axes[1].hist(truth["axis_ratio"][galaxy & (mag["i"] < 22.5)], 20, range=(0, 1), density=True, histtype="step", color=BLUE, label="survey, i < 22.5")
axes[1].hist(sersic[:, 3], 10, range=(0, 1), density=True, histtype="step", color=ORANGE, label="COSMOS, 100 fits")
axes[1].set(xlabel="axis ratio", ylabel="density")
axes[1].legend(fontsize=7)
axes[2].hist(np.clip(truth["sersic_n"][galaxy & (mag["i"] < 22.5)], 0, 6), 24, range=(0, 6), density=True, histtype="step", color=BLUE, label="survey, i < 22.5 (discs of B+D: 1)")
axes[2].hist(np.clip(sersic[:, 2], 0, 6), 12, range=(0, 6), density=True, histtype="step", color=ORANGE, label="COSMOS, 100 single fits")
axes[2].set(xlabel="Sérsic index", ylabel="density", yscale="log")
axes[2].legend(fontsize=7)
save(figure, "sky_sizes")
for low, high in ((18, 21), (21, 22), (22, 22.5)):
    s, r = galaxy & (mag["i"] >= low) & (mag["i"] < high), (fits["mag_auto"] >= low) & (fits["mag_auto"] < high)
    print(f"median radius i {low}..{high}: survey {np.median(radius[s]):.3f}, COSMOS {np.median(sersic[r, 1]) * 0.03:.3f} arcsec ({r.sum()})")
for low, high in ((23, 24), (24, 25), (25, 26.5)):
    s, r = galaxy & (mag["i"] >= low) & (mag["i"] < high), (faint["MAG"] >= low) & (faint["MAG"] < high)
    print(f"median radius i {low}..{high}: survey {np.median(radius[s]):.3f}, COSMOS {np.median(major[r]):.3f} arcsec ({r.sum()})")

# ---- size against luminosity: luminosities without K-correction, as F814W at z of a flat spectrum
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
grid = np.linspace(0, 6, 3001)
comoving = np.concatenate([[0], np.cumsum(0.5 * (1 / np.sqrt(0.3 * (1 + grid[1:]) ** 3 + 0.7) + 1 / np.sqrt(0.3 * (1 + grid[:-1]) ** 3 + 0.7)) * 0.002)]) * 2.998e5 / 70
distance = np.interp(np.nan_to_num(z), grid, comoving)
kpc = circular / 206265 * distance / (1 + np.nan_to_num(z)) * 1e3
with np.errstate(divide="ignore", invalid="ignore"):
    absolute = mag["i"] - 5 * np.log10(distance * (1 + z) * 1e5) + 2.5 * np.log10(1 + z)
luminosity = (4.58 - absolute) / 2.5
table = np.loadtxt(catalog("catalogs", "sizes", "Mandelbaum2014_LumF814W_size.txt"))
for axis, centre in zip(axes, (0.75, 1.25)):
    s = galaxy & (np.abs(z - centre) < 0.25) & (mag["i"] < 25.2)
    x, y = running(luminosity[s], kpc[s], np.arange(7.5, 11.6, 0.4))
    axis.fill_between(x, y[0], y[2], color=BLUE, alpha=0.2)
    axis.plot(x, y[1], color=BLUE, label=f"survey, z = {centre} ± 0.25, i < 25.2")
    r = (table[:, 0] == centre) & (table[:, 2] > 0)
    axis.plot(table[r, 1], table[r, 2], "o", ms=4, color=ORANGE, label="Mandelbaum et al. 2014 (means)")
    axis.set(yscale="log", xlim=(7.5, 11.5), ylim=(0.1, 30), xlabel="log10 L(F814W) / L$_\\odot$", ylabel="half-light radius [kpc]")
    axis.legend(fontsize=7)
save(figure, "sky_size_luminosity")

# ---- colours of galaxies
figure, axes = plt.subplots(2, 3, figsize=(11, 7))
dc2 = Table.read(catalog("catalogs", "dc2_photometry_validation.fits.gz"))
d = {b: np.array(dc2[f"mag_{b}_lsst"]) for b in "ugrizy"}
ok = (d["i"] < 24.5) & np.all([np.isfinite(d[b]) for b in "griz"], axis=0)
bright = galaxy & (mag["i"] < 24.5)
rng = np.random.default_rng(1)
pick = rng.permutation(np.flatnonzero(bright))[:4000]
for axis, (a, b, c) in zip(axes[0], ("gri", "riz", "ugr")):
    axis.plot(d[a][ok][:4000] - d[b][ok][:4000], d[b][ok][:4000] - d[c][ok][:4000], ".", ms=1.5, color=ORANGE, alpha=0.5, label="DC2 (simulated, with noise)")
    axis.plot((mag[a] - mag[b])[pick], (mag[b] - mag[c])[pick], ".", ms=1.5, color=BLUE, alpha=0.5, label="survey")
    axis.set(xlim=(-0.7, 2.3), ylim=(-0.7, 1.8), xlabel=f"{a}-{b}", ylabel=f"{b}-{c}")
    axis.legend(fontsize=7, markerscale=5)
hdf = np.genfromtxt(catalog("catalogs", "hdfn_fs99_eazy.cat"))
flux = {name: hdf[:, 1 + 2 * k] for k, name in enumerate(("300", "450", "606", "814"))}
with np.errstate(invalid="ignore", divide="ignore"):
    h = {k: -2.5 * np.log10(v) for k, v in flux.items()}
# F814W in AB: the catalog's unit is 1e-30 erg/s/cm2/Hz x 10 = microjansky / 1; 23.9 is the zero point of the microjansky.
i_hdf = h["814"] + 23.9
spectroscopic = hdf[:, 15]
pivot = {"u": 3660, "g": 4770, "r": 6190, "i": 7540, "z": 8710}


def at(blue, red, wavelength):
    """Magnitude at a wavelength between two bands, straight in log wavelength."""
    w = np.log(wavelength / pivot[blue]) / np.log(pivot[red] / pivot[blue])
    return (1 - w) * mag[blue] + w * mag[red]


with np.errstate(invalid="ignore"):
    m450, m606, m814 = at("u", "g", 4550), at("g", "r", 5960), at("i", "z", 8000)
have = (spectroscopic > 0) & (i_hdf < 25)
ours = galaxy & (mag["i"] < 24)
axes[1, 0].plot(z[ours][:4000], (m450 - m814)[ours][:4000], ".", ms=1.5, color=BLUE, alpha=0.4, label="survey, i < 24 (between its bands)")
axes[1, 0].plot(spectroscopic[have], (h["450"] - h["814"])[have], "o", ms=3, color=ORANGE, label="HDF-N, spectroscopic z")
axes[1, 0].set(xlim=(0, 4.5), ylim=(-1, 5), xlabel="redshift", ylabel="F450W - F814W")
axes[1, 0].legend(fontsize=7)
deep = (i_hdf > 22) & (i_hdf < 26)
ours = galaxy & (mag["i"] > 22) & (mag["i"] < 26)
for axis, name, theirs, mine in ((axes[1, 1], "F450W - F606W", h["450"] - h["606"], m450 - m606), (axes[1, 2], "F606W - F814W", h["606"] - h["814"], m606 - m814)):
    axis.hist(mine[ours], 40, range=(-0.7, 3), density=True, histtype="step", color=BLUE, label="survey, 22 < i < 26")
    axis.hist(theirs[deep], 40, range=(-0.7, 3), density=True, histtype="step", color=ORANGE, label=f"HDF-N, {deep.sum()} galaxies")
    axis.set(xlabel=name, ylabel="density")
    axis.legend(fontsize=7)
    real = theirs[deep & np.isfinite(theirs)]
    model = mine[ours & np.isfinite(mine)]
    print(f"{name} 16, 50, 84 %: survey {np.percentile(model, [16, 50, 84]).round(2)}, HDF-N {np.percentile(real, [16, 50, 84]).round(2)}")
save(figure, "sky_colours")
for a, b in ("ug", "gr", "ri", "iz", "zy"):
    real, model = (d[a] - d[b])[ok], (mag[a] - mag[b])[bright]
    real, model = real[np.isfinite(real)], model[np.isfinite(model)]
    print(f"{a}-{b}, i < 24.5, 16, 50, 84 %: survey {np.percentile(model, [16, 50, 84]).round(2)}, DC2 {np.percentile(real, [16, 50, 84]).round(2)}")

# ---- redshifts
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
x, y = running(mag["i"][galaxy], z[galaxy], np.arange(18, 27.1, 0.75))
axes[0].fill_between(x, y[0], y[2], color=BLUE, alpha=0.2)
axes[0].plot(x, y[1], color=BLUE, label="survey (16, 50, 84 %)")
x, y = running(d["i"], np.array(dc2["redshift"]), np.arange(18, 25.6, 0.75))
axes[0].plot(x, y[1], "s", ms=4, color=ORANGE, label="DC2 (simulated)")
x, y = running(np.array(faint["MAG"]), np.array(faint_fits["ZPHOT"]), np.arange(23, 26.6, 0.75))
axes[0].plot(x, y[1], "o", ms=4, color=GREY, label="COSMOS photometric")
axes[0].set(xlabel="i [AB]", ylabel="redshift", ylim=(0, 3.5))
axes[0].legend(fontsize=7)
axes[1].hist(z[galaxy & (mag["i"] < 24)], 40, range=(0, 4), density=True, histtype="step", color=BLUE, label="survey, i < 24")
axes[1].hist(np.array(dc2["redshift"])[d["i"] < 24], 40, range=(0, 4), density=True, histtype="step", color=ORANGE, label="DC2, i < 24")
axes[1].set(xlabel="redshift", ylabel="density")
axes[1].legend(fontsize=7)
save(figure, "sky_redshifts")

# ---- stars
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
tri = {b: np.array(trilegal[b + "mag"]) for b in "ugrizy"}
for axis, (a, b, c) in zip(axes, ("gri", "riz")):
    axis.plot(tri[a] - tri[b], tri[b] - tri[c], ".", ms=2, color=ORANGE, label="TRILEGAL (simulated)")
    axis.plot((mag[a] - mag[b])[star], (mag[b] - mag[c])[star], ".", ms=1.5, color=BLUE, alpha=0.4, label="survey")
    axis.set(xlim=(-0.3, 2.6), ylim=(-0.3, 2.6), xlabel=f"{a}-{b}", ylabel=f"{b}-{c}")
    axis.legend(fontsize=7, markerscale=4)
motion = np.hypot(truth["pm_ra"], truth["pm_dec"])
x, y = running(mag["i"][star], motion[star], np.arange(16, 27.1, 1))
axes[2].fill_between(x, y[0], y[2], color=BLUE, alpha=0.2)
axes[2].plot(x, y[1], color=BLUE, label="survey (16, 50, 84 %)")
x, y = running(tri["i"], np.hypot(np.array(trilegal["pmdec"]), np.array(trilegal["pmracosd"])), np.arange(16, 27.1, 1))
axes[2].plot(x, y[1], "o", ms=4, color=ORANGE, label="TRILEGAL, median")
axes[2].set(yscale="log", xlabel="i [AB]", ylabel="proper motion [mas/yr]")
axes[2].legend(fontsize=7)
save(figure, "sky_stars")

# ---- clustering: pairs of galaxies of i < 25 against the law
from astropy.coordinates import SkyCoord, search_around_sky
import astropy.units as unit

s = np.flatnonzero(galaxy & (mag["i"] < 26))
at = SkyCoord(truth["ra"][s], truth["dec"][s], unit="deg")
_, _, separation, _ = search_around_sky(at, at, 60 * unit.arcsec)
separation = separation.to_value(unit.arcsec)
edges = np.geomspace(0.5, 60, 14)
n = np.histogram(separation[separation > 0], edges)[0]
random = len(s) ** 2 / (SIDE_DEG * 3600) ** 2 * np.pi * np.diff(edges**2)
middle = np.sqrt(edges[1:] * edges[:-1])
figure, axis = plt.subplots(figsize=(4.4, 3.6))
axis.errorbar(middle, n / random - 1, np.sqrt(n) / random, fmt="o", ms=4, color=BLUE, label="survey, i < 26 (periodic in truth; edges here)")
axis.plot(middle, 0.05 * (middle / 60) ** -0.8, color=ORANGE, label="0.05 (θ / 1 arcmin)$^{-0.8}$")
axis.set(xscale="log", yscale="log", xlabel="θ [arcsec]", ylabel="w(θ)")
axis.legend(fontsize=7)
save(figure, "sky_clustering")
for m, v, w in zip(middle, n / random - 1, 0.05 * (middle / 60) ** -0.8):
    print(f"w({m:.1f} arcsec): survey {v:.3f}, law {w:.3f}")
