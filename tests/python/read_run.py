"""Opens a finished run with h5py: the catalog as columns with their units. The README shows this file."""
import sys

import h5py

with h5py.File(f"{sys.argv[1]}/run.h5") as run:
    catalog = run["catalog"]
    flux, error = catalog["r_psf_flux"], catalog["r_psf_flux_err"]
    rows = catalog["is_primary"][:] == 1
    print(f"{rows.sum()} objects; brightest {flux[rows].max():.0f} {flux.attrs['unit']}: {flux.attrs['description']}")
    matches = run["matches"]
    found = (matches["status"].asstr()[:] == "matched").sum()
    image = run["coadds/000_000/r/image"]
    print(f"{found} true objects found; coadd of patch 000_000: {image.shape} pixels in {image.attrs['unit']}")
