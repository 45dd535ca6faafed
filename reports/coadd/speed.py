"""CPU time of `fathom coadd` and of SWarp on the same exposures.

speed.py fits RUN FOLDER            exposures as FITS images and weight maps
speed.py time OUT FATHOM CONFIG     runs both, three times in turns, and prints the table
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits

UNUSABLE = ("BAD", "SAT", "CR", "NO_DATA", "INTRP")


def to_fits(run: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((run / "main/exposures").glob("*.h5")):
        with h5py.File(path) as f:
            image, variance, mask = f["image"][:], f["variance"][:], f["mask"][:]
            names = [n.decode() if isinstance(n, bytes) else n for n in f.attrs["mask_planes"]]
            bad = sum(1 << i for i, name in enumerate(names) if name in UNUSABLE)
            header = fits.Header()
            for key, value in f["wcs"].attrs.items():
                header[key] = value.decode() if isinstance(value, bytes) else value
            scale = float(f["photo_calib"].attrs["mean_njy_per_adu"])
            sky = float(f.attrs.get("known_sky_adu", np.median(image)))
        weight = np.where((mask & bad) == 0, 1 / (variance * scale**2), 0).astype(np.float32)
        fits.writeto(folder / f"{path.stem}.fits", ((image - sky) * scale).astype(np.float32), header, overwrite=True)
        fits.writeto(folder / f"{path.stem}.weight.fits", weight, header, overwrite=True)


def cpu(command: list[str], cwd: Path | None = None) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def swarp(folder: Path) -> float:
    images = sorted(p.name for p in folder.glob("*.fits") if not p.name.endswith(".weight.fits") and not p.name.startswith("coadd"))
    options = {
        "IMAGEOUT_NAME": "coadd.fits", "WEIGHTOUT_NAME": "coadd.weight.fits", "WEIGHT_TYPE": "MAP_WEIGHT", "COMBINE_TYPE": "WEIGHTED",
        "RESAMPLING_TYPE": "LANCZOS3", "SUBTRACT_BACK": "N", "NTHREADS": "1", "CENTER_TYPE": "MANUAL", "CENTER": "150.1,2.2",
        "PIXELSCALE_TYPE": "MANUAL", "PIXEL_SCALE": "0.2", "IMAGE_SIZE": "2048,2048", "PROJECTION_TYPE": "TAN", "CELESTIAL_TYPE": "NATIVE",
        "FSCALASTRO_TYPE": "FIXED", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "DELETE_TMPFILES": "Y",
    }  # fmt: skip
    return cpu(["SWarp", *images, "-c", "/dev/null", *[w for k, v in options.items() for w in (f"-{k}", v)]], folder)


def phase(out: Path, fathom: str, config: str, name: str, settings: list[str]) -> tuple[float, float]:
    """CPU seconds of a phase from nothing, and the largest memory of any child so far [MB]."""
    for path in (out / "run/main" / name.replace("-", "_")).glob("*.h5"):
        path.unlink()
    sets = [w for s in settings for w in ("--set", s)]
    seconds = cpu([fathom, name, config, "--out", str(out / "run"), "--resume", "--threads", "1", *sets])
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def times(out: Path, fathom: str, config: str) -> None:
    weights = [p for p in (out / "swarp").glob("*.weight.fits") if not p.name.startswith("coadd")]
    with fits.open(weights[0]) as f:
        mpix = f[0].data.size / 1e6
    n = len(weights)
    # In this order, for the memory: it is the largest of all before.
    kinds = {
        "artifacts": ("artifacts", ["artifacts.find=true"]),
        "psf-matched": ("psf-matched", ["psf_matched.make=true"]),
        "coadd: direct and likelihood": ("coadd", []),
        "coadd: and Φ of three morphologies": ("coadd", ["coadd.morphologies_arcsec=[0.4, 0.8, 1.6]"]),
    }
    found: dict[str, list[float]] = {name: [] for name in [*kinds, "SWarp"]}
    memory: dict[str, float] = {}
    for _ in range(3):
        for name, (command, settings) in kinds.items():
            seconds, peak = phase(out, fathom, config, command, settings)
            found[name].append(seconds)
            memory.setdefault(name, peak)
        found["SWarp"].append(swarp(out / "swarp"))
    base = min(found["SWarp"])
    print(f"{n} exposures of {mpix:.1f} Mpix; CPU seconds per Mpix-exposure, the best of 3 (and the others); memory at most")
    for name, seconds in found.items():
        per = [s / (n * mpix) for s in sorted(seconds)]
        others = ", ".join(f"{p:.3f}" for p in per[1:])
        peak = f", {memory[name]:.0f} MB" if name in memory else ""
        print(f"{name}: {per[0]:.3f} ({others}), {min(seconds) / base:.2f} of SWarp{peak}")


if __name__ == "__main__":
    if sys.argv[1] == "fits":
        to_fits(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        times(Path(sys.argv[2]), os.path.abspath(sys.argv[3]), sys.argv[4])
