//! What an exposure truly holds: every object that touches it, where it stood and how bright it was at that time.

use crate::object::TruthObject;
use crate::render::Renderer;
use crate::{SimError, StampLibrary};
use fathom::catalog::{ColumnData, Table};
use fathom::image::ExposureMeta;

/// Table of the objects drawn: `id`, `x`, `y` \[pixel\], `flux` \[nJy\], in the order of the ids.
///
/// `meta`: the true calibrations. Objects count whose stamp may touch the exposure; of the light of some only wings fall on it.
///
/// # Errors
/// As [`TruthObject::of_table_with`].
pub fn drawn(meta: &ExposureMeta, truth: &Table, stamps: &StampLibrary) -> Result<Table, SimError> {
    let renderer = Renderer::new(meta);
    let objects = TruthObject::of_table_with(truth, &meta.band, meta.mjd, stamps)?;
    let (mut id, mut x, mut y, mut flux) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for o in objects.iter().filter(|o| renderer.may_touch(o, &meta.bbox())) {
        let Ok(at) = meta.wcs.sky_to_pixel(o.position) else { continue };
        id.push(o.id);
        x.push(at.x);
        y.push(at.y);
        flux.push(o.flux_njy);
    }
    let mut table = Table::new();
    table.push("id", "", "id in the truth catalog", ColumnData::I64(id))?;
    table.push("x", "pixel", "true column at the middle of the exposure", ColumnData::F64(x))?;
    table.push("y", "pixel", "true row at the middle of the exposure", ColumnData::F64(y))?;
    table.push("flux", "nJy", "true flux in the exposure's band at its time", ColumnData::F64(flux))?;
    Ok(table)
}
