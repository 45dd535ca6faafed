//! (coadd::kernel)
