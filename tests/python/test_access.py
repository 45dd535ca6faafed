"""What fathom writes for other programs, read by them: catalogs by astropy, pyarrow and pandas, cutouts by astropy."""
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.units import Unit
from astropy.wcs import WCS

HERE = Path(__file__).parent
RUN = Path(os.environ["RUN"])
FATHOM = os.environ["FATHOM"]


def fathom(*arguments):
    done = subprocess.run([FATHOM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def truth():
    """Columns of run.h5 by h5py, with units and descriptions."""
    with h5py.File(RUN / "run.h5") as run:
        group = run["catalog"]
        names = [n.decode() if isinstance(n, bytes) else n for n in group.attrs["columns"]]
        columns = {}
        for name in names:
            data = group[name]
            values = data.asstr()[:] if h5py.check_string_dtype(data.dtype) else data[:]
            if data.attrs.get("kind") == "bool":
                values = values == 1
            columns[name] = (values, data.attrs["unit"], data.attrs["description"])
    return columns


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if expected.dtype.kind == "f":
        # Bit by bit, but any NaN is as good as another.
        both_nan = np.isnan(found) & np.isnan(expected)
        return bool((both_nan | (found == expected)).all())
    if expected.dtype.kind in "OU":
        return [str(a) for a in found] == [str(a) for a in expected]
    return bool((found == expected).all())


def test_fits(truth, tmp_path):
    path = tmp_path / "catalog.fits"
    assert fathom("catalog", RUN, "--format", "fits", "--out", path) == [str(path)]
    table = Table.read(path, hdu="catalog", mask_invalid=False)
    assert table.colnames == list(truth)
    header = fits.getheader(path, "catalog")
    for i, (name, (values, unit, description)) in enumerate(truth.items(), 1):
        assert same(table[name], values), name
        assert header.get(f"TUNIT{i}", "") == unit, name
        assert header.get(f"TCOMM{i}", "") == description, name
    assert str(table["r_psf_flux"].unit) == "nJy" and str(table["ra"].unit) == "deg"


def test_parquet(truth, tmp_path):
    path = tmp_path / "catalog.parquet"
    fathom("catalog", RUN, "--format", "parquet", "--out", path)
    table = pq.read_table(path)
    assert table.column_names == list(truth)
    about = json.loads(table.schema.metadata[b"fathom.columns"])
    for name, (values, unit, description) in truth.items():
        assert same(table[name].to_numpy(), values), name
        assert about[name] == {"unit": unit, "description": description}
    frame = pandas.read_parquet(path)
    assert same(frame["r_psf_flux"], truth["r_psf_flux"][0]) and frame["is_primary"].dtype == bool
    # astropy finds the units in the VOTable header of the VOParquet convention.
    from astropy.io.votable import parse

    header = tmp_path / "header.xml"
    header.write_bytes(table.schema.metadata[b"IVOA.VOTable-Parquet.content"])
    fields = {f.name: f for f in parse(header).get_first_table().fields}
    assert str(fields["r_psf_flux"].unit) == "nJy" and list(fields) == list(truth)


def test_csv(truth, tmp_path):
    path = tmp_path / "catalog.csv"
    fathom("catalog", RUN, "--format", "csv", "--out", path)
    table = Table.read(path, format="ascii.ecsv")
    assert table.colnames == list(truth)
    for name, (values, unit, description) in truth.items():
        assert same(np.ma.filled(table[name], np.nan) if np.asarray(values).dtype.kind == "f" else table[name], values), name
        # By meaning: astropy writes pix for pixel.
        assert (table[name].unit or "") == (Unit(unit) if unit else ""), name
        assert (table[name].description or "") == description, name
    frame = pandas.read_csv(path, comment="#")
    assert same(frame["id"], truth["id"][0])
    # Its quick parser may miss the last bit.
    assert np.allclose(frame["r_psf_flux"], truth["r_psf_flux"][0], rtol=1e-14, atol=0, equal_nan=True)


def test_rows_and_columns(truth, tmp_path):
    path = tmp_path / "some.parquet"
    condition = "is_primary and r_psf_flux / r_psf_flux_err > 20 and not (r_psf_flux_flag or is_nan(r_psf_flux))"
    fathom("catalog", RUN, "--format", "parquet", "--columns", "id,r_psf_flux", "--where", condition, "--out", path)
    table = pq.read_table(path)
    flux, error = truth["r_psf_flux"][0], truth["r_psf_flux_err"][0]
    with np.errstate(invalid="ignore"):
        rows = truth["is_primary"][0] & (flux / error > 20) & ~truth["r_psf_flux_flag"][0] & ~np.isnan(flux)
    assert table.column_names == ["id", "r_psf_flux"] and 0 < rows.sum() < len(rows)
    assert same(table["id"].to_numpy(), truth["id"][0][rows]) and same(table["r_psf_flux"].to_numpy(), flux[rows])


def brightest_single(truth):
    flux, rows = truth["r_psf_flux"][0], truth["is_primary"][0] & ~truth["r_psf_flux_flag"][0]
    parents, counts = np.unique(truth["parent_id"][0][truth["is_primary"][0]], return_counts=True)
    single = np.isin(truth["parent_id"][0], parents[counts == 1])
    return np.nanargmax(np.where(rows & single, flux, -np.inf))


def test_cutout_has_the_right_wcs(truth, tmp_path):
    star = brightest_single(truth)
    ra, dec = truth["ra"][0][star], truth["dec"][0][star]
    out = tmp_path / "star"
    fathom("cutout", RUN, "--ra", ra, "--dec", dec, "--size", 12, "--plane", "image,mask,significance", "--out", out)
    with fits.open(f"{out}.fits") as hdus:
        image = hdus["r_image"]
        assert image.header["BUNIT"] == "nJy" and image.header["FILTER"] == "r"
        wcs = WCS(image.header)
        x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
        peak = np.unravel_index(np.nanargmax(np.where(np.hypot(*np.meshgrid(np.arange(image.shape[1]) - x, np.arange(image.shape[0]) - y)) < 5, image.data, np.nan)), image.shape)
        # The brightest pixel is the one that the catalog's position lies in, or its neighbour.
        assert np.hypot(peak[1] - x, peak[0] - y) < 1.0
        back = wcs.pixel_to_world(x, y)
        assert back.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 1e-6
        assert hdus["r_mask"].data.dtype.kind == "i" and hdus["r_significance"].data[peak] > 5
    assert Path(f"{out}.png").read_bytes().startswith(b"\x89PNG")


def test_a_blend_taken_apart(truth, tmp_path):
    n_children = truth["n_children"][0]
    parent = truth["parent_id"][0][np.argmax(n_children)]
    out = tmp_path / "blend"
    fathom("cutout", RUN, "--parent", parent, "--band", "r", "--out", out)
    with fits.open(f"{out}.fits") as hdus:
        names = [h.name.lower() for h in hdus]
        children = [h.data for h in hdus if "_child_" in h.name.lower()]
        assert "r_data" in names and len(children) >= 2
        assert np.allclose(np.sum(children, axis=0, dtype=np.float64), hdus["r_model"].data, rtol=1e-5, atol=1e-4)
        data, model, residual = (hdus[f"r_{n}"].data for n in ("data", "model", "residual"))
        assert np.array_equal(residual, data - model, equal_nan=True)


def test_the_snippet_of_the_readme():
    snippet = (HERE / "read_run.py").read_text()
    body = snippet[snippet.index("import sys"):].strip()
    readme = (HERE.parent.parent / "README.md").read_text()
    assert all(line.strip() in readme for line in body.splitlines()), "the README shows another snippet"
    done = subprocess.run([sys.executable, HERE / "read_run.py", RUN], capture_output=True, text=True)
    assert done.returncode == 0 and "nJy" in done.stdout, done.stderr
