//! (coadd::spline)
