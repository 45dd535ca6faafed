"""Differences of exposures on superpixels, less those of their backgrounds, over their errors: matched backgrounds, and each visit's own mesh.

    python3 decam.py RUN        (a run whose backgrounds are matched)
"""
import sys
from pathlib import Path

import h5py
import numpy as np

from background import chebyshev, mesh_background, steps


def main():
    run = Path(sys.argv[1])
    for band in "grz":
        with h5py.File(run / "main/solve.h5") as f:
            ids = [i.decode() for i in f[f"{band}/exposures/id"][()]]
            base = f[f"{band}/exposures/level"][()]
            scatter = f[band].attrs["residual_scatter"]
        rows = []
        for path in sorted((run / "main/match").glob("*.h5")):
            with h5py.File(path) as f:
                g = f[f"{band}/levels"]
                rows.append(np.array([g[c][()].astype(float) for c in ("row", "column", "exposure", "x", "y", "level", "level_err", "njy_per_adu")]))
        row, column, exposure, x, y, level, error, scale = np.concatenate(rows, axis=1)
        matched, mesh = np.zeros(len(x)), np.zeros(len(x))
        for i, name in enumerate(ids):
            at = exposure == i
            with h5py.File(run / "main/background.h5") as f, h5py.File(run / "main/visit" / f"{name}.h5") as v:
                group = f[f"{band}/exposures/{name}"]
                matched[at] = (chebyshev(group, x[at], y[at]) + steps(group["steps"][()], x[at], y[at]) - base[i]) * scale[at]
                mesh[at] = (mesh_background(v["background"], x[at], y[at]) - base[i]) * scale[at]
        pulls = {"matched": [], "visit mesh": []}
        for cell in set(zip(row, column)):
            members = np.flatnonzero((row == cell[0]) & (column == cell[1]))
            for k, a in enumerate(members):
                for b in members[:k]:
                    for label, model in (("matched", matched), ("visit mesh", mesh)):
                        d = (level[a] - model[a]) - (level[b] - model[b])
                        pulls[label].append(d / np.hypot(error[a], error[b]))
        text = ", ".join(f"{label} {np.sqrt(np.mean(np.square(p))):.2f} errors" for label, p in pulls.items())
        print(f"{band}: {len(ids)} exposures, rms of {len(pulls['matched'])} differences less the backgrounds': {text}; residuals of the solution {scatter:.2f}")


if __name__ == "__main__":
    main()
