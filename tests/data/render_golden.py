"""Makes render_golden.json: galaxies and stars as GalSim draws them, for sim/tests/render_golden.rs.

    pip install galsim==2.8.5
    python tests/data/render_golden.py        # two minutes, 7 GB; writes render_golden.json beside itself

All lengths in pixels, flux 1, the centre of the first pixel is (0, 0); the position angle runs from +y towards +x. PSF and
pixel are convolved first and drawn with method='no_pixel': the effective PSF, the pixel response in it once. A case keeps the
flux inside its square, the highest pixel, and some 150 of its pixels: the core, rows and columns and diagonals through the
centre, and others picked by a fixed rule.
"""

import json
import math
import pathlib

import galsim

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
    i = 0
    for n in (0.3, 0.5, 1.0, 1.5, 2.5, 4.0, 5.0, 6.2):
        for widths, side in ((0.05, 48), (0.3, 48), (1.0, 64), (4.0, 128), (20.0, 256)):
            dx, dy = shifts[i % 4]
            yield dict(kind="sersic", n=n, r=widths * FWHM, q=(1.0, 0.7, 0.45)[i % 3], angle=(17 * i) % 180, dx=dx, dy=dy, psf="moffat", side=side)
            i += 1
        yield dict(kind="sersic", n=n, r=3 * FWHM, q=0.1, angle=33.0, dx=0.2, dy=0.4, psf="moffat", side=96)
    for n in (0.5, 4.0):
        yield dict(kind="sersic", n=n, r=20 * FWHM, q=0.1, angle=90.0, dx=0.0, dy=0.3, psf="moffat", side=256)
    for psf in PSFS:
        yield dict(kind="point", dx=0.0, dy=0.0, psf=psf, side=32)
        yield dict(kind="point", dx=0.37, dy=-0.18, psf=psf, side=32)
        yield dict(kind="exponential", r=2.5, q=0.6, angle=40.0, dx=-0.4, dy=0.1, psf=psf, side=64)
        yield dict(kind="de_vaucouleurs", r=2.5, q=0.8, angle=120.0, dx=0.25, dy=-0.45, psf=psf, side=64)
        yield dict(kind="exponential", r=0.2, q=0.5, angle=10.0, dx=0.5, dy=0.5, psf=psf, side=48)
    for f in (0.2, 0.7):
        yield dict(kind="composite", r=5.0, q=0.35, angle=70.0, bulge_fraction=f, bulge_r=1.6, bulge_q=0.8, bulge_n=4.0, dx=0.3, dy=0.1, psf="moffat", side=96)
    for r, q in ((0.5, 1.0), (4.0, 0.3)):
        yield dict(kind="mixture", components=[[0.5, 0.6], [0.35, 1.3], [0.15, 3.0]], r=r, q=q, angle=25.0, dx=-0.2, dy=0.35, psf="sheared", side=96)


def picked(side):
    c, out = side // 2, set()
    out |= {(c + i, c + j) for i in range(-3, 4) for j in range(-3, 4)}
    for d in (5, 8, 12, 18, 27, 40, 60, 90, 120):
        if d < c:
            out |= {(c + d, c), (c - d, c), (c, c + d), (c, c - d), (c + d, c + d), (c - d, c + d), (c - d, c - d)}
    state = 12345
    for _ in range(60):
        state = (1103515245 * state + 12345) % 2**31
        out.add((state // 7 % side, state // 7 // side % side))
    return sorted(out)


def draw(case, folding):
    gs = params(folding)
    psf = psf_of(PSFS[case["psf"]], gs)
    what = psf if case["kind"] == "point" else galsim.Convolve([light_of(case, gs), psf], gsparams=gs)
    side = case["side"]
    image = galsim.ImageD(galsim.BoundsI(0, side - 1, 0, side - 1), scale=1.0)
    what.drawImage(image=image, center=galsim.PositionD(side // 2 + case["dx"], side // 2 + case["dy"]), method="no_pixel")
    return image.array


def main():
    done = []
    for case in cases():
        # The largest concentrated galaxies would need squares of 40000 pixels; what is folded into theirs, spread over 8000 pixels, is below
        # 1e-5 of the flux in the square that is kept.
        is_huge = case["kind"] == "sersic" and case["r"] * case["n"] ** 1.5 > 60
        array = draw(case, 4e-3 if is_huge else 1e-4)
        done.append(case | {
            "inside": float(f"{array.sum():.8g}"),
            "peak": float(f"{array.max():.8g}"),
            "pixels": [[x, y, float(f"{array[y, x]:.7g}")] for x, y in picked(case["side"])],
        })
        print({k: v for k, v in case.items()}, array.sum(), flush=True)
    path = pathlib.Path(__file__).with_name("render_golden.json")
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in done)
    path.write_text('{"galsim":"%s","psfs":%s,"cases":[\n%s\n]}\n' % (galsim.__version__, json.dumps(PSFS), lines))


if __name__ == "__main__":
    main()
