"""The scene for artifact rejection, and its figures against the truth.

    python3 artifacts.py scene OUT.csv
    python3 artifacts.py figures OUT.txt OUT.png FOLDER N ...

FOLDER/N holds the runs of artifacts.sh for N exposures (a b after N: under a bright sky): `clean` (no artifacts, no search), `static` (no artifacts, searched), `rays` and `trails`
(exposures whose masks show cosmic rays, satellites), `none` (artifacts, no search), and `mean`, `exclude`, `leave`: artifacts, searched, with that
policy for variables, transients and movers.
"""
import csv
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import binary_dilation, label

SCALE, N_PX, RA, DEC = 0.2, 14 * 64, 150.1, 2.2
NIGHTS = 10  # the longest series


def scene(path):
    """Sources on a jittered grid: static stars and galaxies, variables, transients, movers; r magnitudes."""
    rng = np.random.default_rng(7)
    rows = []
    spacing = 28
    n = (N_PX - 40) // spacing
    for k in range(n * n):
        x, y = 30 + spacing * (k % n) + rng.uniform(-4, 4), 30 + spacing * (k // n) + rng.uniform(-4, 4)
        ra = RA - (x - (N_PX - 1) / 2) * SCALE / 3600 / np.cos(np.radians(DEC))
        dec = DEC + (y - (N_PX - 1) / 2) * SCALE / 3600
        row = dict(id=k + 1, ra=ra, dec=dec, half_light_radius=0, axis_ratio=1, position_angle=0, sersic_n=0, epoch=60000 + NIGHTS / 2, pm_ra=0,
                   pm_dec=0, variability="", var_period=1, var_amplitude=0, var_t0=60000)
        kind = rng.choice(["star", "galaxy", "variable", "transient", "mover"], p=[0.6, 0.15, 0.1, 0.08, 0.07])
        if kind == "star":
            mag = rng.uniform(12.0, 22.0)
        elif kind == "galaxy":
            mag = rng.uniform(15.0, 21.0)
            row.update(half_light_radius=rng.uniform(0.4, 1.2), axis_ratio=rng.uniform(0.4, 1), position_angle=rng.uniform(0, 180),
                       sersic_n=rng.choice([1, 4]))
        elif kind == "variable":
            mag = rng.uniform(13.0, 18.5)
            row.update(variability="sine", var_period=rng.uniform(1.5, 9), var_amplitude=rng.uniform(0.1, 0.6), var_t0=60000 + rng.uniform(0, 9))
        elif kind == "transient":
            mag = rng.uniform(14.0, 19.0)
            # Most of them at their best within the first three nights, so that short series have some.
            row.update(variability="transient", var_period=rng.uniform(0.2, 1.0), var_t0=60000 + rng.choice([0, 1, 2, 5, 8]) + rng.uniform(-0.1, 0.1))
        else:
            mag = rng.uniform(14.0, 19.0)
            rate, angle = 10 ** rng.uniform(-0.6, 0.3), rng.uniform(0, 2 * np.pi)  # arcsec/h
            row.update(pm_ra=rate * 8.766e6 * np.sin(angle), pm_dec=rate * 8.766e6 * np.cos(angle), epoch=60000 + rng.uniform(0, 3))
        row.update({"class": kind, "r_flux": 10 ** (0.4 * (31.4 - mag))})
        rows.append(row)
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def wcs_of(group):
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in group.attrs.items()}


def tan_to_sky(wcs, x, y):
    u, v = x - (wcs["CRPIX1"] - 1), y - (wcs["CRPIX2"] - 1)
    xi, eta = np.radians(wcs["CD1_1"] * u + wcs["CD1_2"] * v), np.radians(wcs["CD2_1"] * u + wcs["CD2_2"] * v)
    a, d = np.radians(wcs["CRVAL1"]), np.radians(wcs["CRVAL2"])
    den = np.cos(d) - eta * np.sin(d)
    ra = a + np.arctan2(xi, den)
    return ra, np.arctan2((np.sin(d) + eta * np.cos(d)) * np.cos(ra - a), den)


def tract_pixel(ra, dec):
    a, d = np.radians(RA), np.radians(DEC)
    den = np.sin(d) * np.sin(dec) + np.cos(d) * np.cos(dec) * np.cos(ra - a)
    xi = np.cos(dec) * np.sin(ra - a) / den
    eta = (np.cos(d) * np.sin(dec) - np.sin(d) * np.cos(dec) * np.cos(ra - a)) / den
    return -np.degrees(xi) * 3600 / SCALE + (N_PX - 1) / 2, np.degrees(eta) * 3600 / SCALE + (N_PX - 1) / 2


def table(group, name):
    return {k: (v.asstr()[()] if h5py.check_string_dtype(v.dtype) else v[()]) for k, v in group[name].items()}


class Clip:
    """Decisions of a run: masks of the exposures, and footprints."""

    def __init__(self, run, shape):
        with h5py.File(run / "main/clip.h5") as f:
            group = f["r"]
            ids = list(group["exposures/id"].asstr()[()])
            spans, self.footprints = table(group, "spans"), table(group, "footprints")
        self.ids = ids
        self.excluded = {i: np.zeros(shape, bool) for i in ids}
        self.suspect = {i: np.zeros(shape, bool) for i in ids}
        for e, excluded, y, x0, x1 in zip(spans["exposure"], spans["is_excluded"], spans["y"], spans["x0"], spans["x1"]):
            (self.excluded if excluded else self.suspect)[ids[e]][y, x0:x1 + 1] = True


def exposure(run, name):
    with h5py.File(run / f"main/exposures/{name}.h5") as f:
        planes = list(f.attrs["mask_planes"])
        planes = [p.decode() if isinstance(p, bytes) else p for p in planes]
        mask = f["mask"][()]
        return f["image"][()], f["variance"][()], {p: (mask >> i) & 1 == 1 for i, p in enumerate(planes)}, wcs_of(f["wcs"])


def coadd(run):
    image, mask = np.full((N_PX, N_PX), np.nan), np.zeros((N_PX, N_PX), np.uint32)
    for path in sorted((run / "main/coadd").glob("*.h5")):
        with h5py.File(path) as f:
            x0, y0, width, height = f["r"].attrs["bbox"]
            image[y0:y0 + height, x0:x0 + width] = f["r/image"][()]
            mask[y0:y0 + height, x0:x0 + width] = f["r/mask"][()]
            planes = [p.decode() if isinstance(p, bytes) else p for p in f.attrs["mask_planes"]]
            inputs = table(f["r"], "input_exposures")
    return image, {p: (mask >> i) & 1 == 1 for i, p in enumerate(planes)}, dict(zip(inputs["id"], inputs["weight"]))


def aperture(image, x, y, r=5.0):
    """Sum within r pixels; NaN at the edges and where a pixel is missing."""
    out = np.full(len(x), np.nan)
    for k, (a, b) in enumerate(zip(x, y)):
        i, j = int(round(a)), int(round(b))
        if min(i, j) < 8 or max(i, j) >= N_PX - 8:
            continue
        yy, xx = np.mgrid[j - 7:j + 8, i - 7:i + 8]
        inside = np.hypot(xx - a, yy - b) < r
        out[k] = image[j - 7:j + 8, i - 7:i + 8][inside].sum()
    return out


def drawn(run, name):
    with h5py.File(run / f"main/drawn/{name}.h5") as f:
        return table(f, "drawn")


def near(shape, x, y, r):
    out = np.zeros(shape, bool)
    for a, b in zip(x, y):
        i, j = int(round(a)), int(round(b))
        rows, columns = slice(max(j - r, 0), max(j + r + 1, 0)), slice(max(i - r, 0), max(i + r + 1, 0))
        yy, xx = np.ogrid[rows, columns]
        part = out[rows, columns]
        yy, xx = np.mgrid[rows.start:rows.start + part.shape[0], columns.start:columns.start + part.shape[1]]
        part |= np.hypot(xx - a, yy - b) <= r
    return out


def sizes(pixels):
    """Pixels of every connected group."""
    return np.bincount(label(pixels, np.ones((3, 3)))[0].ravel())[1:]


def of_pixels(groups, n):
    """Pixels in groups as a share of n, with the error of so many groups of these sizes."""
    groups = np.array(groups, float)
    total, error = groups.sum(), np.sqrt((groups**2).sum())
    return f"{total:.0f} of {n}, in {len(groups)} groups ({1e6 * total / n:.0f} ± {1e6 * error / n:.0f} in a million)"


def percent(hit):
    hit = np.asarray(hit, float)
    if len(hit) == 0:
        return "      --"
    p = hit.mean()
    return f"{100 * p:5.1f} ± {100 * np.sqrt(max(p * (1 - p), 0.25 / len(hit)) / len(hit)):3.1f} %"


def median(values):
    values = np.asarray(values)[np.isfinite(values)]
    if len(values) == 0:
        return "--"
    low, mid, high = np.percentile(values, [16, 50, 84])
    return f"{100 * mid:+6.1f} % ({100 * low:+.1f} .. {100 * high:+.1f}), n = {len(values)}"


def on_tract(wcs, shape):
    """Which exposure pixels lie on the tract: only there are other exposures to compare with."""
    y, x = np.mgrid[:shape[0], :shape[1]].astype(float)
    tx, ty = tract_pixel(*tan_to_sky(wcs, x, y))
    return (tx > 2) & (tx < N_PX - 3) & (ty > 2) & (ty < N_PX - 3)


def figures(folder, n, say):
    run = {name: folder / n / name for name in ["clean", "static", "rays", "trails", "none", "mean", "exclude", "leave"]}
    with open(folder / "scene.csv") as f:
        truth = list(csv.DictReader(f))
    kind = {int(t["id"]): t["class"] for t in truth}
    mag = {int(t["id"]): 31.4 - 2.5 * np.log10(float(t["r_flux"])) for t in truth}
    names = sorted(p.stem for p in (run["none"] / "main/exposures").glob("*.h5"))
    shape = exposure(run["none"], names[0])[0].shape
    found, static = Clip(run["exclude"], shape), Clip(run["static"], shape)
    say(f"\n# {n.removesuffix('b')} exposures" + (" under a bright sky" if n.endswith("b") else ""))
    for title, clip in [("with artifacts", found), ("without artifacts", static)]:
        classes, counts = np.unique(clip.footprints["class"], return_counts=True)
        say(f"footprints, {title}: " + ", ".join(f"{c} {k}" for c, k in zip(classes, counts)))

    n_clean = n_static = 0
    false, false_static = [], []
    static_cut, static_mag, static_kind = [], [], []
    ray_hit, ray_share, ray_snr = [], [], []
    trail_hit, trail_snr = [], []
    seen = {k: [] for k in ["transient", "mover"]}
    seen_snr = {k: [] for k in seen}
    for name in names:
        dirty, variance, planes, wcs = exposure(run["none"], name)
        clean = exposure(run["clean"], name)[0]
        usable = ~(planes["BAD"] | planes["SAT"] | planes["NO_DATA"]) & on_tract(wcs, shape)
        sigma = np.sqrt(np.median(variance[usable]))
        is_ray, is_trail = exposure(run["rays"], name)[2]["CR"], exposure(run["trails"], name)[2]["CR"]
        cut, cut_static = found.excluded[name], static.excluded[name]
        objects = drawn(run["none"], name)
        ids = objects["id"]
        moving = np.array([kind[i] in ("transient", "mover", "variable") for i in ids])
        # The halo of a source of 14 mag is cut 25 pixels wide.
        around = near(shape, objects["x"][moving], objects["y"][moving], 30)
        good = usable & ~binary_dilation(is_ray | is_trail, iterations=3) & ~around
        n_clean += good.sum()
        false.extend(sizes(cut & good))
        n_static += (usable & ~around).sum()
        false_static.extend(sizes(cut_static & usable & ~around))
        inside = (objects["x"] > 10) & (objects["x"] < shape[1] - 11) & (objects["y"] > 10) & (objects["y"] < shape[0] - 11)
        for i, x, y, ok in zip(ids, objects["x"], objects["y"], inside):
            if not ok or kind[i] not in ("star", "galaxy") or not usable[int(round(y)), int(round(x))]:
                continue
            if around[int(round(y)), int(round(x))]:
                continue
            core = (slice(int(round(y)) - 2, int(round(y)) + 3), slice(int(round(x)) - 2, int(round(x)) + 3))
            static_cut.append(cut_static[core].any())
            static_mag.append(mag[i])
            static_kind.append(kind[i])
        parts, n_parts = label(is_ray & ~is_trail, np.ones((3, 3)))
        charge = np.where(usable, dirty - clean, 0)
        order = np.argsort(parts, axis=None)
        bounds = np.searchsorted(parts.ravel()[order], np.arange(1, n_parts + 2))
        for k in range(n_parts):
            pixels = order[bounds[k]:bounds[k + 1]]
            light = charge.ravel()[pixels]
            if not usable.ravel()[pixels].all():
                continue
            bright = light > 3 * sigma
            ray_snr.append(light.max() / sigma)
            share = light[bright & cut.ravel()[pixels]].sum() / light[bright].sum() if bright.any() else 0.0
            ray_share.append(share)
            ray_hit.append(share > 0.8)
        # A trail: pixels where it is brighter than a fifth of the noise, if it has a hundred of them.
        parts, n_parts = label(is_trail, np.ones((3, 3)))
        for k in range(1, n_parts + 1):
            pixels = (parts == k) & usable & ~is_ray
            if pixels.sum() < 300:
                continue
            light = charge[pixels]
            top = np.sort(light)[-len(light) // 4:]
            trail_snr.append(np.median(top) / sigma)
            bright = (parts == k) & usable
            trail_hit.append(np.nan if not bright.any() else charge[bright & cut].sum() / charge[bright].sum())
        for i, x, y, flux, ok in zip(ids, objects["x"], objects["y"], objects["flux"], inside):
            if kind[i] in seen and ok and usable[int(round(y)), int(round(x))]:
                magnitude = 31.4 - 2.5 * np.log10(max(flux, 1e-9))
                seen[kind[i]].append(cut[int(round(y)), int(round(x))])
                seen_snr[kind[i]].append(magnitude)
    static_cut, static_mag = np.array(static_cut), np.array(static_mag)
    say("pixels cut that have no artifact within 3 pixels, nor a variable, transient or mover within 30:")
    say(f"  with artifacts elsewhere: {of_pixels(false, n_clean)}")
    say(f"  without any artifact: {of_pixels(false_static, n_static)}")
    say("static sources with a cut pixel within 2 of their centre, in an exposure (no artifacts; 30 pixels from what varies or moves):")
    for low in range(12, 22, 2):
        for k in ["star", "galaxy"]:
            sel = (static_mag >= low) & (static_mag < low + 2) & (np.array(static_kind) == k)
            if sel.any():
                say(f"  {k:7} {low}-{low + 2} mag: {static_cut[sel].sum()} of {sel.sum()}")
    ray_hit, ray_share, ray_snr = map(np.array, (ray_hit, ray_share, ray_snr))
    say("cosmic rays of which four fifths of the charge are cut, by their best pixel:")
    for low, high in [(3, 5), (5, 7), (7, 10), (10, 20), (20, 50), (50, 1e9)]:
        sel = (ray_snr >= low) & (ray_snr < high)
        say(f"  {low:3}-{high if high < 1e8 else '':<4} sigma: {percent(ray_hit[sel])} of {sel.sum()}; share of charge {np.mean(ray_share[sel]) if sel.any() else np.nan:.3f}")
    trail_hit, trail_snr = np.array(trail_hit), np.array(trail_snr)
    say("satellites, share of the light cut, by their peak per pixel:")
    for low, high in [(0, 0.5), (0.5, 1), (1, 2), (2, 5), (5, 10), (10, 1e9)]:
        sel = (trail_snr >= low) & (trail_snr < high)
        if sel.any():
            say(f"  {low}-{high if high < 1e8 else ''} sigma: {np.mean(trail_hit[sel]):.3f} of {sel.sum()} trails")
    for k, cuts in seen.items():
        cuts, mags = np.array(cuts), np.array(seen_snr[k])
        say(f"{k}s cut where they are, by their magnitude in the exposure:")
        for low in range(14, 22, 1):
            sel = (mags >= low) & (mags < low + 1)
            if sel.sum() > 3:
                say(f"  {low}-{low + 1} mag: {percent(cuts[sel])} of {sel.sum()}")
    return bias(run, truth, names, say)


def bias(run, truth, names, say):
    """Fluxes on the coadd within 5 pixels, against the coadd of the same exposures without artifacts, which holds every epoch's light."""
    images = {k: coadd(run[k]) for k in ["clean", "none", "mean", "exclude", "leave"]}
    ra, dec = (np.radians([float(t[c]) for t in truth]) for c in ["ra", "dec"])
    x, y = tract_pixel(ra, dec)
    kinds, flux = np.array([t["class"] for t in truth]), np.array([float(t["r_flux"]) for t in truth])
    reference = aperture(images["clean"][0], x, y)
    noise = np.nanstd(reference[(kinds == "star") & (flux < 10 ** (0.4 * (31.4 - 21.5)))])
    say(f"flux on the coadd, relative to the coadd without artifacts (aperture of 5 pixels; sources above {20 * noise:.0f} nJy): median (16 .. 84 %)")
    # Movers are where each exposure saw them, for an epoch's share of their flux.
    moved = {"x": [], "y": [], "flux": []}
    of_mover = {int(t["id"]) for t in truth if t["class"] == "mover"}
    for name in names:
        objects = drawn(run["none"], name)
        sel = np.isin(objects["id"], list(of_mover))
        px, py = tract_pixel(*tan_to_sky(exposure(run["none"], name)[3], objects["x"][sel], objects["y"][sel]))
        for key, values in zip(moved, (px, py, objects["flux"][sel])):
            moved[key].extend(values)
    weights = np.array([images["none"][2][n] for n in names])
    for k in ["star", "galaxy", "variable", "transient", "mover"]:
        for policy in ["none", "exclude", "mean", "leave"]:
            image = images[policy][0]
            if k == "mover":
                px, py, f = (np.array(v) for v in moved.values())
                inside = (px > 10) & (px < N_PX - 11) & (py > 10) & (py < N_PX - 11) & (f > 10 ** (0.4 * (31.4 - 17.5)))
                base = aperture(images["clean"][0], px[inside], py[inside])
                ratio = (aperture(image, px[inside], py[inside]) - base) / (f[inside] / len(weights))
            else:
                sel = (kinds == k) & (reference > 20 * noise)
                ratio = aperture(image, x[sel], y[sel]) / reference[sel] - 1
            say(f"  {k:9} {policy:8} {median(ratio)}")
    return images


def picture(path, images, n):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 2, figsize=(11, 11), constrained_layout=True)
    sigma = 1.4826 * np.nanmedian(np.abs(images["clean"][0] - np.nanmedian(images["clean"][0])))
    part = (slice(200, 700), slice(200, 700))
    shown = [
        ("artifacts left", images["none"][0]),
        ("artifacts, transients, movers cut", images["exclude"][0]),
        ("cut, less the coadd without artifacts", images["exclude"][0] - images["clean"][0]),
    ]
    for ax, (title, image) in zip(axes.flat, shown):
        ax.imshow(image[part], origin="lower", cmap="gray", vmin=-3 * sigma, vmax=10 * sigma)
        ax.set_title(f"{title}, {n} exposures")
    flags = images["exclude"][1]
    axes[1, 1].imshow(flags["CLIPPED"][part], origin="lower", cmap="gray_r")
    axes[1, 1].set_title("CLIPPED on the coadd")
    for ax in axes.flat:
        ax.set_xlabel("tract pixel - 200")
        ax.set_ylabel("tract pixel - 200")
    fig.savefig(path, dpi=80)


if __name__ == "__main__":
    if sys.argv[1] == "scene":
        scene(sys.argv[2])
    else:
        text, png, folder = Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
        lines = []

        def say(line):
            print(line)
            lines.append(line)

        numbers = sys.argv[5:]
        for n in numbers:
            images = figures(folder, n, say)
            if n == numbers[min(1, len(numbers) - 1)]:
                picture(png, images, n)
        text.write_text("\n".join(lines).strip() + "\n")
