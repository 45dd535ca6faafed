"""Association beside the truth: lost, merged, duplicated and shredded objects, and the odds beside how often they hold.

association.py FIGURE RUN...        prints the table and the differences of the rules on the same truths, draws the reliability of the odds
association.py --cases RUN RUN      what the two do otherwise, one by one
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import matplotlib
import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import binomtest
from tract import tract_pixels

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


def parents(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Objects' places; places, odds and decisions of all peaks."""
    parts = []
    for path in sorted((run / "main/parents").glob("*.h5")):
        with h5py.File(path) as f:
            d = f["decisions"]
            at = np.column_stack([f["parents/peaks/x"][:], f["parents/peaks/y"][:]])
            parts.append((at, np.column_stack([d["peaks/x"][:], d["peaks/y"][:]]), d["log_odds"][:], d["decision"][:]))
    return tuple(np.concatenate(p) for p in zip(*parts))


def one_to_one(truth_at: np.ndarray, at: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs within the radius, the nearest first: index of the partner, -1 without."""
    of_truth, of_object = np.full(len(truth_at), -1), np.full(len(at), -1)
    pairs = cKDTree(truth_at).sparse_distance_matrix(cKDTree(at), radius, output_type="coo_matrix")
    for k in np.argsort(pairs.data, kind="stable"):
        i, j = pairs.row[k], pairs.col[k]
        if of_truth[i] < 0 and of_object[j] < 0:
            of_truth[i], of_object[j] = j, i
    return of_truth, of_object


@dataclass
class Scored:
    """What became of the detectable truths and of the objects of a run: masks by name."""

    run: Path
    truth: dict[str, np.ndarray]
    truth_at: np.ndarray
    fwhm: float
    at: np.ndarray
    detectable: np.ndarray
    inside: np.ndarray
    of_truths: dict[str, np.ndarray]
    of_objects: dict[str, np.ndarray]
    log_odds: np.ndarray
    is_true: np.ndarray


def scored(run: Path, least: float = -math.inf) -> Scored:
    """`least`: objects of lower log odds are left out."""
    t = truth(run)
    xy = tract_pixels(t["ra"], t["dec"], CENTRE_DEG, SIDE_PX, SCALE)
    fwhm = float(np.mean(bands_of(sorted((run / "main/coadd").glob("*.h5"))[0], "fwhm_px")))
    at, peaks, log_odds, decision = parents(run)
    if least > -math.inf:
        founders = np.flatnonzero(decision == 0)
        odds = log_odds[founders][cKDTree(peaks[founders]).query(at)[1]]
        at = at[~(odds < least)]
    hi = float(SIDE_PX)
    within = lambda p: np.all((p > 20) & (p < hi - 20), axis=1)
    seen, detectable = t["snr"] >= SEEN, (t["snr"] >= DETECTABLE) & within(xy)
    of_truth, of_object = one_to_one(xy[seen], at, MATCH * fwhm)
    whole = np.full(len(xy), -1)
    whole[seen] = of_truth
    missing = detectable & (whole < 0)
    # What has another object, that of a neighbour, within an FWHM is merged; the others are lost.
    near, _ = cKDTree(at).query(xy)
    merged = missing & (near < fwhm)
    extra = (of_object < 0) & within(at)
    distance, _ = cKDTree(xy[seen]).query(at)
    duplicated = extra & (distance < MATCH * fwhm)
    bright = np.flatnonzero(t["snr"] >= BRIGHT)
    reach = 2 * t["half_light_px"][bright] + fwhm
    on_bright = np.zeros(len(at), bool)
    for owners in cKDTree(at).query_ball_point(xy[bright], reach):
        on_bright[owners] = True
    shredded = extra & ~duplicated & on_bright
    # Odds of peaks that are objects, explained or taken for noise: do they stand for a true object of their own?
    asked = np.isfinite(log_odds) & np.isin(decision, (0, 2, 8)) & within(peaks)
    kept = asked & (decision == 0)
    is_true = np.zeros(len(peaks), bool)
    of_seen, own = one_to_one(xy[seen], peaks[kept], MATCH * fwhm)
    is_true[np.flatnonzero(kept)] = own >= 0
    # What was explained is true if a true object is there that no kept peak has.
    free, explained = xy[seen][of_seen < 0], np.flatnonzero(asked & ~kept)
    if len(explained) and len(free):
        _, own = one_to_one(free, peaks[explained], MATCH * fwhm)
        is_true[explained] = own >= 0
    return Scored(
        run, t, xy, fwhm, at, detectable, within(at),
        {"lost": missing & ~merged, "merged": merged, "lost or merged": missing},
        {"duplicated": duplicated, "shredded": shredded, "false": extra & ~duplicated & ~shredded, "without a truth": extra},
        log_odds[asked], is_true[asked],
    )  # fmt: skip


def rates(s: Scored) -> str:
    """The run's line."""
    n, m = int(s.detectable.sum()), int(s.inside.sum())

    def share(k: np.ndarray, of: int) -> str:
        p = k.sum() / of
        return f"{100 * p:6.2f} ± {100 * np.sqrt(max(p * (1 - p), 1 / of) / of):.2f}"

    parts = [share(s.of_truths[k], n) for k in ("lost", "merged")], [share(s.of_objects[k], m) for k in ("duplicated", "shredded", "false")]
    return f"{s.run.name:18} {n:6} " + " ".join(f"{p:>15}" for p in parts[0]) + f" {m:8} " + " ".join(f"{p:>15}" for p in parts[1])


def only(ours: Scored, theirs: Scored, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Truths or objects of this fate by one rule alone: indices in each. Objects are the same within MATCH FWHM."""
    if name in ours.of_truths:
        a, b = ours.of_truths[name], theirs.of_truths[name]
        return np.flatnonzero(a & ~b), np.flatnonzero(b & ~a)
    a, b = np.flatnonzero(ours.of_objects[name]), np.flatnonzero(theirs.of_objects[name])
    if not len(a) or not len(b):
        return a, b
    of_a, of_b = one_to_one(ours.at[a], theirs.at[b], MATCH * ours.fwhm)
    return a[of_a < 0], b[of_b < 0]


def paired(ours: Scored, theirs: Scored) -> list[str]:
    """Differences on the same truths: what is so by one rule only (McNemar)."""
    lines = []
    for name in (*ours.of_truths, *ours.of_objects):
        a, b = (len(k) for k in only(ours, theirs, name))
        p = binomtest(a, a + b).pvalue if a + b else 1.0
        of = int(ours.detectable.sum()) if name in ours.of_truths else int(ours.inside.sum())
        difference, error = 100 * (a - b) / of, 100 * math.sqrt(max(a + b, 1)) / of
        lines.append(f"  {name:16} by likelihood only {a:3}, by lsst only {b:3}: likelihood less lsst {difference:+.2f} ± {error:.2f} %, chance of so much {p:.2g}")
    return lines


def cases(ours: Scored, theirs: Scored) -> None:
    """What is otherwise, one by one: places in tract pixels, S/N of what is there, and what both have around."""
    t = ours.truth

    def around(s: Scored, at: np.ndarray) -> str:
        near = np.flatnonzero(np.hypot(*(s.at - at).T) < 2 * s.fwhm)
        near = near[np.argsort(np.hypot(*(s.at[near] - at).T))]
        return ", ".join(f"({s.at[k, 0] - at[0]:+.1f}, {s.at[k, 1] - at[1]:+.1f})" for k in near) or "none"

    def truths(at: np.ndarray) -> str:
        near = np.flatnonzero((np.hypot(*(ours.truth_at - at).T) < 2 * ours.fwhm) & (t["snr"] >= 1))
        near = near[np.argsort(np.hypot(*(ours.truth_at[near] - at).T))]
        return ", ".join(f"({ours.truth_at[k, 0] - at[0]:+.1f}, {ours.truth_at[k, 1] - at[1]:+.1f}) S/N {t['snr'][k]:.0f} half-light {t['half_light_px'][k]:.1f}" for k in near) or "none"

    for name in ("lost", "merged", "duplicated", "shredded", "false"):
        for label, s, indices in zip(("likelihood", "lsst"), (ours, theirs), only(ours, theirs, name)):
            for k in indices:
                at = ours.truth_at[k] if name in ours.of_truths else s.at[k]
                print(f"{name} by {label} only at ({at[0]:.1f}, {at[1]:.1f}); truths: {truths(at)}; objects by likelihood: {around(ours, at)}; by lsst: {around(theirs, at)}")


def main() -> None:
    if sys.argv[1] == "--cases":
        cases(*(scored(Path(r)) for r in sys.argv[2:4]))
        return
    figure, runs = sys.argv[1], [Path(r) for r in sys.argv[2:]]
    print(f"{'density_rules':18} {'truths':>6} {'lost %':>15} {'merged %':>15} {'objects':>8} {'duplicated %':>15} {'shredded %':>15} {'false %':>15}")
    fig, ax = plt.subplots(figsize=(6, 5), dpi=130)
    done: dict[str, Scored] = {}
    differences: list[str] = []
    edges = np.array([-6, -4, -2.5, -1.5, -0.75, 0, 0.75, 1.5, 2.5, 4, 6, 9])
    for run in runs:
        s = done[run.name] = scored(run)
        print(rates(s))
        density, rules = run.name.rsplit("_", 1)
        if rules == "lsst" and f"{density}_likelihood" in done:
            differences += [f"{density} per arcmin2:", *paired(done[f"{density}_likelihood"], s)]
            share = lambda v: f"{100 * v.of_truths['lost or merged'].sum() / v.detectable.sum():.2f} % lost or merged, {v.of_objects['without a truth'].sum()} objects without a truth"
            differences.append(f"  lsst: {share(s)}; likelihood with log odds above 0: {share(done[f'{density}_likelihood'])}; "
                + "; ".join(f"{cut:g}: {share(scored(runs[runs.index(run) - 1], cut))}" for cut in (1, 2, 4, 8)))  # fmt: skip
            differences += ["  objects of log odds above 4 alone:", *paired(scored(runs[runs.index(run) - 1], 4.0), s)]
        if rules == "likelihood":
            predicted, found, error, number = [], [], [], []
            for lo, hi in zip(edges, edges[1:]):
                inside = (s.log_odds >= lo) & (s.log_odds < hi)
                if inside.sum() >= 10:
                    p = s.is_true[inside].mean()
                    predicted.append(np.mean(1 / (1 + np.exp(-s.log_odds[inside]))))
                    found.append(p)
                    error.append(np.sqrt(max(p * (1 - p), 1 / inside.sum()) / inside.sum()))
                    number.append(inside.sum())
            ax.errorbar(predicted, found, error, fmt="o-", ms=4, label=f"{density} per arcmin²")
            differences.append(f"{run.name}: share of true objects by predicted probability: "
                  + ", ".join(f"{p:.2f}: {f:.2f} ± {e:.2f} ({n})" for p, f, e, n in zip(predicted, found, error, number)))  # fmt: skip
    print("\nDifferences on the same truths\n" + "\n".join(differences))
    ax.plot([0, 1], [0, 1], "k:", lw=1)
    ax.set(xlabel="predicted probability that a peak is an object of its own", ylabel="share that is")
    ax.legend()
    fig.tight_layout()
    fig.savefig(figure)


if __name__ == "__main__":
    main()
