#!/usr/bin/env python3
"""Writes wcs_golden.json: sky/pixel pairs by astropy.wcs for every projection that fathom reads.

Usage: python3 wcs_golden.py > wcs_golden.json      (needs astropy, numpy)
"""
import json

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

BASE = {"CRPIX1": 512.5, "CRPIX2": 600.0, "CRVAL1": 150.1, "CRVAL2": 2.2, "CD1_1": -5.4e-5, "CD1_2": 1.1e-5, "CD2_1": 1.0e-5, "CD2_2": 5.5e-5}
SIP = {"A_ORDER": 4, "B_ORDER": 4, "A_2_0": 2.1e-6, "A_1_1": -3.2e-6, "A_0_2": 1.3e-6, "A_3_0": 4e-10, "A_1_2": -7e-10, "A_0_4": 2e-13,
       "B_2_0": -1.7e-6, "B_1_1": 2.6e-6, "B_0_2": 3.1e-6, "B_0_3": 5e-10, "B_2_1": 6e-10, "B_4_0": -1e-13}
# As in a DECam Community Pipeline header: offsets of up to 0.3 deg from the axis, third order.
TPV = {"CRPIX1": -2500.3, "CRPIX2": 4100.7, "CRVAL1": 186.744, "CRVAL2": 25.462, "CD1_1": 1.1e-8, "CD1_2": 7.286e-5, "CD2_1": -7.286e-5, "CD2_2": 2.0e-8,
       "PV1_0": -2.9e-3, "PV1_1": 1.0144, "PV1_2": -7.4e-3, "PV1_4": -1.9e-2, "PV1_5": 2.1e-2, "PV1_6": -9.5e-3, "PV1_7": 8.6e-3, "PV1_8": -1.6e-2,
       "PV1_9": 1.8e-2, "PV1_10": -6.6e-3, "PV2_0": 4.3e-3, "PV2_1": 1.0169, "PV2_2": -1.1e-2, "PV2_4": -2.8e-2, "PV2_5": 3.2e-2, "PV2_6": -1.2e-2,
       "PV2_7": 1.2e-2, "PV2_8": -2.2e-2, "PV2_9": 1.7e-2, "PV2_10": -7.6e-3}
CASES = {
    "tan": (BASE, "TAN", 1024),
    "tan_pole": (BASE | {"CRVAL1": 30.0, "CRVAL2": 89.99}, "TAN", 1024),
    "tan_ra_zero": (BASE | {"CRVAL1": 0.005, "CRVAL2": -45.0}, "TAN", 1024),
    "tan_sip": (BASE | SIP, "TAN-SIP", 1024),
    "tpv": (TPV, "TPV", 2048),
    "tpv_radial": (TPV | {"PV1_3": 1e-3, "PV2_3": -8e-4, "PV1_11": 2e-3, "PV2_11": 1e-3}, "TPV", 2048),
    "sin": (BASE | {"CD1_1": -2.8e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2.8e-4}, "SIN", 1024),
}


def main():
    out = {}
    rng = np.random.default_rng(1)
    for name, (cards, code, size) in CASES.items():
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = ("RA---" + code, "DEC--" + code)
        header["CUNIT1"] = header["CUNIT2"] = "deg"
        for key, value in cards.items():
            header[key] = value
        wcs = WCS(header)
        xy = rng.uniform(0, size, (20, 2))
        sky = wcs.all_pix2world(xy, 0)
        cards = {k: v for k, v in header.items() if not k.startswith("CUNIT")}
        out[name] = {"cards": cards, "rows": [[*map(float, p), *map(float, s)] for p, s in zip(xy, sky)]}
    print(json.dumps(out, indent=0))


main()
