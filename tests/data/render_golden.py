"""Makes render_golden.json and render_golden.gz: galaxies and stars as GalSim draws them, for sim/tests/render_golden.rs.

    pip install galsim==2.8.5
    python tests/data/render_golden.py        # five minutes, 7 GB; writes both files beside itself

All lengths in pixels, flux 1, the centre of the first pixel is (0, 0); the position angle runs from +y towards +x. PSF and
pixel are convolved first and drawn with method='no_pixel': the effective PSF, the pixel response in it once. The table has the
cases, with the flux inside the square and the highest pixel; the other file every pixel of every case, one after the other, in
steps of STEP of the highest. A square is stored as its second difference d[y, x] = v[y, x] - v[y-1, x] - v[y, x-1] + v[y-1, x-1]
(zero outside), i32, the four bytes of all pixels of all cases one plane after the other, lowest first, and compressed.
"""

import gzip
import json
import math
import pathlib

import galsim
import numpy as np

STEP = 1e-6

PSFS = {
    "moffat": dict(kind="moffat", fwhm=3.5, beta=3.5, e1=0.0, e2=0.0, radius=44),
    "sheared": dict(kind="moffat", fwhm=4.2, beta=3.0, e1=0.08, e2=-0.05, radius=64),
    "sharp": dict(kind="moffat", fwhm=2.0, beta=4.0, e1=0.02, e2=0.03, radius=24),
    "gaussian": dict(kind="gaussian", sigma=1.5, radius=16),
}
FWHM = 3.5


def params(folding):
    return galsim.GSParams(
        folding_threshold=folding, maxk_threshold=1e-5, kvalue_accuracy=1e-7, xvalue_accuracy=1e-7,
        integration_relerr=1e-8, integration_abserr=1e-10, maximum_fft_size=20480, stepk_minimum_hlr=5,
    )


def psf_of(spec, gs):
    if spec["kind"] == "moffat":
        optical = galsim.Moffat(beta=spec["beta"], fwhm=spec["fwhm"], gsparams=gs).shear(g1=spec["e1"], g2=spec["e2"])
    else:
        optical = galsim.Gaussian(sigma=spec["sigma"], gsparams=gs)
    return galsim.Convolve([optical, galsim.Pixel(1.0, gsparams=gs)], gsparams=gs)


def ellipse(profile_of_radius, r, q, angle):
    """Half-light radius r along the major axis."""
    return profile_of_radius(r * math.sqrt(q)).shear(q=q, beta=(90.0 - angle) * galsim.degrees)


def light_of(case, gs):
    kind = case["kind"]
    q, angle = case.get("q", 1.0), case.get("angle", 0.0)
    if kind == "sersic":
        return ellipse(lambda r: galsim.Sersic(n=case["n"], half_light_radius=r, gsparams=gs), case["r"], q, angle)
    if kind == "exponential":
        return ellipse(lambda r: galsim.Exponential(half_light_radius=r, gsparams=gs), case["r"], q, angle)
    if kind == "de_vaucouleurs":
        return ellipse(lambda r: galsim.DeVaucouleurs(half_light_radius=r, gsparams=gs), case["r"], q, angle)
    if kind == "composite":
        f = case["bulge_fraction"]
        disc = ellipse(lambda r: galsim.Exponential(half_light_radius=r, gsparams=gs), case["r"], q, angle)
        bulge = ellipse(lambda r: galsim.Sersic(n=case["bulge_n"], half_light_radius=r, gsparams=gs), case["bulge_r"], case["bulge_q"], angle)
        return (1 - f) * disc + f * bulge
    if kind == "mixture":
        total = galsim.Add([galsim.Gaussian(flux=f, sigma=s, gsparams=gs) for f, s in case["components"]])
        # The renderer scales a mixture to its half-light radius; so does this: by bisection of the growth curve.
        low, high = 0.0, 10 * max(s for _, s in case["components"])
        norm = sum(f for f, _ in case["components"])
        for _ in range(200):
            r = 0.5 * (low + high)
            inside = sum(f * (1 - math.exp(-0.5 * r * r / s**2)) for f, s in case["components"]) / norm
            low, high = (r, high) if inside < 0.5 else (low, r)
        return ellipse(lambda size: total.expand(size / r) / (norm * (size / r) ** 2), case["r"], q, angle)
    raise ValueError(kind)


def cases():
    shifts = [(0.0, 0.0), (0.31, -0.22), (-0.5, 0.47), (0.13, 0.5)]
    sizes = ((0.05, 48), (0.3, 48), (1.0, 64), (4.0, 128), (20.0, 256))
    i = 0

    def swept(psf="moffat", **light):
        """Every size at some shift, axis ratio and angle; and a thin one."""
        nonlocal i
        for widths, side in sizes:
            dx, dy = shifts[i % 4]
            yield dict(light, r=widths * FWHM, q=(1.0, 0.7, 0.45)[i % 3], angle=(17 * i) % 180, dx=dx, dy=dy, psf=psf, side=side)
            i += 1
        yield dict(light, r=3 * FWHM, q=0.1, angle=33.0, dx=0.2, dy=0.4, psf=psf, side=96)

    for n in (0.3, 0.5, 1.0, 1.5, 2.5, 4.0, 5.0, 6.2):
        yield from swept(kind="sersic", n=n)
    for n in (0.5, 4.0):
        yield dict(kind="sersic", n=n, r=20 * FWHM, q=0.1, angle=90.0, dx=0.0, dy=0.3, psf="moffat", side=256)
    yield from swept(kind="exponential")
    yield from swept(kind="de_vaucouleurs")
    yield from swept(kind="mixture", components=[[0.5, 0.6], [0.35, 1.3], [0.15, 3.0]], psf="sheared")
    for psf in PSFS:
        for dx, dy in ((0.0, 0.0), (0.37, -0.18), (-0.5, 0.5)):
            yield dict(kind="point", dx=dx, dy=dy, psf=psf, side=64)
        yield dict(kind="exponential", r=2.5, q=0.6, angle=40.0, dx=-0.4, dy=0.1, psf=psf, side=64)
        yield dict(kind="de_vaucouleurs", r=2.5, q=0.8, angle=120.0, dx=0.25, dy=-0.45, psf=psf, side=64)
        yield dict(kind="exponential", r=0.2, q=0.5, angle=10.0, dx=0.5, dy=0.5, psf=psf, side=48)
    for f in (0.2, 0.7):
        yield dict(kind="composite", r=5.0, q=0.35, angle=70.0, bulge_fraction=f, bulge_r=1.6, bulge_q=0.8, bulge_n=4.0, dx=0.3, dy=0.1, psf="moffat", side=96)


def draw(case, folding):
    gs = params(folding)
    psf = psf_of(PSFS[case["psf"]], gs)
    what = psf if case["kind"] == "point" else galsim.Convolve([light_of(case, gs), psf], gsparams=gs)
    side = case["side"]
    image = galsim.ImageD(galsim.BoundsI(0, side - 1, 0, side - 1), scale=1.0)
    what.drawImage(image=image, center=galsim.PositionD(side // 2 + case["dx"], side // 2 + case["dy"]), method="no_pixel")
    return image.array


def second_difference(steps):
    steps = np.diff(steps, axis=0, prepend=0)
    return np.diff(steps, axis=1, prepend=0).astype("<i4").ravel()


def main():
    done, planes = [], []
    for case in cases():
        # The largest concentrated galaxies would need squares of 40000 pixels; what is folded into theirs, spread over 8000 pixels, is below
        # 1e-5 of the flux in the square that is kept.
        n = {"sersic": case.get("n"), "de_vaucouleurs": 4.0}.get(case["kind"], 0.0)
        is_huge = case.get("r", 0.0) * n**1.5 > 60
        array = draw(case, 4e-3 if is_huge else 1e-4)
        peak = float(f"{array.max():.8g}")
        done.append(case | {"inside": float(f"{array.sum():.8g}"), "peak": peak})
        planes.append(second_difference(np.rint(array / (STEP * peak)).astype(np.int64)))
        print(case, array.sum(), flush=True)
    folder = pathlib.Path(__file__).parent
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in done)
    psfs = json.dumps(PSFS)
    (folder / "render_golden.json").write_text(f'{{"galsim":"{galsim.__version__}","step":{STEP},"psfs":{psfs},"cases":[\n{lines}\n]}}\n')
    by_byte = np.concatenate(planes).view(np.uint8).reshape(-1, 4).T.tobytes()
    (folder / "render_golden.gz").write_bytes(gzip.compress(by_byte, 9, mtime=0))


if __name__ == "__main__":
    main()
