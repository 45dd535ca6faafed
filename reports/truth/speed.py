#!/usr/bin/env python3
"""Galaxies per second on one core: fathom's renderer and GalSim, one after the other on the same machine.

    pip install galsim==2.8.5
    OMP_NUM_THREADS=1 python reports/truth/speed.py      # from the repository; prints the table of rendering.md

Both draw each galaxy once, with its own size, shape, angle and sub-pixel position, through the same Moffat PSF, on 64 x 64
pixels. GalSim with its default parameters; it convolves with the pixel itself.
"""

import json
import math
import os
import pathlib
import subprocess
import time

import galsim

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = ["exponential", "sersic_2.5", "de_vaucouleurs", "disc_and_bulge"]
PSF = galsim.Moffat(beta=3.5, fwhm=3.5 * 0.2).shear(g1=0.02, g2=0.01)


def galaxy(name, i):
    t = lambda step: math.fmod(i * step, 1.0)
    r, q = 0.3 + 0.4 * t(0.618034), 0.3 + 0.7 * t(0.414214)
    flat = lambda make, r, q: make(r * math.sqrt(q)).shear(q=q, beta=180 * t(0.732051) * galsim.degrees)
    sersic = lambda n: lambda r: galsim.Sersic(n=n, half_light_radius=r)
    if name == "disc_and_bulge":
        disc = flat(lambda r: galsim.Exponential(half_light_radius=r), r, q)
        bulge = flat(lambda r: galsim.DeVaucouleurs(half_light_radius=r), 0.4 * r, 0.5 + 0.5 * q)
        total = 700 * disc + 300 * bulge
    elif name == "exponential":
        total = 1000 * flat(lambda r: galsim.Exponential(half_light_radius=r), r, q)
    elif name == "de_vaucouleurs":
        total = 1000 * flat(lambda r: galsim.DeVaucouleurs(half_light_radius=r), r, q)
    else:
        total = 1000 * flat(sersic(2.5), r, q)
    return galsim.Convolve([total, PSF]), (t(0.236068), t(0.317837))


def galsim_ms(name, seconds=4.0):
    image = galsim.ImageD(64, 64, scale=0.2)
    best = math.inf
    i, end = 0, time.perf_counter() + seconds
    galaxy(name, 1)[0].drawImage(image=image)
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(50):
            i += 1
            what, offset = galaxy(name, i)
            what.drawImage(image=image, offset=offset)
        best = min(best, (time.perf_counter() - start) / 50)
    return 1e3 * best


def best_ms(target, name):
    """The best of criterion's samples: as for GalSim, what the machine does when nothing else runs on it."""
    sample = json.loads((target / "criterion/render" / name / "new/sample.json").read_text())
    return min(t / n for t, n in zip(sample["times"], sample["iters"])) / 1e6


def main():
    subprocess.run(["cargo", "bench", "-q", "-p", "fathom-sim", "--bench", "render"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"RAYON_NUM_THREADS": "1"})
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    print("| galaxy | fathom, ms | GalSim, ms | ratio |\n|---|---|---|---|")
    for name in CASES:
        ours = best_ms(target, name)
        theirs = galsim_ms(name)
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} |")
    for name in ["exponential_whole", "de_vaucouleurs_whole"]:
        ours = best_ms(target, name)
        print(f"| {name} | {ours:.3f} | | |")


if __name__ == "__main__":
    main()
