"""Golden table of a real galaxy's stamp drawn through another PSF by GalSim: python3 stamp_golden.py > stamp_golden.json

The stamp: two crossed exponentials (point-symmetric, so that the centre is plain) through a sharp Gaussian PSF, on pixels of 0.2. GalSim takes stamp and
PSF as images, deconvolves, turns, and convolves with a Moffat PSF and a pixel of 1. +x is east and +y north, as in render_golden.py: the
stamp's y lies along the position angle, its x 90 degrees clockwise of it on the sky, which is -x at angle 0.
"""
import json

import galsim
import numpy as np

SCALE, SIDE, PSF_SIDE = 0.2, 65, 33
params = galsim.GSParams(maximum_fft_size=16384, folding_threshold=1e-4, maxk_threshold=1e-4, kvalue_accuracy=1e-6)
sharp = galsim.Gaussian(fwhm=0.6)
shape = lambda r, q, angle: galsim.Exponential(half_light_radius=r).shear(q=q, beta=angle * galsim.degrees)
galaxy = 0.7 * shape(1.0, 0.5, 20) + 0.3 * shape(0.7, 0.4, 100)
draw = lambda obj, side: obj.drawImage(nx=side, ny=side, scale=SCALE, method="no_pixel", dtype=float).array
rounded = lambda a: np.vectorize(lambda v: float(f"{v:.7g}"))(a)
stamp = rounded(draw(galsim.Convolve(galaxy, sharp), SIDE))
psf = rounded(draw(sharp, PSF_SIDE))

as_object = lambda a: galsim.InterpolatedImage(galsim.Image(a, scale=SCALE), x_interpolant="lanczos15", k_interpolant="quintic", flux=1.0, gsparams=params, pad_factor=6)
sharpless = galsim.Convolve(as_object(stamp), galsim.Deconvolve(as_object(psf)))
target = galsim.Convolve(galsim.Moffat(beta=3.5, fwhm=3.5, gsparams=params), galsim.Pixel(1.0))
cases = []
for angle, jacobian in [(0.0, (-1, 0, 0, 1)), (90.0, (0, 1, 1, 0))]:
    image = galsim.Convolve(sharpless.transform(*jacobian), target, gsparams=params).drawImage(nx=21, ny=21, scale=1.0, method="no_pixel", dtype=float)
    cases.append({"angle": angle, "pixels": rounded(image.array).tolist()})
print(json.dumps({"scale": SCALE, "stamp": stamp.tolist(), "psf": psf.tolist(), "fwhm": 3.5, "beta": 3.5, "cases": cases}))
