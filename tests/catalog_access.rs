//! Tables and pixels for other programs; other programs themselves read them in tests/python.

use crate::launch::{self, text};
use fathom::catalog::Table;
use fathom::format::any_table;
use std::path::Path;

/// `fathom catalog` on the reference into a file of this format.
fn exported(folder: &Path, format: &str, more: &[&str]) -> std::path::PathBuf {
    let path = folder.join(format!("a.{format}"));
    let arguments = ["catalog", text(launch::reference()), "--format", format, "--out", text(&path)];
    let said = launch::solo(&[&arguments[..], more].concat()).ok();
    assert_eq!(said.stdout.trim(), text(&path));
    path
}

/// Values of both, column by column; types of foreign tables are the narrowest that hold them.
fn assert_same(found: &Table, expected: &Table) {
    let names = |t: &Table| t.columns().iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for column in expected.columns() {
        if let Ok(values) = expected.f64(&column.name) {
            let read = found.f64(&column.name).map(<[f64]>::to_vec);
            let read = read.unwrap_or_else(|_| found.i64(&column.name).unwrap().iter().map(|v| *v as f64).collect());
            let same =
                read.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 0.0);
            assert!(same && read.len() == values.len(), "{}", column.name);
        }
    }
}

#[test]
fn every_format_holds_the_catalog() {
    let folder = launch::temporary();
    let catalog = launch::run_table(launch::reference(), "catalog");
    assert!(catalog.n_rows() > 10);
    for format in ["fits", "csv"] {
        let found = any_table::read(&exported(folder.path(), format, &[]), "").unwrap();
        assert_same(&found, &catalog);
        assert_eq!(found.i64("id").unwrap(), catalog.i64("id").unwrap());
    }
    assert!(std::fs::read(exported(folder.path(), "parquet", &[])).unwrap().starts_with(b"PAR1"));
    // Twice the same bytes.
    let first = std::fs::read(folder.path().join("a.parquet")).unwrap();
    assert!(std::fs::read(exported(folder.path(), "parquet", &[])).unwrap() == first);
}

#[test]
fn columns_and_rows_are_chosen() {
    let folder = launch::temporary();
    let catalog = launch::run_table(launch::reference(), "catalog");
    let condition = "is_primary and r_psf_flux / r_psf_flux_err > 3 and not r_psf_flux_flag";
    let path = exported(folder.path(), "csv", &["--columns", "id,r_psf_flux", "--where", condition]);
    let (primary, flag) = (catalog.bool("is_primary").unwrap(), catalog.bool("r_psf_flux_flag").unwrap());
    let (flux, err) = (catalog.f64("r_psf_flux").unwrap(), catalog.f64("r_psf_flux_err").unwrap());
    let rows: Vec<usize> = (0..catalog.n_rows()).filter(|&i| primary[i] && flux[i] / err[i] > 3.0 && !flag[i]).collect();
    let expected = catalog.take(&rows).select(&["id".into(), "r_psf_flux".into()]).unwrap();
    let found = any_table::read(&path, "").unwrap();
    assert!(!rows.is_empty() && rows.len() < catalog.n_rows());
    assert_same(&found, &expected);
    // Truth and matches go the same way, texts and all.
    for table in ["truth", "matches"] {
        let path = exported(folder.path(), "fits", &["--table", table]);
        let expected = launch::run_table(launch::reference(), table);
        let found = any_table::read(&path, "").unwrap();
        assert_same(&found, &expected);
        let texts = if table == "truth" { "class" } else { "status" };
        assert_eq!(found.text(texts).unwrap(), expected.text(texts).unwrap());
    }
}

#[test]
fn wrong_wishes_name_what_there_is() {
    let run = text(launch::reference());
    let folder = launch::temporary();
    let out = folder.path().join("a.csv");
    let catalog = |more: &[&str]| launch::solo(&[&["catalog", run, "--format", "csv", "--out", text(&out)], more].concat());
    catalog(&["--where", "r_psf_flux >"]).fails(2, &["--where: condition, at character 13: found the end"]);
    catalog(&["--where", "nonsense > 1"]).fails(2, &["--where", "column nonsense is missing; the table has: id, "]);
    catalog(&["--columns", "id,nonsense"]).fails(2, &["--columns", "nonsense"]);
    catalog(&["--arm", "real_07"]).fails(2, &["--arm real_07", "expected one of main"]);
    assert!(!out.exists());
    assert_eq!(launch::solo(&["catalog", run, "--format", "votable"]).status, Some(2));
    launch::solo(&["cutout", run, "--ra", "10", "--dec", "2.2", "--size", "5"]).fails(2, &["is not on the tract", "150.1"]);
    launch::solo(&["cutout", run, "--ra", "150.1", "--dec", "2.2", "--size", "5", "--band", "z"]).fails(2, &["--band z", "g, r"]);
    launch::solo(&["cutout", run, "--ra", "150.1", "--dec", "2.2", "--size", "5", "--plane", "colour"])
        .fails(2, &["--plane colour", "significance"]);
    launch::solo(&["cutout", run, "--parent", "17"]).fails(2, &["--parent 17", "no such parent"]);
    assert_eq!(launch::solo(&["cutout", run, "--ra", "150.1"]).status, Some(2));
}

/// The pixel in which the WCS of a cutout puts a place of the sky is the coadd's pixel of that place.
#[cfg(feature = "fits")]
#[test]
fn a_cutout_is_a_part_of_the_coadd() {
    use fathom::format::fits::{Fits, Hdu};
    use fathom::geometry::{SkyPoint, Wcs};
    let folder = launch::temporary();
    let stem = folder.path().join("cut");
    let run = launch::reference();
    let arguments =
        ["cutout", text(run), "--ra", "150.1", "--dec", "2.2", "--size", "6", "--plane", "image,mask,free_sed", "--out", text(&stem)];
    launch::solo(&arguments).ok();
    let mut fits = Fits::open(&stem.with_extension("fits")).unwrap();
    let hdu = Hdu::Name("r_image".into());
    let header = fits.header(&hdu).unwrap();
    let wcs = Wcs::from_cards(&header.wcs_cards()).unwrap();
    let center = SkyPoint::from_degrees(150.1, 2.2);
    let pixel = wcs.sky_to_pixel(center).unwrap();
    let image = fits.image_f32(&hdu, 0).unwrap();
    assert_eq!(image.dim(), (30, 30));
    // The tract is 144 x 144 pixels around the place, cut in 2 x 2 patches of 72; its cutout begins at pixel 72 - 15 or beside it.
    let file = hdf5::File::open(run.join("run.h5")).unwrap();
    let patch: ndarray::Array2<f32> = file.dataset("coadds/001_001/r/image").unwrap().read().unwrap();
    let (x, y) = (pixel.x.round() as usize, pixel.y.round() as usize);
    let offset = [header.number("CRPIX1").unwrap(), header.number("CRPIX2").unwrap()];
    // The tract's reference pixel is its centre, 71.5 counted from 0.
    let [x0, y0] = offset.map(|crpix| (71.5 + 1.0 - crpix).round() as usize);
    assert_eq!(image[[y + 2, x + 2]].to_bits(), patch[[y0 + y + 2 - 72, x0 + x + 2 - 72]].to_bits());
    let png = std::fs::read(stem.with_extension("png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

/// Children of a blend sum to its model; the FITS holds each.
#[cfg(feature = "fits")]
#[test]
fn a_blend_is_taken_apart() {
    use fathom::format::fits::{Fits, Hdu};
    let folder = launch::temporary();
    let catalog = launch::run_table(launch::reference(), "catalog");
    let (children, parents) = (catalog.i64("n_children").unwrap(), catalog.i64("parent_id").unwrap());
    let row = (0..catalog.n_rows()).max_by_key(|&i| (children[i], std::cmp::Reverse(i))).unwrap();
    assert!(children[row] > 1, "the scene has no blend");
    let stem = folder.path().join("blend");
    let id = parents[row].to_string();
    launch::solo(&["cutout", text(launch::reference()), "--parent", &id, "--band", "r", "--out", text(&stem)]).ok();
    let mut fits = Fits::open(&stem.with_extension("fits")).unwrap();
    let mut image = |name: &str| fits.image_f32(&Hdu::Name(name.into()), 0);
    let (data, model, residual) = (image("r_data").unwrap(), image("r_model").unwrap(), image("r_residual").unwrap());
    let mut sum = ndarray::Array2::<f32>::zeros(model.dim());
    let n = (1..).take_while(|i| image(&format!("r_child_{i}")).map(|child| sum += &child).is_ok()).count();
    assert!(n >= 2, "{n} children");
    assert!(sum.iter().zip(&model).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0)));
    assert!(data.iter().zip(&model).zip(&residual).all(|((d, m), r)| (d - m).to_bits() == r.to_bits() || d.is_nan()));
}
