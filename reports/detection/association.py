"""Association beside the truth: lost, merged, duplicated and shredded objects, and the odds beside how often they hold.

association.py FIGURE RUN...        prints the table, draws the reliability of the odds of the first rules
"""

import sys
from pathlib import Path

import h5py
import matplotlib
import numpy as np
from scipy.spatial import cKDTree

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SCALE, CENTRE_DEG, SIDE_PX = 0.2, (150.1, 2.2), 1280  # of the tract: association.toml
MATCH = 0.75  # FWHM within which an object stands for a truth
DETECTABLE = 8.0  # S/N over all bands, alone
SEEN = 3.0  # S/N of what an object may stand for
BRIGHT = 20.0  # S/N of what may be shredded
BANDS = ("g", "r", "i")


def bands_of(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as f:
        return np.array([f[b].attrs[name] for b in BANDS])


def truth(run: Path) -> dict[str, np.ndarray]:
    columns: dict[str, list[np.ndarray]] = {}
    for path in sorted((run / "main/limits").glob("*.h5")):
        with h5py.File(path) as f:
            for name in ("ra", "dec", "half_light_radius", *(f"{b}_snr_optimal" for b in BANDS)):
                columns.setdefault(name, []).append(f["limits"][name][:])
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    table["snr"] = np.sqrt(sum(np.nan_to_num(table[f"{b}_snr_optimal"]) ** 2 for b in BANDS))
    table["half_light_px"] = np.nan_to_num(table["half_light_radius"]) / SCALE
    return table


def tract_pixels(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Gnomonic about the tract's centre, x against right ascension."""
    crval, crpix = np.radians(CENTRE_DEG), (SIDE_PX - 1) / 2
    a, d = np.radians(ra) - crval[0], np.radians(dec)
    cos_c = np.sin(crval[1]) * np.sin(d) + np.cos(crval[1]) * np.cos(d) * np.cos(a)
    xi = np.cos(d) * np.sin(a) / cos_c
    eta = (np.cos(crval[1]) * np.sin(d) - np.sin(crval[1]) * np.cos(d) * np.cos(a)) / cos_c
    step = np.radians(SCALE / 3600)
    return np.column_stack([crpix - xi / step, crpix + eta / step])


def parents(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Objects' places; places, odds and decisions of all peaks."""
    with h5py.File(run / "main/parents.h5") as f:
        at = np.column_stack([f["parents/peaks/x"][:], f["parents/peaks/y"][:]])
        d = f["decisions"]
        peaks = np.column_stack([d["peaks/x"][:], d["peaks/y"][:]])
        return at, peaks, d["log_odds"][:], d["decision"][:]


def one_to_one(truth_at: np.ndarray, at: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs within the radius, the nearest first: index of the partner, -1 without."""
    of_truth, of_object = np.full(len(truth_at), -1), np.full(len(at), -1)
    pairs = cKDTree(truth_at).sparse_distance_matrix(cKDTree(at), radius, output_type="coo_matrix")
    for k in np.argsort(pairs.data, kind="stable"):
        i, j = pairs.row[k], pairs.col[k]
        if of_truth[i] < 0 and of_object[j] < 0:
            of_truth[i], of_object[j] = j, i
    return of_truth, of_object


def rates(run: Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """The run's line; odds of its peaks, and whether they are true; which detectable truths have an object of their own."""
    t = truth(run)
    xy = tract_pixels(t["ra"], t["dec"])
    fwhm = float(np.mean(bands_of(sorted((run / "main/coadd").glob("*.h5"))[0], "fwhm_px")))
    at, peaks, log_odds, decision = parents(run)
    hi = at.max(axis=0)
    inside = np.all((xy > 20) & (xy < hi - 20), axis=1)
    seen, detectable = t["snr"] >= SEEN, (t["snr"] >= DETECTABLE) & inside
    of_truth, of_object = one_to_one(xy[seen], at, MATCH * fwhm)
    whole = np.full(len(xy), -1)
    whole[seen] = of_truth
    missing = detectable & (whole < 0)
    # What has another object, that of a neighbour, within an FWHM is merged; the others are lost.
    near, _ = cKDTree(at).query(xy)
    merged = missing & (near < fwhm)
    lost = missing & (near >= fwhm)
    extra = (of_object < 0) & np.all((at > 20) & (at < hi - 20), axis=1)
    distance, _ = cKDTree(xy[seen]).query(at)
    duplicated = extra & (distance < MATCH * fwhm)
    bright = np.flatnonzero(t["snr"] >= BRIGHT)
    reach = 2 * t["half_light_px"][bright] + fwhm
    on_bright = np.zeros(len(at), bool)
    for owners in (cKDTree(at).query_ball_point(xy[bright], reach)):
        on_bright[owners] = True
    shredded = extra & ~duplicated & on_bright
    false = extra & ~duplicated & ~shredded
    n, m = int(detectable.sum()), int(np.all((at > 20) & (at < hi - 20), axis=1).sum())

    def share(k: np.ndarray, of: int) -> str:
        p = k.sum() / of
        return f"{100 * p:6.2f} ± {100 * np.sqrt(max(p * (1 - p), 1 / of) / of):.2f}"

    name = run.name
    line = f"{name:18} {n:6} {share(lost, n):>15} {share(merged, n):>15} {m:8} {share(duplicated, m):>15} {share(shredded, m):>15} {share(false, m):>15}"
    # Odds of peaks that are objects or explained: do they stand for a true object of their own?
    asked = np.isfinite(log_odds) & np.isin(decision, (0, 2)) & np.all((peaks > 20) & (peaks < hi - 20), axis=1)
    kept = asked & (decision == 0)
    is_true = np.zeros(len(peaks), bool)
    _, own = one_to_one(xy[seen], peaks[kept], MATCH * fwhm)
    is_true[np.flatnonzero(kept)] = own >= 0
    # What was explained is true if a true object is there that no kept peak has.
    free = xy[seen][one_to_one(xy[seen], peaks[kept], MATCH * fwhm)[0] < 0]
    explained = np.flatnonzero(asked & ~kept)
    if len(explained) and len(free):
        _, own = one_to_one(free, peaks[explained], MATCH * fwhm)
        is_true[explained] = own >= 0
    return line, log_odds[asked], is_true[asked], (whole >= 0)[detectable]


def main() -> None:
    figure, runs = sys.argv[1], [Path(r) for r in sys.argv[2:]]
    print(f"{'density_rules':18} {'truths':>6} {'lost %':>15} {'merged %':>15} {'objects':>8} {'duplicated %':>15} {'shredded %':>15} {'false %':>15}")
    fig, ax = plt.subplots(figsize=(6, 5), dpi=130)
    own: dict[str, np.ndarray] = {}
    edges = np.array([-6, -4, -2.5, -1.5, -0.75, 0, 0.75, 1.5, 2.5, 4, 6, 9])
    for run in runs:
        line, log_odds, is_true, own[run.name] = rates(run)
        print(line)
        density, rules = run.name.rsplit("_", 1)
        if rules == "lsst" and f"{density}_likelihood" in own:
            ours, theirs = own[f"{density}_likelihood"], own[run.name]
            print(f"{density}: truths with an object of their own by likelihood only {(ours & ~theirs).sum()}, by lsst only {(theirs & ~ours).sum()}")
        if run.name.endswith("likelihood"):
            predicted, found, error = [], [], []
            for lo, hi in zip(edges, edges[1:]):
                inside = (log_odds >= lo) & (log_odds < hi)
                if inside.sum() >= 10:
                    p = is_true[inside].mean()
                    predicted.append(np.mean(1 / (1 + np.exp(-log_odds[inside]))))
                    found.append(p)
                    error.append(np.sqrt(max(p * (1 - p), 1 / inside.sum()) / inside.sum()))
            ax.errorbar(predicted, found, error, fmt="o-", ms=4, label=run.name.split("_")[0] + " per arcmin²")
            print(f"{run.name}: share of true objects by predicted probability: "
                  + ", ".join(f"{p:.2f}: {f:.2f} ± {e:.2f}" for p, f, e in zip(predicted, found, error)))  # fmt: skip
    ax.plot([0, 1], [0, 1], "k:", lw=1)
    ax.set(xlabel="predicted probability that a peak is an object of its own", ylabel="share that is")
    ax.legend()
    fig.tight_layout()
    fig.savefig(figure)


if __name__ == "__main__":
    main()
