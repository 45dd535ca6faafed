#!/usr/bin/env python3
"""Draws rendering.png from the tables of rendering.md: worst errors per profile beside their bounds, and times beside GalSim's."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent


def tables():
    """Rows of each table, without its head."""
    found, current = [], []
    for line in (HERE / "rendering.md").read_text().splitlines() + [""]:
        if line.startswith("|"):
            current.append([cell.strip() for cell in line.strip("|").split("|")])
        elif current:
            found.append(current[2:])
            current = []
    return found


def main():
    errors, times = tables()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), width_ratios=[3, 2], layout="constrained")
    names = [row[0] for row in errors]
    x = range(len(names))
    bound = [1e-5 if n == "point" else 5e-3 if n.endswith(("5", "6.2")) and float(n.split()[-1]) > 4 else 1e-3 for n in names]
    left.plot(x, [float(r[2]) for r in errors], "o", label="worst pixel / peak")
    left.plot(x, [float(r[3]) for r in errors], "s", label="worst flux in the square / total")
    left.plot(x, bound, "_", color="C0", markersize=16, label="bound, pixel")
    left.axhline(1e-4, color="C1", linewidth=1, label="bound, flux")
    left.set(yscale="log", ylim=(1e-7, 3e-2), ylabel="difference from GalSim", title="Accuracy, per profile")
    left.set_xticks(x, names, rotation=60, ha="right")
    left.legend(ncols=2, fontsize=8, loc="upper left")

    both = [row for row in times if row[2]]
    x = range(len(both))
    right.bar([i - 0.2 for i in x], [float(r[1]) for r in both], 0.4, label="fathom")
    right.bar([i + 0.2 for i in x], [float(r[2]) for r in both], 0.4, label="GalSim")
    for i, row in enumerate(both):
        right.text(i - 0.2, float(row[1]), f"{row[3]} x", ha="center", va="bottom", fontsize=9)
    right.set(ylabel="time per galaxy [ms]", title="Speed, one core, 64 x 64 pixels")
    right.set_xticks(x, [row[0].replace("_", " ") for row in both], rotation=20)
    right.legend()
    figure.savefig(HERE / "rendering.png", dpi=90)


if __name__ == "__main__":
    main()
