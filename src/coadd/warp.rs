//! (coadd::warp)
