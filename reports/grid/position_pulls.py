"""Width of position pulls that noise alone gives a least-squares centroid at low S/N, by Monte Carlo without any of fathom.

Stars of Gaussian PSF (FWHM 4.5 px) in white noise, three bands of one S/N, found where a band's filtered map passes 5 or the
free-SED sum passes 5.663 within 1 FWHM; position by Gauss-Newton on all bands with the fluxes free, from the highest pixel;
error from the curvature at the fitted fluxes, as a catalog knows it. True S/N of all bands: uniform in each bin as in the grid.
"""
import numpy as np

SIGMA, R = 4.5 / 2.3548, 7
rng = np.random.default_rng(20)
y, x = np.mgrid[-R:R + 1, -R:R + 1].astype(float)


def psf(dx, dy):
    return np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * SIGMA**2)) / (2 * np.pi * SIGMA**2)


def correlate(image, kernel):
    f = np.fft.rfft2
    n = image.shape[-1]
    k = np.zeros((n, n))
    k[:kernel.shape[0], :kernel.shape[1]] = kernel
    return np.roll(np.fft.irfft2(f(image) * np.conj(f(k)), s=(n, n)), (R, R), axis=(-2, -1))


def fit(data, ix, iy):
    dx = dy = 0.0
    stamps = data[:, iy - R:iy + R + 1, ix - R:ix + R + 1]
    for _ in range(12):
        p = psf(dx, dy)
        gx, gy = (x - dx) / SIGMA**2 * p, (y - dy) / SIGMA**2 * p
        norm = (p * p).sum()
        flux = np.maximum((stamps * p).sum((1, 2)) / norm, 0.0)
        residual = stamps - flux[:, None, None] * p
        g = np.array([(flux[:, None, None] * gx * residual).sum(), (flux[:, None, None] * gy * residual).sum()])
        h = (flux**2).sum() * np.array([[(gx * gx).sum(), (gx * gy).sum()], [(gx * gy).sum(), (gy * gy).sum()]])
        step = np.linalg.solve(h, g) if np.linalg.det(h) > 0 else np.zeros(2)
        length = np.hypot(*step)
        step *= min(1.0, 0.3 * 4.5 / max(length, 1e-12))
        dx, dy = dx + step[0], dy + step[1]
        if np.hypot(dx, dy) > 0.75 * 4.5:
            return None
        if length < 1e-4:
            break
    c = np.linalg.inv(h)
    return ix + dx, iy + dy, np.sqrt(c[0, 0]), np.sqrt(c[1, 1])


n, kernel = 48, psf(0, 0)
norm = np.sqrt((kernel**2).sum())
for low, high in [(5, 10), (10, 20), (20, 50)]:
    pulls = []
    for _ in range(6000):
        nu = rng.uniform(low, high) / np.sqrt(3)
        ox, oy = 24 + rng.uniform(-0.5, 0.5, 2)
        yy, xx = np.mgrid[0:n, 0:n]
        star = np.exp(-((xx - ox) ** 2 + (yy - oy) ** 2) / (2 * SIGMA**2)) / (2 * np.pi * SIGMA**2)
        data = nu / norm * star + rng.normal(size=(3, n, n))
        maps = correlate(data, kernel) / norm
        near = np.s_[19:30, 19:30]
        free = np.sqrt((np.maximum(maps, 0) ** 2).sum(0))
        found = [m[near] for m, t in [*((m, 5.0) for m in maps), (free, 5.663)] if m[near].max() > t]
        if not found:
            continue
        best = free[near]
        j, i = np.unravel_index(best.argmax(), best.shape)
        result = fit(data, 19 + i, 19 + j)
        if result is not None:
            pulls += [(result[0] - ox) / result[2], (result[1] - oy) / result[3]]
    pulls = np.array(pulls)
    print(f"S/N {low}-{high}: pull width {pulls.std():.3f} +- {pulls.std() / np.sqrt(2 * len(pulls)):.3f} (n = {len(pulls)})")
