"""Matched frames of M17: the constants between frames of one scan, whose pixels are the same, and a picture.

    python3 m17.py RUN OUT.txt OUT.png [LABEL=OTHER_RUN ...]
"""
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np

NJY_PER_DN = 7020  # of the frames' zero points, to 0.2 %


def main():
    run, text, picture = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    levels = {}
    for path in sorted((run / "main/match").glob("*.h5")):
        with h5py.File(path) as f:
            ids = [i.decode() for i in f["k/exposures/id"][()]]
            t = {c: f["k/levels"][c][()] for c in ("row", "column", "exposure", "level", "njy_per_adu")}
        for row, column, exposure, level, scale in zip(*t.values()):
            levels.setdefault((row, column), {})[ids[exposure]] = (level, scale)
    with h5py.File(run / "main/solve.h5") as f:
        solved = dict(zip((i.decode() for i in f["k/exposures/id"][()]), f["k/coefficients"][:, 0] + f["k/exposures/level"][()]))
    frames, variance = {}, None
    for name in ids:
        with h5py.File(run / "main/exposures" / f"{name}.h5") as f:
            image, mask = f["image"][()].astype(float), f["mask"][()]
            frames[name] = (np.where(mask == 0, image, np.nan), dict(f["wcs"].attrs))
        with h5py.File(run / "main/visit" / f"{name}.h5") as f:
            nodes = f["background/nodes_adu"][()]
            solved[name + " level"] = nodes.mean()
    out = ["frame pairs: constant of the common pixels | mean over superpixels of the level differences, their rms | of the solution [DN]", ""]
    for i, a in enumerate(ids):
        for b in ids[i + 1 :]:
            both = [(v[a], v[b]) for v in levels.values() if a in v and b in v]
            if len(both) < 3:
                continue
            d = np.array([(x[0] / x[1] + solved[a + " level"]) - (y[0] / y[1] + solved[b + " level"]) for x, y in both])
            same = a[:3] == b[:3]
            true = exact(frames[a], frames[b]) if same else None
            constant = f"{true[0]:+.4f} ({true[1]} pixels, rms {true[2]:.4f})" if same else "other scans"
            out.append(f"{a} - {b}: {constant} | {d.mean():+.4f}, {d.std():.4f} (n = {len(d)}) | {solved[a] - solved[b]:+.4f}")
    Path(text).write_text("\n".join(out) + "\n")
    print("\n".join(out))
    draw(run, picture)


def exact(a, b):
    """Mean difference of the pixels that two frames share, a whole number of rows apart: the shift with the least scatter."""
    (image_a, wcs_a), (image_b, wcs_b) = a, b
    guess = (wcs_b["CRVAL2"] - wcs_a["CRVAL2"]) * 3600
    best = None
    for dy in range(int(guess) - 4, int(guess) + 5):
        for dx in range(-4, 5):
            ny, nx = image_a.shape
            pa = image_a[max(dy, 0) : ny + min(dy, 0), max(dx, 0) : nx + min(dx, 0)]
            pb = image_b[max(-dy, 0) : ny + min(-dy, 0), max(-dx, 0) : nx + min(-dx, 0)]
            d = (pa - pb)[np.isfinite(pa - pb)]
            if d.size > 1000 and (best is None or d.std() < best[2]):
                best = (d.mean(), d.size, d.std())
    return best


def draw(run, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def mosaic(folder):
        planes = []
        for p in sorted((folder / "main/coadd").glob("*.h5")):
            with h5py.File(p) as f:
                x0, y0, width, height = f["k"].attrs["bbox"]
                planes.append((x0, y0, f["k/image"][()]))
        full = np.full((max(y + p.shape[0] for _, y, p in planes), max(x + p.shape[1] for x, _, p in planes)), np.nan)
        for x0, y0, p in planes:
            full[y0 : y0 + p.shape[0], x0 : x0 + p.shape[1]] = p
        full[full == 0] = np.nan
        ny, nx = (n // 8 * 8 for n in full.shape)
        blocks = full[:ny, :nx].reshape(ny // 8, 8, nx // 8, 8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all of a block missing: it stays so
            return np.nanmedian(blocks, axis=(1, 3))

    runs = [("matched", run)] + [(a.split("=", 1)[0], Path(a.split("=", 1)[1])) for a in sys.argv[4:]]
    figure, axes = plt.subplots(1, len(runs), figsize=(5.2 * len(runs), 5.6), constrained_layout=True, squeeze=False)
    for axis, (label, folder) in zip(axes[0], runs):
        image = mosaic(folder) / NJY_PER_DN
        extent = (0, 8 * image.shape[1], 0, 8 * image.shape[0])
        shown = axis.imshow(image, origin="lower", cmap="magma", vmin=-5, vmax=30, extent=extent)
        axis.set_title(label)
        axis.set_xlabel("tract column [pixel]")
    axes[0][0].set_ylabel("tract row [pixel]")
    figure.colorbar(shown, ax=axes, label="median of 8 x 8 pixels of the coadd [DN]", shrink=0.8)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
