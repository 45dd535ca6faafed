//! (coadd::likelihood)
