"""Detection on real data beside lists of other programs: nine DECam exposures, fifty blends of HSC coadds.

    real.py prepare DATA OUT                          the HSC cutouts as exposures, and their layout
    real.py compare DATA RUNS FIGURES                 figures to standard output, pictures to the folder
"""

import sys
import warnings
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import sep
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.spatial import cKDTree

matplotlib.use("Agg")
import matplotlib.pyplot as plt

warnings.simplefilter("ignore")
HSC_BANDS = "grizy"
MARGIN, SIDE = 32, (16 * 64, 16 * 64)  # pixels of noise around a cutout; of the tract
LAYOUT = """root = "{root}"

[image]
file = "{{blend}}_{{band}}_image.fits"
name = "{{blend}}_{{band}}"

[variance]
kind = "inverse_variance"
file = "{{blend}}_{{band}}_weight.fits"

[psf]
kind = "stamp"
file = "{{blend}}_{{band}}_psf.fits"
normalize = true

[exposure]
band = "{{band}}"
exposure_time = 1.0
mjd = 57000.0
gain = 3.0
sky_subtracted = true

[photometry]
zero_point = 27.0
"""


def tan_header(crpix, crval, scale_arcsec):
    header = fits.Header()
    step = scale_arcsec / 3600
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": crval[0], "CRVAL2": crval[1], "CRPIX1": crpix[0], "CRPIX2": crpix[1]}
    for key, value in (cards | {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}).items():
        header[key] = value
    return header


def placed(shapes):
    """Where each cutout goes on the tract (x, y), its margin around it: on shelves, the highest first."""
    at, x, y, shelf = [None] * len(shapes), 0, 0, 0
    for k in sorted(range(len(shapes)), key=lambda k: -shapes[k][0]):
        ny, nx = (n + 2 * MARGIN for n in shapes[k])
        if x + nx > SIDE[0]:
            x, y, shelf = 0, y + shelf, 0
        at[k] = (x + MARGIN, y + MARGIN)
        x, shelf = x + nx, max(shelf, ny)
    assert y + shelf <= SIDE[1], y + shelf
    return at


def blends(data):
    """Name, place on the tract, images, weights, PSFs, reference peaks (x, y)."""
    paths = sorted((Path(data) / "real/hsc_cosmos_blends").glob("*.npz"))
    files = [np.load(path) for path in paths]
    places = placed([z["images"].shape[1:] for z in files])
    for path, z, at in zip(paths, files, places):
        images = z["images"]
        if "weights" in z:
            weights, peaks = z["weights"], z["peaks"].astype(float)
        else:  # scarlet's example, whose mask is mostly DETECTED
            weights = 1 / z["variance"]
            peaks = np.column_stack([z["catalog"]["x"], z["catalog"]["y"]])
        yield path.stem.rsplit("_", 1)[-1], at, images, np.where(np.isfinite(weights), weights, 0), z["psfs"], peaks


def prepare(data, out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, (x0, y0), images, weights, psfs, _ in blends(data):
        header = tan_header(((SIDE[0] + 1) / 2 - x0 + MARGIN, (SIDE[1] + 1) / 2 - y0 + MARGIN), (150.0, 0.0), 0.168)
        rng = np.random.default_rng(int(name))
        ny, nx = images.shape[1:]
        for b, band in enumerate(HSC_BANDS):
            # Weights are zero outside the blend's footprint though there are pixels; around the cutout blank sky is put, from which its variance is taken.
            weight = float(np.median(weights[b][weights[b] > 0]))
            shape = (ny + 2 * MARGIN, nx + 2 * MARGIN)
            image = rng.normal(0, weight**-0.5, shape)
            image[MARGIN : MARGIN + ny, MARGIN : MARGIN + nx] = images[b]
            fits.writeto(out / f"{name}_{band}_image.fits", image.astype(np.float32), header, overwrite=True)
            fits.writeto(out / f"{name}_{band}_weight.fits", np.full(shape, weight, np.float32), overwrite=True)
            fits.writeto(out / f"{name}_{band}_psf.fits", psfs[b].astype(float), overwrite=True)
    (out / "layout.toml").write_text(LAYOUT.format(root=out.resolve()))


class Run:
    def __init__(self, run, bands):
        self.run, self.bands = Path(run), bands
        peaks, negative, objects, decided = [], [], [], []
        for path in sorted((self.run / "main/layers").glob("*.h5")):
            with h5py.File(path) as f:
                self.names = list(f["layers/name"].asstr()[:])
                self.threshold = f["layers/threshold"][:]
                p = f["peaks"]
                layer = np.repeat(np.arange(len(self.names)), np.diff(p["offsets"][:]))
                peaks.append(np.column_stack([p["x"][:], p["y"][:], p["significance"][:], layer, p["fate"][:]]))
                n = f["negative_peaks"]
                layer = np.repeat(np.arange(len(self.names)), np.diff(n["offsets"][:]))
                negative.append(np.column_stack([n["x"][:], n["y"][:], n["significance"][:], layer]))
        for path in sorted((self.run / "main/parents").glob("*.h5")):
            with h5py.File(path) as f:
                p, d = f["parents/peaks"], f["decisions"]
                if len(p["x"]):
                    objects.append(np.column_stack([p["x"][:], p["y"][:], np.nanmax(p["layer_significance"][:], axis=1), p["best_layer"][:]]))
                decided.append(np.column_stack([d["peaks/x"][:], d["peaks/y"][:], d["decision"][:], d["log_odds"][:], d["conditional_significance"][:], d["peaks/layer"][:]]))
        self.peaks, self.negative, self.objects, self.decided = (np.concatenate(v) for v in (peaks, negative, objects, decided))
        with h5py.File(sorted((self.run / "main/coadd").glob("*.h5"))[0]) as f:
            self.fwhm = {b: float(f[b].attrs["fwhm_px"]) for b in bands}

    def plane(self, name):
        parts = []
        for path in sorted((self.run / "main/coadd").glob("*.h5")):
            with h5py.File(path) as f:
                group = f[name.split("/")[0]]
                parts.append((group.attrs["bbox"], f[name][()]))
        nx, ny = (max(b[k] + b[k + 2] for b, _ in parts) for k in (0, 1))
        out = np.full((ny, nx), np.nan)
        for (x0, y0, w, h), values in parts:
            out[y0 : y0 + h, x0 : x0 + w] = values
        return out

    def free_sed(self):
        """T of point sources, and psi over sqrt(phi) by band."""
        nu = []
        for b in self.bands:
            psi, phi = self.plane(f"{b}/psi"), self.plane(f"{b}/phi")
            nu.append(np.where(phi > 0, psi / np.sqrt(np.maximum(phi, 1e-30)), 0))
        return np.sqrt(sum(np.maximum(v, 0) ** 2 for v in nu)), nu


def one_to_one(a, b, radius):
    """Index of the partner in b for every a, nearest pairs first; -1 without."""
    of_a, of_b = np.full(len(a), -1), np.full(len(b), -1)
    if len(a) and len(b):
        pairs = cKDTree(a).sparse_distance_matrix(cKDTree(b), radius, output_type="coo_matrix")
        for k in np.argsort(pairs.data, kind="stable"):
            if of_a[pairs.row[k]] < 0 and of_b[pairs.col[k]] < 0:
                of_a[pairs.row[k]], of_b[pairs.col[k]] = pairs.col[k], pairs.row[k]
    return of_a, of_b


# DECam.


def own_coadd(data, tract, shape):
    """Inverse-variance mean per band on the tract by nearest pixels: sharing no code or file of fathom. Flux unit: 22.5 mag."""
    folder = Path(data) / "real/decam_grz_9epoch"
    table = Table.read(folder / "survey-ccds-1.fits.gz")
    base = [str(n).strip().rsplit("/", 1)[-1].replace(".fz", "").replace(".fits", "") for n in table["image_filename"]]
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    ra, dec = tract.all_pix2world(x.ravel(), y.ravel(), 0)
    sums = {b: np.zeros((2, *shape)) for b in "grz"}
    for path in sorted((folder / "images").glob("*_ooi_*")):
        stem, ccd = path.name.split(".")[0], path.name.split(".")[1]
        rows = [k for k, n in enumerate(base) if n.split(".")[0] == stem and str(table["ccdname"][k]).strip() == ccd]
        row = table[rows[0]]
        image, header = fits.getdata(path, 1).astype(float), fits.getheader(path, 1)
        weight = fits.getdata(str(path).replace("_ooi_", "_oow_"), 1).astype(float)
        flag = fits.getdata(str(path).replace("_ooi_", "_ood_"), 1)
        good = (weight > 0) & np.isin(flag, (0, 7)) & np.isfinite(image)
        mesh = sep.Background(np.ascontiguousarray(np.where(good, image, 0)), mask=~good, bw=64, bh=64)
        scale = 10 ** (-0.4 * (row["ccdzpt"] - 22.5)) / row["exptime"]
        header["CRVAL1"] += row["ccdraoff"] / 3600 / np.cos(np.radians(header["CRVAL2"]))
        header["CRVAL2"] += row["ccddecoff"] / 3600
        px, py = (np.rint(v).astype(int) for v in WCS(header).all_world2pix(ra, dec, 0))
        inside = (px >= 0) & (py >= 0) & (px < image.shape[1]) & (py < image.shape[0])
        w = np.zeros(x.size)
        w[inside] = np.where(good, weight, 0)[py[inside], px[inside]] / scale**2
        v = np.zeros(x.size)
        v[inside] = ((image - mesh.back()) * scale)[py[inside], px[inside]]
        band = stem.split("_ooi_")[1].split("_")[0]
        sums[band] += np.array([w * v, w]).reshape(2, *shape)
    return {b: (np.where(s[1] > 0, s[0] / np.maximum(s[1], 1e-30), 0), np.where(s[1] > 0, 1 / np.maximum(s[1], 1e-30), np.inf)) for b, s in sums.items()}


def coverage(run):
    """Pixels of every band that an exposure covers."""
    with h5py.File(sorted((run.run / "main/coadd").glob("*.h5"))[0]) as f:
        planes = [p if isinstance(p, str) else p.decode() for p in f.attrs["mask_planes"]]
    bit = 1 << planes.index("NO_DATA")
    return [(np.nan_to_num(run.plane(f"{b}/mask")).astype(np.int64) & bit) == 0 for b in run.bands]


def decam(data, path, lsst_path, all_path, figures):
    run = Run(path, "grz")
    shape = (320, 320)
    tract = WCS(tan_header((160.5, 160.5), (186.744, 25.462), 0.262))
    print("# DECam: nine exposures, g 2, r 3, z 4\n")
    print(f"FWHM {', '.join(f'{b} {v:.2f}' for b, v in run.fwhm.items())} px; {len(run.names)} layers, {len(run.peaks)} peaks, {len(run.negative)} of the negated maps, {len(run.objects)} objects")
    coadds = own_coadd(data, tract, shape)
    covered = {b: np.isfinite(v) for b, (_, v) in coadds.items()}
    print("\nPeaks of the point layers beside sep on a coadd of other code (nearest pixels, matched filter of the mean FWHM, the same 5 sigma, 3 pixels, contrast 0.005, not cleaned); a partner is within 1 arcsec")
    reference = {}
    for b in "grz":
        image, variance = coadds[b]
        sigma = run.fwhm[b] / 2.3548
        r = int(np.ceil(4 * sigma))
        yy, xx = np.mgrid[-r : r + 1, -r : r + 1]
        kernel = np.exp(-0.5 * (xx**2 + yy**2) / sigma**2)
        error = np.where(np.isfinite(variance), np.sqrt(np.where(np.isfinite(variance), variance, 1)), 1e3)
        found = sep.extract(image, 5.0, err=error, mask=~covered[b], filter_kernel=kernel, filter_type="matched", minarea=3, deblend_cont=0.005, clean=False)
        reference[b] = np.column_stack([found["x"], found["y"], found["flux"]])
        layer = run.names.index(b)
        own = run.peaks[(run.peaks[:, 3] == layer) & (run.peaks[:, 4] == 0)]
        of_reference, of_own = one_to_one(reference[b][:, :2], own[:, :2], 1 / 0.262)
        negative = run.negative[run.negative[:, 3] == layer]
        print(f"  {b}: sep {len(found)}, fathom {len(own)} (negated map {len(negative)}); of sep's {np.sum(of_reference >= 0)} found")
        nu = run.plane(f"{b}/psi") / np.sqrt(run.plane(f"{b}/phi"))
        for k in np.flatnonzero(of_reference < 0):
            cx, cy = np.rint(reference[b][k, :2]).astype(int)
            near = own[np.argmin(np.hypot(*(own[:, :2] - reference[b][k, :2]).T))]
            around = nu[max(cy - 2, 0) : cy + 3, max(cx - 2, 0) : cx + 3]
            print(f"    sep only ({cx}, {cy}): significance in our map {np.nanmax(around):.1f}, nearest peak {np.hypot(*(near[:2] - reference[b][k, :2])) * 0.262:.1f} arcsec away at {near[2]:.0f} sigma")
        for k in np.flatnonzero(of_own < 0):
            d = np.hypot(*(reference[b][:, :2] - own[k, :2]).T)
            j = int(np.argmin(d))
            print(f"    fathom only ({own[k, 0]:.1f}, {own[k, 1]:.1f}): {own[k, 2]:.1f} sigma; nearest of sep {d[j] * 0.262:.1f} arcsec away")
    gaia = Table.read(Path(data) / "real/decam_grz_9epoch/gaia/chunk-03586.fits")
    more = Table.read(Path(data) / "real/decam_grz_9epoch/gaia/chunk-03458.fits")
    print("\nGaia's stars on the tract")
    for t in (gaia, more):
        x, y = tract.all_world2pix(t["ra"], t["dec"], 0)
        for k in np.flatnonzero((x > 0) & (y > 0) & (x < 320) & (y < 320)):
            if not any(covered[b][int(y[k]), int(x[k])] for b in "grz"):
                continue
            dt = 2017.0 - t["ref_epoch"][k]
            pm = [0.0 if np.ma.is_masked(t[c][k]) or not np.isfinite(t[c][k]) else t[c][k] * dt / 1000 / 0.262 for c in ("pmra", "pmdec")]
            d = np.hypot(run.objects[:, 0] - (x[k] - pm[0]), run.objects[:, 1] - (y[k] + pm[1]))
            j = int(np.argmin(d))
            print(f"  G {t['phot_g_mean_mag'][k]:.2f} at ({x[k]:.1f}, {y[k]:.1f}): object {d[j] * 0.262:.3f} arcsec away, {run.objects[j, 2]:.0f} sigma")
    every = np.concatenate([v[:, :2] for v in reference.values()])
    kept = []
    for p in every:
        if all(np.hypot(*(p - q)) > 1 / 0.262 for q in kept):
            kept.append(p)
    kept = np.array(kept)
    bright = np.array([(265.1, 197.7), (258.0, 96.4), (257.1, 148.3), (93.9, 159.2)])  # Gaia's stars and the large galaxy
    any_data = np.any([v > 0 for v in coverage(run)], axis=0)
    print(f"\nObjects beside sep's of any band ({len(kept)}): of sep's with an object of their own; objects without one of sep: outside every exposure; within 8 arcsec of the three stars or the galaxy; others; by half-light radius of the best layer [arcsec]")
    for label, other in (("likelihood", run), ("lsst", Run(lsst_path, "grz")), ("likelihood, without the search for artifacts", Run(all_path, "grz"))):
        o = other.objects
        of_reference, of_own = one_to_one(kept, o[:, :2], 1 / 0.262)
        free = of_own < 0
        cx, cy = (np.clip(np.rint(o[:, k]).astype(int), 0, 319) for k in (0, 1))
        outside = free & ~any_data[cy, cx]
        near = free & ~outside & (cKDTree(bright).query(o[:, :2])[0] < 8 / 0.262)
        rest = free & ~outside & ~near
        radii = [other.names[int(k)].partition(":")[2] or "0" for k in o[free, 3]]
        print(f"  {label}: {np.sum(of_reference >= 0)} of {len(kept)}; objects {len(o)}, without {free.sum()}: {outside.sum()}, {near.sum()}, {rest.sum()}; " + ", ".join(f"{r}: {radii.count(r)}" for r in ("0", "0.4", "0.8", "1.6")))
        for k in np.flatnonzero(of_reference < 0):
            d = np.hypot(*(o[:, :2] - kept[k]).T)
            at = other.decided[np.hypot(*(other.decided[:, :2] - kept[k]).T) < 1 / 0.262]
            codes = [("founded", "merged", "explained", "masked", "culled", "neither near nor far", "low rank", "changing")[int(v)] for v in at[:, 2]]
            odds = f"; log odds up to {np.nanmax(at[:, 3]):.1f}" if np.isfinite(at[:, 3]).any() else ""
            print(f"    without an object: sep's ({kept[k, 0]:.0f}, {kept[k, 1]:.0f}), nearest object {d.min() * 0.262:.1f} arcsec away at {o[np.argmin(d), 2]:.0f} sigma; peaks there: " + (", ".join(f"{codes.count(c)} {c}" for c in sorted(set(codes))) or "none") + odds)
        for kind, mask in (("outside", outside), ("beside bright ones", near), ("others", rest)):
            print(f"    {kind}: " + ", ".join(f"({o[k, 0]:.0f}, {o[k, 1]:.0f}) {o[k, 2]:.1f} in {other.names[int(o[k, 3])]}" for k in np.flatnonzero(mask)[np.argsort(-o[mask, 2])]))
    fig, axes = plt.subplots(1, 3, figsize=(18, 6.4), dpi=80)
    for ax, b in zip(axes, "grz"):
        image, variance = coadds[b]
        shown = np.where(covered[b], image / np.sqrt(np.where(covered[b], variance, 1)), np.nan)
        ax.imshow(np.arcsinh(shown / 2), origin="lower", cmap="gray_r", vmin=-1.2, vmax=4)
        layer = run.names.index(b)
        own = run.peaks[(run.peaks[:, 3] == layer) & (run.peaks[:, 4] == 0)]
        ax.plot(reference[b][:, 0], reference[b][:, 1], "s", mec="tab:blue", mfc="none", ms=13, label="sep")
        ax.plot(own[:, 0], own[:, 1], "o", mec="tab:red", mfc="none", ms=7, label="peaks of this band")
        ax.plot(run.objects[:, 0], run.objects[:, 1], "+", color="tab:green", ms=6, label="objects")
        ax.set_title(b)
        ax.legend(loc="lower right", fontsize=8)
    fig.tight_layout()
    fig.savefig(Path(figures) / "real_decam.png")


# HSC.


def hsc(data, path, lsst_path, figures):
    run, lsst = Run(path, HSC_BANDS), Run(lsst_path, HSC_BANDS)
    t, _ = run.free_sed()
    radius = 0.75 * float(np.mean(list(run.fwhm.values())))
    print("\n# HSC: fifty blends of five bands\n")
    print(f"FWHM {', '.join(f'{b} {v:.2f}' for b, v in run.fwhm.items())} px, a partner is within {radius:.1f} px; {len(run.names)} layers, {len(run.peaks)} peaks, {len(run.negative)} of the negated maps, {len(run.objects)} objects, neighbours on the cutouts among them")
    limit = float(run.threshold[0])
    layers = {"peaks of points in the free SED": run.peaks[(run.peaks[:, 3] == 0) & (run.peaks[:, 4] == 0), :3], "peaks of any layer": run.peaks[run.peaks[:, 4] == 0, :3], "objects": run.objects[:, :4], "objects by the LSST rules": lsst.objects[:, :4]}
    total = 0
    found = {k: 0 for k in layers}
    extra = {k: [] for k in layers}
    by_blend, by_radius = {}, {}
    missed = []
    panels = []
    for name, (x0, y0), images, weights, _, peaks in blends(data):
        ny, nx = images.shape[1:]
        at = peaks + [x0, y0]
        total += len(at)
        inside = (weights > 0).any(axis=0)
        for k, list_ in layers.items():
            own = list_[(list_[:, 0] > x0 - 1) & (list_[:, 0] < x0 + nx) & (list_[:, 1] > y0 - 1) & (list_[:, 1] < y0 + ny)]
            of_reference, of_own = one_to_one(at, own[:, :2], radius)
            found[k] += int(np.sum(of_reference >= 0))
            on = np.array([inside[min(max(int(round(v - y0)), 0), ny - 1), min(max(int(round(u - x0)), 0), nx - 1)] for u, v, *_ in own], bool).reshape(-1)
            extra[k] += list(own[(of_own < 0) & on, 2])
            if k.startswith("objects"):
                by_blend.setdefault(k, {})[name] = (int(np.sum((of_own < 0) & on)), len(at), int(np.sum(of_reference >= 0)))
                by_radius.setdefault(k, []).extend(run.names[int(v)].partition(":")[2] or "0" for v in own[(of_own < 0) & on, 3])
            if k == "peaks of any layer":
                any_layer = of_reference >= 0
            if k == "objects":
                objects = own
                for j in np.flatnonzero(of_reference < 0):
                    cx, cy = np.rint(peaks[j]).astype(int)
                    window = t[y0 + max(cy - 1, 0) : y0 + cy + 2, x0 + max(cx - 1, 0) : x0 + cx + 2]
                    edge = not (0 <= cx < nx and 0 <= cy < ny) or not inside[max(cy - 1, 0) : cy + 2, max(cx - 1, 0) : cx + 2].all()
                    d = np.hypot(*(own[:, :2] - at[j]).T) if len(own) else np.array([np.inf])
                    missed.append((name, peaks[j], float(np.nanmax(window)) if window.size else np.nan, edge, float(d.min()), own[np.argmin(d), 2] if len(own) else np.nan, bool(any_layer[j])))
        panels.append((name, images, weights, peaks, objects[:, :3] - [x0, y0, 0]))
    for k in layers:
        v = np.array(extra[k])
        print(f"  {k}: {found[k]} of {total} listed peaks have one of their own ({100 * found[k] / total:.1f} %); {len(v)} others on the blends' footprints, above 6, 8, 12, 20 sigma: {[int((v > s).sum()) for s in (6, 8, 12, 20)]}")
    for k, counts in by_blend.items():
        most = sorted(counts, key=lambda n: -counts[n][0])
        crowd = most[:6]
        rest = [counts[n] for n in most if n not in crowd]
        print(f"  {k}, others by half-light radius of the best layer: " + ", ".join(f"{r}: {by_radius[k].count(r)}" for r in ("0", "0.4", "0.8", "1.6")) + "; by blend: " + ", ".join(f"{n} {counts[n][0]}" for n in crowd)
              + f"; in the other {len(rest)} {sum(r[0] for r in rest)}, where {sum(r[2] for r in rest)} of {sum(r[1] for r in rest)} listed peaks have one")  # fmt: skip
    print(f"\nListed peaks without an object: {len(missed)}. Threshold of the free SED {limit:.2f}")
    kinds = {"at the edge of the blend's pixels": 0, "below the threshold": 0, "no peak in any layer": 0, "a peak that association gave to another object": 0}
    for name, p, s, edge, d, near, any_layer in missed:
        kind = "a peak that association gave to another object" if any_layer else "at the edge of the blend's pixels" if edge else "below the threshold" if s < limit else "no peak in any layer"
        kinds[kind] += 1
        print(f"  {name} ({p[0]:.0f}, {p[1]:.0f}): {kind}; T {s:.1f} there, nearest object {d:.1f} px away at {near:.0f} sigma")
    print("; ".join(f"{k}: {v}" for k, v in kinds.items()))
    chosen = sorted(panels, key=lambda p: -len(p[3]))[:12]
    fig, axes = plt.subplots(3, 4, figsize=(15, 11.4), dpi=80)
    for ax, (name, images, weights, peaks, objects) in zip(axes.ravel(), chosen):
        v = (images * np.sqrt(weights))[1:4].sum(axis=0) / np.sqrt(3)
        ax.imshow(np.arcsinh(np.where((weights > 0).any(axis=0), v, np.nan) / 3), origin="lower", cmap="gray_r", vmin=-1, vmax=4.5)
        ax.plot(peaks[:, 0], peaks[:, 1], "s", mec="tab:blue", mfc="none", ms=10)
        ax.plot(objects[:, 0], objects[:, 1], "+", color="tab:red", ms=7)
        ax.set_title(name, fontsize=9)
        ax.set(xlim=(-1, v.shape[1]), ylim=(-1, v.shape[0]))
    fig.tight_layout()
    fig.savefig(Path(figures) / "real_hsc.png")


def compare(data, runs, figures):
    runs = Path(runs)
    decam(data, runs / "decam", runs / "decam_lsst", runs / "decam_all", figures)
    hsc(data, runs / "hsc", runs / "hsc_lsst", figures)


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare}[sys.argv[1]](*sys.argv[2:])
