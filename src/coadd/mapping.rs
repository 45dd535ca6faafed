//! (coadd::mapping)
