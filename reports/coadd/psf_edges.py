"""Why stars on psf-matched coadds are off at edges of detectors: their images without noise, exposure by exposure, from the models.

    psf_edges.py RUNS        (runs of psf.sh)

Each exposure's Moffat is warped (coadd_psf.py), cut where the exposure ends, convolved with a kernel of its own to the target, brought to level by the share of the kernel
on its pixels, left out where that share, or that of the kernel's power, is off by more than 1 - min_kernel_weight, and averaged with the weights of the file; nothing is clipped.
The same is calculated without the rule on the power.
"""

import glob
import sys

import h5py
import numpy as np
from coadd_psf import CoaddPsf, plane, warped
from psf import BAND, Run, gaussian, residual
from scipy.signal import fftconvolve

LEAST = 0.99
BOUND = 5e-3
# Lanczos-3 needs this much of the exposure around a position.
NEEDED = 2.0


def matching_kernel(psf, target):
    """Of unit sum, on the pixels of the target."""
    h, n = target.shape[0] // 2, 256

    def spectrum(stamp):
        c = stamp.shape[0] // 2
        return np.fft.fft2(np.roll(np.pad(stamp / stamp.sum(), (0, n - stamp.shape[0])), (-c, -c), (0, 1)))

    f = spectrum(psf)
    kernel = np.fft.ifft2(spectrum(target) * f.conj() / (np.abs(f) ** 2 + 1e-8)).real
    kernel = np.roll(kernel, (h, h), (0, 1))[: 2 * h + 1, : 2 * h + 1]
    return kernel / kernel.sum()


class Part:
    """A star on one exposure, matched: `image` of a unit source, `lost` and `lost_power`, the shares of K and of K^2 beyond the exposure, on pixels within r."""

    def __init__(self, run, exposure, x, y, fwhm, r, core):
        h = int(np.ceil(4 * fwhm))
        reach = r + h
        cx, cy = int(np.rint(x)), int(np.rint(y))
        gx, gy = np.meshgrid(np.arange(cx - reach, cx + reach + 1.0), np.arange(cy - reach, cy + reach + 1.0))
        ex, ey = exposure.wcs.to_pixel(run.tract.to_sky(gx, gy))
        ny, nx = exposure.shape
        self.distance = min(np.min(np.abs([ex[reach, reach], ex[reach, reach] - nx + 1])), np.min(np.abs([ey[reach, reach], ey[reach, reach] - ny + 1])))
        has = (ex >= NEEDED) & (ex < nx - 1 - NEEDED) & (ey >= NEEDED) & (ey < ny - 1 - NEEDED)
        dy, dx = np.mgrid[-h : h + 1, -h : h + 1]
        kernel = matching_kernel(warped(exposure, run.tract, float(cx), float(cy), h), gaussian(fwhm, dx, dy))
        light = warped(exposure, run.tract, x, y, reach)
        self.lost = fftconvolve(1.0 - has, kernel, mode="valid")
        self.lost_power = fftconvolve(1.0 - has, kernel**2, mode="valid") / np.sum(kernel**2)
        with np.errstate(all="ignore"):
            self.image = fftconvolve(np.where(has, light, 0.0), kernel, mode="valid") / (1.0 - self.lost)
        # Photon noise of the core flux for one electron, squared.
        seen = fftconvolve(core.astype(float), kernel[::-1, ::-1])
        part = light[reach - r - h : reach + r + h + 1, reach - r - h : reach + r + h + 1]
        self.noise_sq = np.sum(seen**2 * part) / np.sum(seen * part) ** 2


def mean_image(parts, weights, kept):
    total = sum(w * k for w, k in zip(weights, kept))
    with np.errstate(all="ignore"):
        return sum(w * np.where(k, p.image, 0.0) for p, w, k in zip(parts, weights, kept)) / total


def main():
    runs = sys.argv[1]
    print(f"stars across an edge on psf-matched coadds, min_kernel_weight {LEAST}: core flux measured, and calculated without noise and clipping")
    worst = []
    for name in ("mix", "0.5", "0.6", "0.8", "1.0"):
        run = Run(f"{runs}/{name}-cell")
        fwhm, found, _, n = run.matched()
        r = int(np.ceil(4 * fwhm / 2.3548))
        with h5py.File(sorted(glob.glob(f"{run.path}/main/psf_matched/*.h5"))[0]) as f:
            t = f[BAND]["input_exposures"]
            weight_of = {i.decode(): w for i, w in zip(t["id"][()], t["weight"][()])}
        image = plane(run.path, "psf_matched", f"{BAND}/image")
        rows = []
        for (k, x, y, star, box), (kind, _, measured) in zip(run.stars(image, r), found):
            if kind != "across an edge":
                continue
            cx, cy = int(np.rint(x)), int(np.rint(y))
            dy, dx = np.mgrid[-r : r + 1, -r : r + 1].astype(float)
            dx, dy = dx - (x - cx), dy - (y - cy)
            core, model = np.hypot(dx, dy) <= 0.5 * fwhm, gaussian(fwhm, dx, dy)
            parts, weights, names = [], [], []
            for e, i in zip(run.psf.exposures, run.psf.ids):
                px, py = e.wcs.to_pixel(run.tract.to_sky(x, y))
                if -40 < px < e.shape[1] + 40 and -40 < py < e.shape[0] + 40 and weight_of.get(i, 0) > 0:
                    parts.append(Part(run, e, x, y, fwhm, r, core))
                    weights.append(weight_of[i])
                    names.append((i, e.electrons_per_njy * run.flux[k]))
            by_share = [np.abs(p.lost) <= 1 - LEAST for p in parts]
            kept = [k & (p.lost_power <= 1 - LEAST) for p, k in zip(parts, by_share)]
            calculated = residual(mean_image(parts, weights, kept), model, fwhm, x - cx, y - cy)
            without = residual(mean_image(parts, weights, by_share), model, fwhm, x - cx, y - cy)
            at = [(w, p, e) for w, p, k, (_, e) in zip(weights, parts, kept, names) if k[r, r]]
            noise = np.sqrt(sum(w**2 * p.noise_sq / e for w, p, e in at)) / sum(w for w, _, _ in at) if at else np.nan
            rows.append((measured[0], calculated[0], without[0], noise, sum(k.sum() for k in kept), sum(k.sum() for k in by_share)))
            if np.abs(measured).max() > BOUND:
                lines = [f"    {name}, star at ({x:.1f}, {y:.1f}): {measured[0]:.1e}, calculated {calculated[0]:.1e}, photon noise {noise:.1e}, {len(at)} exposures in the middle"]
                for (i, _), w, p, k in zip(names, weights, parts, kept):
                    mine = core & k
                    if mine.any() and not (np.abs(p.lost[core]) < 1e-3).all():
                        off = p.image[mine].sum() / model[mine].sum() - 1
                        lines.append(
                            f"      {i}, {p.distance:.1f} px from its edge, weight {w / sum(v for v, q, _ in zip(weights, parts, names) if (np.abs(q.lost[core]) <= 1 - LEAST).any()):.2f}: "
                            f"{mine.sum()} of {core.sum()} pixels of the core kept, their light off by {off:.1e}; lost of K {np.abs(p.lost[mine]).max():.4f} at most, of its power {p.lost_power[mine].max():.4f}"
                        )
                worst += lines
        v = np.array(rows)
        # The model may have no pixels left where the program has.
        c = v[np.isfinite(v[:, 1:3]).all(1)]
        print(
            f"  {name}: {len(v)} stars; measured {v[:, 0].mean():.1e}, at most {np.abs(v[:, 0]).max():.1e}; calculated on {len(c)}: {c[:, 1].mean():.1e}, {np.abs(c[:, 1]).max():.1e}; "
            f"correlation {np.corrcoef(c[:, 0], c[:, 1])[0, 1]:.2f}; photon noise {np.nanmedian(v[:, 3]):.1e}\n"
            f"       without the rule on the power: {c[:, 2].mean():.1e}, {np.abs(c[:, 2]).max():.1e}; it takes {100 * (1 - v[:, 4].sum() / v[:, 5].sum()):.2f} % of these stars' pixels of exposures"
        )
    print(f"  measured beyond {BOUND}:" + ("" if worst else " none"))
    print("\n".join(worst), end="\n" if worst else "")


main()
