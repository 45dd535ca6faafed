"""Lists every unsaturated star of the independent scene that lies on at least two exposures, with its flux pulls.

    python3 reports/galsim/list_stars.py runs/galsim-gri > reports/galsim/stars.txt

S/N is F sqrt(Phi) at the true position, the pull (measured - true) / error; * marks a flagged flux. Needs h5py and numpy.
"""
import sys

import h5py
import numpy as np

run = h5py.File(sys.argv[1] + "/run.h5")
bands = ["g", "r", "i"]
truth, catalog, matches = run["truth"], run["catalog"], run["matches"]
scale, center, middle = 0.2 / 3600, (150.1, 2.2), 255.5  # the tract of jobs/galsim-gri.toml: 512 x 512 pixels


def tract_pixel(ra, dec):
    a, d, d0 = np.radians(ra - center[0]), np.radians(dec), np.radians(center[1])
    w = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    east, north = np.cos(d) * np.sin(a) / w, (np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a)) / w
    return middle - np.degrees(east) / scale, middle + np.degrees(north) / scale


def exposures(band, x, y):
    column, row = int(x + 0.5) // 256, int(y + 0.5) // 256
    words = run[f"coadds/{column:03d}_{row:03d}/{band}/inputs"][:, int(y + 0.5) - 256 * row, int(x + 0.5) - 256 * column]
    return sum(bin(int(w)).count("1") for w in words)


status = dict(zip(matches["truth_id"][:], zip(matches["status"][:].astype(str), matches["object_id"][:])))
rows = {i: k for k, i in enumerate(catalog["id"][:])}
stars = np.flatnonzero((truth["class"][:].astype(str) == "star") & (truth["is_usable"][:] > 0))
print(f"{'id':>5} {'kind':>9} " + " ".join(f"{b + ': exp':>7} {'S/N':>7} {'pull':>7}" for b in bands))
for k in sorted(stars, key=lambda k: -truth["r_snr_true"][k]):
    x, y = tract_pixel(truth["ra"][k], truth["dec"][k])
    n = [exposures(b, x, y) for b in bands]
    if min(n) < 2:
        continue
    what, found = status.get(truth["id"][k], ("ignored", 0))
    row = rows.get(found)
    cells = []
    for b, n_exposures in zip(bands, n):
        pull = "-"
        if row is not None and what == "matched":
            difference = catalog[b + "_psf_flux"][row] - truth[b + "_flux"][k]
            pull = f"{difference / catalog[b + '_psf_flux_err'][row]:.2f}" + ("*" if catalog[b + "_psf_flux_flag"][row] else "")
        cells.append(f"{n_exposures:7d} {truth[b + '_snr_true'][k]:7.1f} {pull:>7}")
    blended = row is not None and catalog["parent_id"][row] != catalog["id"][row]
    print(f"{truth['id'][k]:5d} {('blended' if blended else what):>9} " + " ".join(cells))
