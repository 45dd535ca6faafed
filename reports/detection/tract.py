"""Pixels of a square tract from the sky."""

import numpy as np


def tract_pixels(ra: np.ndarray, dec: np.ndarray, centre_deg: tuple[float, float], side_px: int, scale_arcsec: float) -> np.ndarray:
    """Gnomonic about the tract's centre, x against right ascension."""
    crval, crpix = np.radians(centre_deg), (side_px - 1) / 2
    a, d = np.radians(ra) - crval[0], np.radians(dec)
    cos_c = np.sin(crval[1]) * np.sin(d) + np.cos(crval[1]) * np.cos(d) * np.cos(a)
    xi = np.cos(d) * np.sin(a) / cos_c
    eta = (np.cos(crval[1]) * np.sin(d) - np.sin(crval[1]) * np.cos(d) * np.cos(a)) / cos_c
    step = np.radians(scale_arcsec / 3600)
    return np.column_stack([crpix - xi / step, crpix + eta / step])
