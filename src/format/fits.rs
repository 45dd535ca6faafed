//! FITS through cfitsio.
