#!/usr/bin/env python3
"""A dense scene of isolated stars, made by GalSim: an independent check of fluxes and their errors.

Usage: make_scene.py OUT_FOLDER        (needs galsim, astropy, numpy; about two minutes)

Writes the same file layout as the small GalSim scene (layout.toml beside this script reads it):
exposures/<band>_<nn>.{sci,var,mask,psf}.fits[.gz] and truth.fits. Stars stand on a jittered grid, 10 arcsec apart;
their S/N on all exposures of a band (matched filter, background noise only) is log-uniform in 20..300, drawn
independently per band. Nothing of fathom is used.
"""
import sys
from pathlib import Path

import galsim
import numpy as np
from astropy.io import fits
from astropy.table import Table

OUT = Path(sys.argv[1])
RNG = np.random.default_rng(20240611)
N, SCALE, N_EXP, BANDS = 1000, 0.2, 4, "gri"
GAIN, READ_NOISE, SATURATE_E = 1.6, 8.0, 1.0e5
CENTER = galsim.CelestialCoord(150.1 * galsim.degrees, 2.2 * galsim.degrees)
SPACING, HALF = 10.0, 85.0  # arcsec


def exposures():
    for band in BANDS:
        for k in range(N_EXP):
            rot = np.deg2rad(RNG.uniform(-5, 5))
            dx, dy = RNG.uniform(-6, 6, 2)
            cd = SCALE / 3600 * np.array([[-np.cos(rot), np.sin(rot)], [np.sin(rot), np.cos(rot)]])
            crval = CENTER.deproject(dx * galsim.arcsec, dy * galsim.arcsec)
            psf = galsim.Moffat(beta=RNG.uniform(2.8, 4.0), fwhm=RNG.lognormal(np.log(0.8), 0.12)).shear(
                g1=RNG.normal(0, 0.01), g2=RNG.normal(0, 0.01)
            )
            yield dict(name=f"{band}_{k:02d}", band=band, cd=cd, crval=crval, psf=psf, sky_e=RNG.uniform(300, 700),
                       zp_e=RNG.normal(32.0, 0.05), mjd=60000.0 + 3 * k + RNG.uniform(0, 0.1))


def header_wcs(e):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["CRPIX1"] = header["CRPIX2"] = (N + 1) / 2
    header["CRVAL1"], header["CRVAL2"] = e["crval"].ra.deg, e["crval"].dec.deg
    for i in range(2):
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = e["cd"][i, j]
    return header


def effective_psf(e, wcs):
    """The PSF through the exposure's pixel, drawn at a pixel centre, 65 x 65, flux 1 in all."""
    local = wcs.local(world_pos=e["crval"])
    stamp = galsim.Image(65, 65, wcs=local, dtype=float)
    e["psf"].drawImage(image=stamp, method="auto")
    return stamp.array


def main():
    (OUT / "exposures").mkdir(parents=True, exist_ok=True)
    plans = list(exposures())
    for e in plans:
        e["header"] = header_wcs(e)
        e["wcs"] = galsim.AstropyWCS(header=e["header"])
        e["stamp"] = effective_psf(e, e["wcs"])
        e["njy_per_e"] = 10 ** (0.4 * (31.4 - e["zp_e"]))
    grid = np.arange(-HALF, HALF + 1e-9, SPACING)
    u, v = (a.ravel() + RNG.uniform(-1, 1, a.size) for a in np.meshgrid(grid, grid))
    stars = [CENTER.deproject(a * galsim.arcsec, b * galsim.arcsec) for a, b in zip(u, v)]
    snr = {b: np.exp(RNG.uniform(np.log(20), np.log(300), len(stars))) for b in BANDS}
    flux = {}
    for b in BANDS:
        phi = sum(np.sum(e["stamp"] ** 2) / ((e["sky_e"] + READ_NOISE**2) * e["njy_per_e"] ** 2) for e in plans if e["band"] == b)
        flux[b] = snr[b] / np.sqrt(phi)
    for i, e in enumerate(plans):
        image = galsim.ImageD(N, N, wcs=e["wcs"])
        for star, f in zip(stars, flux[e["band"]]):
            pos = e["wcs"].toImage(star)
            size = 81
            stamp = galsim.Image(galsim.BoundsI(galsim.PositionI(round(pos.x) - 40, round(pos.y) - 40),
                                                galsim.PositionI(round(pos.x) - 41 + size, round(pos.y) - 41 + size)), wcs=e["wcs"], dtype=float)
            (e["psf"] * (f / e["njy_per_e"])).drawImage(image=stamp, center=pos, method="auto")
            overlap = stamp.bounds & image.bounds
            if overlap.isDefined():
                image[overlap] += stamp[overlap]
        noise = np.random.default_rng([20240611, i])
        counts = noise.poisson(image.array + e["sky_e"]) + noise.normal(0, READ_NOISE, (N, N))
        h = e["header"].copy()
        h["FILTER"], h["GAIN"], h["RDNOISE"] = e["band"], GAIN, READ_NOISE
        h["MAGZERO"] = e["zp_e"] - 2.5 * np.log10(GAIN)  # magnitude of one count = GAIN electrons
        h["SATURATE"], h["MJD-OBS"], h["EXPTIME"], h["EXPNAME"], h["BUNIT"] = SATURATE_E / GAIN, e["mjd"], 30.0, e["name"], "adu"
        stem = OUT / "exposures" / e["name"]
        fits.PrimaryHDU(((counts - e["sky_e"]) / GAIN).astype("f4"), h).writeto(f"{stem}.sci.fits.gz", overwrite=True)
        fits.PrimaryHDU(((np.maximum(counts, 0) + READ_NOISE**2) / GAIN**2).astype("f4")).writeto(f"{stem}.var.fits.gz", overwrite=True)
        fits.PrimaryHDU(np.zeros((N, N), "i4")).writeto(f"{stem}.mask.fits.gz", overwrite=True)
        fits.PrimaryHDU(e["stamp"]).writeto(f"{stem}.psf.fits", overwrite=True)
        print(e["name"], flush=True)
    zeros = np.zeros(len(stars))
    t = Table({"id": np.arange(len(stars)), "ra": [s.ra.deg for s in stars], "dec": [s.dec.deg for s in stars]})
    t["type"] = np.ones(len(stars), int)
    for name in ("hlr", "e1", "e2", "sersic_n"):
        t[name] = zeros
    for b in BANDS:
        t[f"flux_{b}"], t[f"snr_{b}"] = flux[b], snr[b]
    t.write(OUT / "truth.fits", overwrite=True)


main()
