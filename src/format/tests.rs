//! Every format there and back, and what happens to files that are not what they should be.

use super::*;
use crate::associate::{ChangingLight, Hypothesis, Parent, PeakDecision, PeakKey, PeakRecord, Rejection, Seam, SeamCounts, SeamPart};
use crate::background::{BackgroundMesh, BackgroundVariance, ExposureBackground, VisitProduct};
use crate::catalog::{ColumnData, Table};
use crate::coadd::{BandCoadd, CoaddInputRecord, Decision, NoiseCovariance, PsfAutocorrelation, WindowMaps};
use crate::deblend::Deblended;
use crate::detect::{Layer, LayerKind, PatchLayers, Sed, SkyObject};
use crate::footprint::{Footprint, HeavyFootprint, NegativePeak, Peak, PeakFate, PeakMark, Saddle, Span, SpanSet};
use crate::geometry::{Box2, PixelPoint, SkyMapConfig, SkyPoint, Tract, Wcs};
use crate::image::psf::PsfModel;
use crate::image::{
    ApCorr, ApCorrMap, Chebyshev2, Exposure, ExposureId, ExposureMeta, Glow, MaskPlane, PhotoCalib, PixelCounts, Psf, TrueBackground,
};
use coadd::{CoaddMosaic, Plane, WindowStep};
use ndarray::{Array2, Array3, arr2, s};
use std::path::{Path, PathBuf};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn polynomial() -> Chebyshev2 {
    Chebyshev2 { bbox: Box2::new(-3, 4, 300, 270), coefficients_yx: arr2(&[[1.0, 0.1, -2e-7], [0.3, 0.0, f64::MIN_POSITIVE]]) }
}

fn ap_corr() -> ApCorrMap {
    let correction = |n_stars| ApCorr { factor: polynomial(), error: 0.01, n_stars, is_flagged: n_stars == 0 };
    ApCorrMap { by_algorithm: [("psf_flux".to_owned(), correction(17)), ("gaussian_flux".to_owned(), correction(0))].into() }
}

fn gaussian() -> PsfModel {
    PsfModel::GaussianMixture { components: vec![[1.0, 0.0, 0.0, 2.0, 2.5, 0.1]], radius_px: 12, pixel_integrated: true }
}

fn exposure(model: PsfModel) -> Exposure {
    let shape = (270, 300);
    let wcs = Wcs::tan(SkyPoint::from_degrees(150.1, -2.2), PixelPoint::new(150.0, 130.0), [[-5e-5, 1e-7], [2e-7, 5e-5]]).unwrap();
    let meta = ExposureMeta {
        id: ExposureId("visit 12/détecteur 3".to_owned()),
        band: "r".to_owned(),
        mjd: 60_000.123_456_789,
        exposure_time_s: 30.0,
        shape,
        psf: Psf::new(model).unwrap(),
        wcs,
        photo_calib: PhotoCalib { mean_njy_per_adu: 1.7, relative: Some(polynomial()) },
        ap_corr: ap_corr(),
        gain_e_per_adu: 1.6,
        read_noise_e: 5.0,
        saturation_adu: f64::INFINITY,
        known_sky_adu: Some(812.5),
    };
    let mut image = Array2::from_shape_fn(shape, |(y, x)| (y * 1000 + x) as f32);
    image[[3, 4]] = f32::NAN;
    let variance = Array2::from_shape_fn(shape, |(y, x)| if x == 7 { f32::INFINITY } else { (y + x) as f32 });
    let mask = Array2::from_shape_fn(shape, |(y, x)| if x == y { MaskPlane::Sat.bit() } else { 0 });
    Exposure::new(meta, image, variance, mask).unwrap()
}

/// NaN is equal to itself here.
fn same(a: &Array2<f32>, b: &Array2<f32>) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Changes a finished file behind the format's back.
fn edit(path: &Path, change: impl FnOnce(&hdf5::File)) {
    let file = hdf5::File::open_rw(path).unwrap();
    change(&file);
    file.close().unwrap();
}

/// Names of all files in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn true_backgrounds_come_back() {
    let folder = folder();
    let path = folder.path().join("exposure.h5");
    exposure::write(&path, "k", &exposure(gaussian())).unwrap();
    assert_eq!(exposure::read_true_background(&path).unwrap(), None);
    let glow = Glow { x_px: -40.0, y_px: 12.0, sigma_px: 90.0, flatness: 4.0, height_adu: 7.0 };
    for (glows, steps_adu, relative) in [
        (vec![], vec![], None),
        (vec![glow], vec![(Box2::new(0, 0, 150, 270), -1.5), (Box2::new(150, 0, 150, 270), 1.5)], Some(polynomial())),
    ] {
        let background = TrueBackground { smooth_adu: polynomial(), glows, steps_adu, relative };
        exposure::write_simulated(&path, "k", &exposure(gaussian()), Some(&background)).unwrap();
        assert_eq!(exposure::read_true_background(&path).unwrap(), Some(background));
    }
}

#[test]
fn exposures_come_back_with_every_kind_of_psf() {
    let folder = folder();
    let path = folder.path().join("made/on/demand/exposure.h5");
    let stamp = Psf::new(gaussian()).unwrap().stamp(PixelPoint::new(0.0, 0.0), 0.0, 0.0);
    let slope = stamp.mapv(|v| 1e-3 * v);
    let models = [
        PsfModel::Moffat { fwhm_px: 3.3, beta: 3.1, e1: 0.02, e2: -0.01, radius_px: 20, pixel_integrated: false },
        gaussian(),
        PsfModel::PsfEx {
            degree: 1,
            x_zero_scale: [150.0, 149.0],
            y_zero_scale: [130.0, 129.0],
            sampling_px: 1.0,
            stamps: vec![stamp.clone(), slope.clone(), slope],
        },
        PsfModel::StampGrid { x_px: vec![0.0, 300.0], y_px: vec![130.0], stamps: vec![stamp.clone(), stamp] },
    ];
    for model in models {
        let written = exposure(model);
        exposure::write(&path, "k1", &written).unwrap();
        assert_eq!(product::key(&path).as_deref(), Some("k1"));
        let read = exposure::read(&path, None).unwrap();
        let (a, b) = (&written.meta, &read.meta);
        assert_eq!((&a.id, &a.band, a.shape, a.psf.model()), (&b.id, &b.band, b.shape, b.psf.model()));
        assert_eq!((&a.wcs, &a.photo_calib, &a.ap_corr, a.known_sky_adu), (&b.wcs, &b.photo_calib, &b.ap_corr, b.known_sky_adu));
        let numbers = |m: &ExposureMeta| [m.mjd, m.exposure_time_s, m.gain_e_per_adu, m.read_noise_e, m.saturation_adu].map(f64::to_bits);
        assert_eq!(numbers(a), numbers(b));
        assert!(same(&written.image, &read.image) && same(&written.variance, &read.variance));
        assert_eq!(written.mask, read.mask);
    }
}

#[test]
fn part_of_an_exposure_keeps_the_frame_of_the_whole() {
    let folder = folder();
    let path = folder.path().join("exposure.h5");
    let whole = exposure(gaussian());
    exposure::write(&path, "k", &whole).unwrap();
    for part in [Box2::new(5, 7, 20, 30), Box2::new(-9, 250, 400, 100), Box2::new(500, 500, 3, 3)] {
        let read = exposure::read(&path, Some(&part)).unwrap();
        let expected = whole.bbox.intersect(&part);
        assert_eq!((read.image.dim(), read.meta.shape), (expected.shape(), whole.meta.shape));
        if !expected.is_empty() {
            assert_eq!(read.bbox, expected);
            assert!(same(&read.image, &whole.image.slice(whole.bbox.slice_of(&expected)).to_owned()));
            assert_eq!(read.mask, whole.mask.slice(whole.bbox.slice_of(&expected)));
        }
    }
}

#[test]
fn faulty_exposures_are_refused_with_the_reason() {
    let folder = folder();
    let path = folder.path().join("exposure.h5");
    let message = |change: &dyn Fn(&hdf5::File)| {
        exposure::write(&path, "k", &exposure(gaussian())).unwrap();
        edit(&path, |f| change(f));
        let error = exposure::read_meta(&path).unwrap_err().to_string();
        assert!(error.contains("exposure.h5"), "{error}");
        assert_eq!(exposure::read(&path, None).unwrap_err().to_string(), error);
        error
    };
    let replace = |f: &hdf5::File, name: &str, shape: (usize, usize)| {
        f.unlink(name).unwrap();
        f.new_dataset::<f32>().shape(shape).create(name).unwrap();
    };
    for (change, expected) in [
        (&|f: &hdf5::File| f.unlink("psf").unwrap() as _, vec!["/psf is missing", "the exposure's PSF"]),
        (&|f: &hdf5::File| f.unlink("wcs").unwrap(), vec!["/wcs is missing", "the exposure's WCS"]),
        (&|f: &hdf5::File| f.unlink("variance").unwrap(), vec!["/variance is missing"]),
        (&|f: &hdf5::File| f.group("wcs").unwrap().delete_attr("CRVAL1").unwrap(), vec!["/wcs", "CRVAL1 is missing"]),
        (
            &|f: &hdf5::File| {
                for card in ["CD1_1", "CD1_2"] {
                    f.group("wcs").unwrap().attr(card).unwrap().write_scalar(&0.0).unwrap();
                }
            },
            vec!["/wcs", "singular WCS: determinant of the CD matrix is 0"],
        ),
        (&|f: &hdf5::File| replace(f, "variance", (270, 299)), vec!["/variance is of shape (270, 299)", "(270, 300)"]),
        (&|f: &hdf5::File| replace(f, "mask", (270, 300)), vec!["/mask is float32", "expected uint32"]),
        (&|f: &hdf5::File| f.delete_attr("complete").unwrap(), vec!["attribute complete is missing"]),
        (&|f: &hdf5::File| f.delete_attr("band").unwrap(), vec!["attribute band is missing; expected a text"]),
        (
            &|f: &hdf5::File| f.attr("gain_e_per_adu").unwrap().write_scalar(&-1.0).unwrap(),
            vec!["gain_e_per_adu is -1", "a positive number"],
        ),
        (&|f: &hdf5::File| f.attr("version").unwrap().write_scalar(&9u32).unwrap(), vec!["attribute version is 9; expected 1"]),
        (
            &|f: &hdf5::File| {
                f.delete_attr("mask_planes").unwrap();
                f.new_attr::<hdf5::types::VarLenUnicode>()
                    .create("mask_planes")
                    .unwrap()
                    .write_scalar(&"SAT".parse::<hdf5::types::VarLenUnicode>().unwrap())
                    .unwrap();
            },
            vec!["attribute mask_planes is SAT; expected BAD SAT"],
        ),
    ] as [(&dyn Fn(&hdf5::File), Vec<&str>); 12]
    {
        let found = message(change);
        assert!(expected.iter().all(|e| found.contains(e)), "{found}; expected {expected:?}");
    }
    let mut torn = exposure(gaussian());
    torn.variance = Array2::zeros((9, 9));
    let error = exposure::write(&folder.path().join("torn.h5"), "k", &torn).unwrap_err().to_string();
    assert!(error.contains("/variance is of shape (9, 9)") && error.contains("(270, 300)"), "{error}");
    assert_eq!(names(folder.path()), ["exposure.h5"]);
}

#[test]
fn what_is_no_finished_product_is_not_taken_for_one() {
    let folder = folder();
    let path = folder.path().join("exposure.h5");
    assert_eq!(product::key(&path), None);
    assert!(matches!(exposure::read_meta(&path), Err(FormatError::Io { .. })));
    assert_eq!(product::key(folder.path()), None);
    exposure::write(&path, "k", &exposure(gaussian())).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for n in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..n]).unwrap();
        assert_eq!(product::key(&path), None, "{n} bytes");
        let error = exposure::read(&path, None).unwrap_err().to_string();
        assert!(error.contains("exposure.h5: it is no HDF5 file or is truncated"), "{error}");
    }
    std::fs::write(&path, "SIMPLE  = T").unwrap();
    assert_eq!(product::key(&path), None);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(product::key(&path).as_deref(), Some("k"));
    let error = visit::read(&path).unwrap_err().to_string();
    assert!(error.contains("attribute format is \"fathom-exposure\"; expected \"fathom-visit\""), "{error}");
    let error = table::read(&path, "catalog").unwrap_err().to_string();
    assert!(error.contains("/catalog is missing; expected a table"), "{error}");
    edit(&path, |f| f.delete_attr("complete").unwrap());
    assert_eq!(product::key(&path), None);
}

/// Whatever stops a write, the old product stays and nothing else is left behind.
#[test]
fn failed_writes_leave_nothing() {
    let folder = folder();
    let path = folder.path().join("t.h5");
    let header = product::Header { format: "fathom-table", version: 1, key: "new".into() };
    table::write(&path, "old", "t", &table_of_all_kinds()).unwrap();
    let error = product::write(&path, &header, |root| {
        root.new_dataset::<f64>().shape(1000).create("a").unwrap().write_raw(&[1.0; 1000]).unwrap();
        Err(FormatError::Layout { path: path.clone(), why: "no".into() })
    });
    assert!(matches!(error, Err(FormatError::Layout { .. })));
    let panic = std::panic::catch_unwind(|| product::write(&path, &header, |_| panic!("in the middle")));
    assert!(panic.is_err());
    assert_eq!(product::key(&path).as_deref(), Some("old"));
    assert_eq!(names(folder.path()), ["t.h5"]);
    // A handle that is still alive must not keep the file from being closed.
    let mut alive = None;
    product::write(&path, &header, |root| {
        alive = Some(root.create_group("g").unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(product::key(&path).as_deref(), Some("new"));
    drop(alive);

    let error = product::write(&path.join("below/a/file.h5"), &header, |_| Ok(())).unwrap_err();
    assert!(matches!(error, FormatError::Io { .. }), "{error}");
    std::fs::create_dir(folder.path().join("folder.h5")).unwrap();
    assert!(product::write(&folder.path().join("folder.h5"), &header, |_| Ok(())).is_err());
    product::write_text(&folder.path().join("sub/a.json"), "{}").unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("sub/a.json")).unwrap(), "{}");
    assert!(names(folder.path()).iter().all(|n| !n.starts_with('.')));
}

fn table_of_all_kinds() -> Table {
    let mut table = Table::new();
    table.push("id", "", "an id", ColumnData::I64(vec![i64::MIN, 0, i64::MAX])).unwrap();
    table.push("r_flux", "nJy", "flux, µ and ² in the text", ColumnData::F64(vec![f64::INFINITY, -0.0, 1e-300])).unwrap();
    table.push("flag", "", "", ColumnData::Bool(vec![true, false, true])).unwrap();
    table.push("class", "", "text", ColumnData::Text(vec!["étoile ★".into(), String::new(), " galaxy \n".into()])).unwrap();
    table.push("a", "", "not in the order of the alphabet", ColumnData::I64(vec![1, 2, 3])).unwrap();
    table
}

#[test]
fn tables_come_back() {
    let folder = folder();
    let path = folder.path().join("t.h5");
    let mut empty = Table::new();
    for (name, data) in
        [("x", ColumnData::F64(vec![])), ("i", ColumnData::I64(vec![])), ("b", ColumnData::Bool(vec![])), ("t", ColumnData::Text(vec![]))]
    {
        empty.push(name, "", "", data).unwrap();
    }
    for written in [table_of_all_kinds(), empty, Table::new()] {
        table::write(&path, "k", "real_00/catalog", &written).unwrap();
        assert_eq!(table::read(&path, "real_00/catalog").unwrap(), written);
    }
    let mut nan = Table::new();
    let bits = [f64::NAN.to_bits(), 0x7ff8_0000_0000_1234];
    nan.push("x", "", "", ColumnData::F64(bits.map(f64::from_bits).to_vec())).unwrap();
    table::write(&path, "k", "t", &nan).unwrap();
    assert_eq!(table::read(&path, "t").unwrap().f64("x").unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    for name in ["", "a/b"] {
        let mut odd = Table::new();
        odd.push(name, "", "", ColumnData::I64(vec![1])).unwrap();
        assert!(table::write(&path, "k", "t", &odd).unwrap_err().to_string().contains("expected a name without /"));
    }
    let mut odd = Table::new();
    odd.push("t", "", "", ColumnData::Text(vec!["a\0b".into()])).unwrap();
    assert!(table::write(&path, "k", "t", &odd).unwrap_err().to_string().contains("NUL"));

    table::write(&path, "k", "t", &table_of_all_kinds()).unwrap();
    edit(&path, |f| {
        f.unlink("t/flag").unwrap();
        f.group("t").unwrap().new_dataset::<f32>().shape(3).create("flag").unwrap();
    });
    let error = table::read(&path, "t").unwrap_err().to_string();
    assert!(error.contains("/t/flag is float32"), "{error}");
    edit(&path, |f| {
        f.unlink("t/flag").unwrap();
        f.group("t").unwrap().new_dataset::<i64>().shape(2).create("flag").unwrap();
    });
    let error = table::read(&path, "t").unwrap_err().to_string();
    assert!(error.contains("/t/flag") && error.contains("2 rows; expected 3"), "{error}");
}

#[test]
fn visits_come_back() {
    let folder = folder();
    let path = folder.path().join("v.h5");
    let written = VisitProduct {
        id: ExposureId("v1".into()),
        background: ExposureBackground::Mesh(BackgroundMesh {
            bbox: Box2::new(0, 0, 300, 270),
            nodes_adu: arr2(&[[1.0, 2.0, 3.5], [-4.0, 5.0, 1e-9]]),
        }),
        background_variance: BackgroundVariance { model_adu2: polynomial() },
        ap_corr: ap_corr(),
        stars: table_of_all_kinds(),
        counts: PixelCounts { n_pixels: 81_000, n_masked: 3, n_not_finite: 2, n_bad_variance: u64::MAX },
    };
    visit::write(&path, "k", &written).unwrap();
    assert_eq!(visit::read(&path).unwrap(), written);
    let bare = VisitProduct { ap_corr: ApCorrMap::default(), stars: Table::new(), ..written };
    visit::write(&path, "k", &bare).unwrap();
    assert_eq!(visit::read(&path).unwrap(), bare);
}

fn spans(spans: &[(i32, i32, i32)]) -> SpanSet {
    SpanSet::from_spans(spans.iter().map(|&(y, x0, x1)| Span { y, x0, x1 }).collect())
}

fn peak(i: i32) -> Peak {
    Peak {
        pixel: (i, -i),
        at: PixelPoint::new(f64::from(i) + 0.25, f64::from(-i)),
        covariance_px2: [0.1, -0.01, f32::INFINITY],
        significance: 5.0 + f64::from(i),
        layer: 3,
        seen_in: 1 << 62 | 5,
        layer_significance: vec![1.5, -2.0, 7.0],
        best_layer: 2,
        flux_njy: vec![1.0, i as f32],
        flux_err_njy: vec![0.1, f32::MAX],
        saddle: (i % 2 == 0).then_some(Saddle { height: 4.5, significance: 1.25, at: (i, -2), higher: (-3, i) }),
        flags: 1 << 31 | 2,
        fate: if i == 2 { PeakFate::Masked } else { PeakFate::Good },
        marks: i as u8 & 0b1111,
        window_mjd: (i == 3).then_some([60000.0, 60001.5]),
        velocity_px_per_day: (i == 3).then_some([0.5, -0.25]),
    }
}

/// Debug text tells values apart and NaN from numbers, but lets NaN equal itself.
fn text(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn layer(kind: LayerKind, spans: SpanSet, peaks: Vec<Peak>, negative_peaks: Vec<NegativePeak>) -> Layer {
    Layer { kind, threshold: 5.25, l2_per_px2: 0.2, area_px2: 31.0, broadening: 1.5, spans, peaks, negative_peaks, n_pixels: 77 }
}

#[test]
fn layers_come_back() {
    let folder = folder();
    let path = folder.path().join("l.h5");
    let disc = LayerKind { selection: Some("sharp".into()), sed: Sed::Fixed("red".into(), vec![0.25, 1.0]), half_light_arcsec: 0.8 };
    let negative = NegativePeak { at: PixelPoint::new(3.5, -4.0), significance: 6.5 };
    let written = PatchLayers {
        layers: vec![
            layer(LayerKind::point(Sed::Free), spans(&[(1, 2, 3), (1, 5, 5), (2, 0, 9)]), vec![peak(1), peak(2)], vec![]),
            layer(LayerKind::point(Sed::Band("free".into())), SpanSet::default(), vec![], vec![negative]),
            layer(disc, spans(&[(-5, -7, -6)]), vec![peak(3)], vec![]),
        ],
        sky_objects: vec![SkyObject { pixel: (4, -5), flux_njy: vec![1.0, -2.0], flux_err_njy: vec![0.5, 0.25] }],
        movers: vec![peak(3)],
        transients: vec![peak(3), peak(4)],
        threshold_offset: 0.125,
    };
    layers::write(&path, "k", &written).unwrap();
    assert_eq!(layers::read(&path).unwrap(), written);
    layers::write(&path, "k", &PatchLayers::default()).unwrap();
    assert_eq!(layers::read(&path).unwrap(), PatchLayers::default());

    let mut nan = written.clone();
    nan.layers[0].peaks[1].flux_njy[0] = f32::from_bits(0x7fc0_0042);
    layers::write(&path, "k", &nan).unwrap();
    let read = layers::read(&path).unwrap();
    assert_eq!(text(&read), text(&nan));
    assert_eq!(read.layers[0].peaks[1].flux_njy[0].to_bits(), 0x7fc0_0042);

    let mut odd = written.clone();
    odd.layers[0].peaks[1].layer_significance.pop();
    let error = layers::write(&path, "k", &odd).unwrap_err().to_string();
    assert!(error.contains("/peaks/layer_significance is given for 2 layers"), "{error}");
    nan.layers[0].peaks[1].flux_err_njy.pop();
    let error = layers::write(&path, "k", &nan).unwrap_err().to_string();
    assert!(error.contains("/peaks/flux_njy is given for 2 bands, their errors for 1"), "{error}");
    layers::write(&path, "k", &written).unwrap();
    edit(&path, |f| f.dataset("peaks/fate").unwrap().write_raw(&[0u8, 1, 9]).unwrap());
    let error = layers::read(&path).unwrap_err().to_string();
    assert!(error.contains("/peaks/fate") && error.contains("0, 1, 2 or 3"), "{error}");
    layers::write(&path, "k", &written).unwrap();
    edit(&path, |f| f.dataset("spans/offsets").unwrap().write_raw(&[0i64, 9, 9, 9]).unwrap());
    let error = layers::read(&path).unwrap_err().to_string();
    assert!(error.contains("/spans/offsets") && error.contains("offsets from 0 to 4"), "{error}");
}

#[test]
fn parents_come_back() {
    let folder = folder();
    let path = folder.path().join("p.h5");
    let set = |log_evidence, n: i32| Hypothesis {
        log_evidence,
        objects: (0..n).map(|k| PeakKey { layer: k as u16, pixel: (k, 2 * k) }).collect(),
    };
    let parents = vec![
        Parent {
            id: i64::MAX,
            split_from: Some(i64::MAX),
            footprint: Footprint { spans: spans(&[(1, 2, 3), (4, 5, 6)]), peaks: vec![peak(1), peak(2), peak(3)] },
            hypotheses: vec![set(-0.1, 2), set(-3.0, 1)],
        },
        Parent { id: 2, split_from: None, footprint: Footprint::default(), hypotheses: vec![] },
        Parent {
            id: 3,
            split_from: Some(2),
            footprint: Footprint { spans: spans(&[(9, 9, 9)]), peaks: vec![peak(9)] },
            hypotheses: vec![set(0.0, 1)],
        },
    ];
    let record = |i, decision, child: Option<u32>| PeakRecord {
        peak: peak(i),
        parent_id: child.map(|_| 3),
        decision,
        child,
        distance_fwhm: 0.3,
        conditional_significance: 4.5,
        log_odds: -1.5,
        n_explaining: child.unwrap_or(0),
    };
    let rejected = PeakDecision::Rejected(Rejection::LowRank);
    let peaks = vec![record(1, PeakDecision::Merged, Some(7)), record(2, PeakDecision::Explained, Some(2)), record(3, rejected, None)];
    parents::write(&path, "k", &parents, &peaks).unwrap();
    assert_eq!(parents::read(&path).unwrap(), (parents, peaks));
    parents::write(&path, "k", &[], &[]).unwrap();
    assert_eq!(parents::read(&path).unwrap(), (vec![], vec![]));
}

#[test]
fn seams_come_back() {
    let folder = folder();
    let path = folder.path().join("s.h5");
    let part = |x| SeamPart { first: (x, -x), spans: spans(&[(x, 3, 7), (x + 1, 4, 4)]) };
    let changing = vec![ChangingLight { mark: PeakMark::Transient, at: PixelPoint::new(3.5, -4.0) }];
    let counts = SeamCounts { n_pixels: 100, n_peaks: 7, n_near: 5, n_negative: 2 };
    for seam in [Seam { parts: vec![part(3), part(9)], changing, counts }, Seam::default()] {
        seams::write(&path, "k", &seam).unwrap();
        assert_eq!(seams::read(&path).unwrap(), seam);
    }
}

#[test]
fn blends_come_back() {
    let folder = folder();
    let path = folder.path().join("b.h5");
    let bands = ["g".to_owned(), "r".to_owned()];
    let child = |n: i32| HeavyFootprint {
        spans: spans(&[(n, 0, n - 1)]),
        values_njy: vec![(0..n).map(|i| i as f32 * 0.1).collect(), vec![f32::INFINITY; n as usize]],
    };
    let blends = vec![
        (
            5,
            Deblended {
                children: vec![child(3), child(0), child(70)],
                is_psf: vec![true, false, false],
                merged_into: vec![None, Some(0), None],
            },
        ),
        (4, Deblended { children: vec![], is_psf: vec![], merged_into: vec![] }),
        (9, Deblended { children: vec![HeavyFootprint::default()], is_psf: vec![false], merged_into: vec![Some(3)] }),
    ];
    blends::write(&path, "k", &bands, &blends).unwrap();
    assert_eq!(blends::read(&path).unwrap(), blends);
    blends::write(&path, "k", &[], &[]).unwrap();
    assert_eq!(blends::read(&path).unwrap(), vec![]);

    let mut nan = blends.clone();
    nan[0].1.children[0].values_njy[1][2] = f32::NAN;
    blends::write(&path, "k", &bands, &nan).unwrap();
    assert_eq!(text(&blends::read(&path).unwrap()), text(&nan));
    nan[0].1.children[0].values_njy[1].pop();
    let error = blends::write(&path, "k", &bands, &nan).unwrap_err().to_string();
    assert!(error.contains("child 0 of parent 5 is [3, 2] values per band; expected 2 bands of 3 pixels"), "{error}");
}

fn input(i: usize) -> CoaddInputRecord {
    let id = ExposureId(format!("e{i:03}"));
    CoaddInputRecord { id, weight: 0.5, n_pixels: i as u64, mjd: 60_000.0 + i as f64, electrons_per_njy: 3.0, fwhm_px: 4.0 }
}

fn decision(i: usize) -> Decision {
    Decision {
        id: ExposureId(format!("e{i:03}")),
        is_selected: i.is_multiple_of(2),
        reason: format!("reason {i}"),
        fwhm_arcsec: 0.7,
        ellipticity: 0.01,
        depth_mag: 25.0 + i as f64,
        unusable_share: 0.002,
        gain_mag: 0.1,
    }
}

/// A coadd of `n_inputs` exposures whose every pixel knows its place in the tract.
fn band_coadd(tract: &Tract, bbox: Box2, band: &str, n_inputs: usize) -> BandCoadd {
    let place = |(y, x): (usize, usize)| (bbox.y0 as usize + y) * 10_000 + bbox.x0 as usize + x;
    let plane = |factor: f32| Array2::from_shape_fn(bbox.shape(), |at| factor * place(at) as f32);
    let (height, width) = bbox.shape();
    let cells: Vec<_> = tract.cells_in(&bbox).iter().map(|c| (c.column, c.row)).skip(1).collect();
    let n_cells = cells.len();
    BandCoadd {
        band: band.to_owned(),
        bbox,
        image_njy: plane(1.0),
        variance_njy2: plane(2.0),
        mask: Array2::from_shape_fn(bbox.shape(), |at| place(at) as u32),
        inputs_wyx: Array3::from_shape_fn((n_inputs.div_ceil(64), height, width), |(w, y, x)| ((w as u64) << 60) + place((y, x)) as u64),
        inputs: (0..n_inputs).map(input).collect(),
        decisions: (0..n_inputs + 1).map(decision).collect(),
        psi: plane(3.0),
        phi: plane(4.0),
        phi3: plane(5.0),
        omega: plane(6.0),
        morphologies_arcsec: vec![0.4, 0.8],
        phi_morphology: vec![plane(7.0), plane(8.0)],
        covariance: NoiseCovariance {
            half_width: 1,
            covariance_njy2: Array3::from_shape_fn((n_cells, 3, 3), |(c, j, i)| {
                f64::from(cells[c].0 * 1000 + cells[c].1 * 100) + (j * 3 + i) as f64
            }),
            cells: cells.clone(),
        },
        autocorrelation: PsfAutocorrelation {
            half_width: 1,
            autocorrelation: Array3::from_shape_fn((n_cells, 3, 3), |(c, j, i)| (c * 10 + j * 3 + i) as f32),
            weight: cells.iter().map(|(column, row)| f64::from(column * 100 + row)).collect(),
            cells,
        },
        fwhm_px: 4.25,
    }
}

fn tract() -> Tract {
    Tract::new(&SkyMapConfig { cell_px: 16, tract_cells: [5, 7], patches: [2, 2], ..SkyMapConfig::default() }).unwrap()
}

/// Writes one coadd a patch, of bands g (70 inputs: two words) and y (none).
fn mosaic(folder: &Path) -> CoaddMosaic {
    let tract = tract();
    let bands = ["g".to_owned(), "y".to_owned()];
    let paths: Vec<PathBuf> = tract.patches().iter().map(|p| folder.join(format!("{}.h5", p.id))).collect();
    for (patch, path) in tract.patches().iter().zip(&paths) {
        coadd::write(path, "k", &bands, |band, windows| -> Result<_, FormatError> {
            let coadd = band_coadd(&tract, patch.bbox, band, if band == "g" { 70 } else { 0 });
            // Not in order of time, and one step missing.
            for step in [12, 9, 10].into_iter().filter(|_| band == "g") {
                let psi = coadd.psi.mapv(|v| v * step as f32);
                windows.put(window_step(step), &WindowMaps { psi, phi: coadd.phi.clone() })?;
            }
            Ok(coadd)
        })
        .unwrap();
    }
    CoaddMosaic::new(tract, paths)
}

fn window_step(step: i64) -> WindowStep {
    WindowStep { step, first_mjd: 2.0 * step as f64, last_mjd: 2.0 * (step + 1) as f64, mean_mjd: 2.0 * step as f64 + 0.7, n_exposures: 3 }
}

/// Detection reads the planes as they are, Φ of a disc that was not summed by the cells' autocorrelations where these hold, and the mean over all
/// cells with data, however they are shared out to patches.
#[test]
fn detection_reads_the_mosaic() {
    use crate::detect::MapSource;
    let folder = folder();
    let mosaic = mosaic(folder.path());
    let bbox = Box2::new(10, 20, 40, 50);
    assert_eq!(MapSource::psi(&mosaic, "g", &bbox).unwrap(), mosaic.plane("g", Plane::Psi, &bbox).unwrap());
    let planes = MapSource::phi(&mosaic, "g", &[0.8, 0.5], &bbox).unwrap();
    assert_eq!(planes[0], mosaic.plane("g", Plane::Phi, &bbox).unwrap());
    let (radii, summed) = mosaic.phi_morphology("g", &bbox).unwrap();
    assert_eq!((radii, planes[1].view()), (vec![0.4, 0.8], summed.index_axis(ndarray::Axis(0), 1)));
    // The planes' values are nothing like the cells' here.
    assert!(planes[2].iter().all(|v| *v == 0.0));
    assert_eq!(mosaic.mask("g", &bbox).unwrap(), MapSource::mask(&mosaic, "g", &bbox).unwrap());
    let windows = mosaic.windows("g", &bbox).unwrap();
    assert_eq!(windows.iter().map(|w| w.window.mjd[0]).collect::<Vec<_>>(), [18.0, 20.0, 24.0]);
    assert_eq!(windows.iter().map(|w| w.window.mean_mjd).collect::<Vec<_>>(), [18.7, 20.7, 24.7]);
    assert_eq!(windows[2].psi, planes[0].mapv(|v| v / 4.0 * 3.0 * 12.0));
    let cells: Vec<_> = mosaic
        .tract()
        .patches()
        .iter()
        .flat_map(|p| {
            let coadd = band_coadd(mosaic.tract(), p.bbox, "g", 70).autocorrelation;
            (0..coadd.cells.len()).filter(|&k| coadd.weight[k] > 0.0).map(|k| coadd.autocorrelation[[k, 1, 2]]).collect::<Vec<_>>()
        })
        .collect();
    let expected = cells.iter().map(|v| f64::from(*v)).sum::<f64>() / cells.len() as f64;
    let mean = mosaic.mean_autocorrelation("g").unwrap().unwrap();
    assert!((mean[[1, 2]] - expected).abs() < 1e-9 * expected);
}

/// The mosaic is one array: that of a single patch with the size of the tract.
#[test]
fn patches_read_as_one_image() {
    let folder = folder();
    let mosaic = mosaic(folder.path());
    let all = mosaic.tract().bbox();
    let whole = band_coadd(mosaic.tract(), all, "g", 70);
    let clone = mosaic.clone();
    for bbox in [
        all,
        Box2::new(30, 40, 20, 25),
        Box2::new(31, 47, 2, 2),
        Box2::new(0, 0, 1, 1),
        Box2::new(-5, 100, 200, 40),
        Box2::new(-90, 0, 9, 9),
    ] {
        let shared = all.intersect(&bbox);
        for (plane, expected, fill) in [
            (Plane::Image, &whole.image_njy, f32::NAN),
            (Plane::Variance, &whole.variance_njy2, f32::INFINITY),
            (Plane::Psi, &whole.psi, 0.0),
            (Plane::Phi, &whole.phi, 0.0),
            (Plane::Phi3, &whole.phi3, 0.0),
            (Plane::Omega, &whole.omega, 0.0),
        ] {
            let mut one = Array2::from_elem(bbox.shape(), fill);
            if !shared.is_empty() {
                one.slice_mut(bbox.slice_of(&shared)).assign(&expected.slice(all.slice_of(&shared)));
            }
            assert!(same(&clone.plane("g", plane, &bbox).unwrap(), &one), "{plane:?} {bbox:?}");
        }
        let (mask, inputs) = (mosaic.mask("g", &bbox).unwrap(), mosaic.inputs_wyx("g", &bbox).unwrap());
        assert_eq!(inputs.dim().0, 2);
        for ((y, x), &m) in mask.indexed_iter() {
            let expected = all.index(bbox.x0 + x as i32, bbox.y0 + y as i32);
            assert_eq!(m, expected.map_or(MaskPlane::NoData.bit(), |i| whole.mask[i]));
            for w in 0..2 {
                assert_eq!(inputs[[w, y, x]], expected.map_or(0, |[j, i]| whole.inputs_wyx[[w, j, i]]));
            }
        }
    }
    assert_eq!(mosaic.inputs_wyx("y", &all).unwrap().dim(), (0, 112, 80));
    let inputs = mosaic.inputs("g").unwrap();
    assert_eq!((inputs.len(), inputs[69].n_pixels, &inputs[69].id.0[..]), (70, 4 * 69, "e069"));
    assert!(mosaic.inputs("y").unwrap().is_empty());
    assert_eq!(mosaic.fwhm_px("g").unwrap().to_bits(), 4.25f64.to_bits());
    assert_eq!(mosaic.covariance("g", 79, 111).unwrap().unwrap()[[2, 1]].to_bits(), 4607f64.to_bits());
    let psfs = mosaic.autocorrelation("g", 79, 111).unwrap().unwrap();
    // Row 6 of column 4: the last of its patch.
    assert_eq!((psfs.weight.to_bits(), psfs.lags[[2, 1]] % 10.0), (406f64.to_bits(), 7.0));
    assert!(mosaic.autocorrelation("g", 3, 3).unwrap().is_none());
    // The first cell of a patch was left out (no data), and there is none outside.
    assert_eq!((mosaic.covariance("g", 3, 3).unwrap(), mosaic.covariance("g", -1, 3).unwrap()), (None, None));
    assert_eq!(inputs[69].mjd.to_bits(), 60_069f64.to_bits());
    assert_eq!(mosaic.decisions("g").unwrap(), (0..71).map(decision).collect::<Vec<_>>());
    let bbox = Box2::new(30, 40, 20, 25);
    let (radii, phi) = mosaic.phi_morphology("g", &bbox).unwrap();
    assert_eq!(radii, [0.4, 0.8]);
    for (plane, expected) in phi.outer_iter().zip(&whole.phi_morphology) {
        assert_eq!(plane, expected.slice(all.slice_of(&bbox)));
    }
    let steps = mosaic.window_steps("g").unwrap();
    assert_eq!(steps, [9, 10, 12].map(window_step));
    let window = mosaic.window("g", 10, 3, &bbox).unwrap();
    let psi = mosaic.plane("g", Plane::Psi, &bbox).unwrap();
    assert!(window.psi.iter().zip(&psi).all(|(w, p)| (w - 22.0 * p).abs() <= 4e-7 * w.abs()));
    assert!(mosaic.window_steps("y").unwrap().is_empty());
    let properties = mosaic.properties("g", &bbox).unwrap();
    let words = mosaic.inputs_wyx("g", &bbox).unwrap();
    // Bits beyond the 70 inputs name nobody.
    let n_bits = |j, i| words[[0, j, i]].count_ones() + (words[[1, j, i]] & 0x3f).count_ones();
    assert!(properties.n_exposures.indexed_iter().all(|((j, i), &n)| n == n_bits(j, i)));
    let error = mosaic.plane("z", Plane::Psi, &all).unwrap_err().to_string();
    assert!(error.contains("000_000.h5: /z is missing; expected the coadd of the band"), "{error}");
}

#[test]
fn failing_coadds_pass_their_own_error_and_leave_no_file() {
    #[derive(Debug, PartialEq)]
    struct Mine(String);
    impl From<FormatError> for Mine {
        fn from(e: FormatError) -> Self {
            Self(e.to_string())
        }
    }
    let folder = folder();
    let tract = tract();
    let path = folder.path().join("c.h5");
    let good = |band: &str| band_coadd(&tract, tract.patches()[0].bbox, band, 3);
    let bands = ["g".to_owned(), "r".to_owned()];
    let error = coadd::write(&path, "k", &bands, |band, _| if band == "r" { Err(Mine("no stars".into())) } else { Ok(good(band)) });
    assert_eq!(error, Err(Mine("no stars".into())));
    let error = coadd::write(&path, "k", &bands, |band, _| -> Result<_, Mine> {
        let mut bad = good(band);
        bad.phi = bad.phi.slice(s![1.., ..]).to_owned();
        Ok(bad)
    });
    assert!(error.unwrap_err().0.contains("/g/phi is of shape (47, 32); expected (48, 32)"));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn run_index_holds_tables_and_links() {
    let folder = folder();
    table::write(&folder.path().join("sub/a.h5"), "k", "t", &table_of_all_kinds()).unwrap();
    let index = run::RunIndex {
        tables: vec![("catalog".into(), table_of_all_kinds()), ("real_00/truth".into(), Table::new())],
        links: vec![
            ("real_00/exposures/e1".into(), "sub/a.h5".into(), "/".into()),
            ("t".into(), "sub/a.h5".into(), "t".into()),
            ("lost".into(), "sub/none.h5".into(), "/".into()),
        ],
        config: "a = 1 # é\n".repeat(20_000),
        provenance: "{}".into(),
    };
    run::write(folder.path(), &index).unwrap();
    let path = folder.path().join("run.h5");
    assert_eq!(product::key(&path).unwrap().len(), 64);
    assert_eq!(table::read(&path, "catalog").unwrap(), table_of_all_kinds());
    assert_eq!(table::read(&path, "real_00/truth").unwrap(), Table::new());
    assert_eq!(table::read(&path, "t").unwrap(), table_of_all_kinds());
    assert_eq!(table::read(&path, "real_00/exposures/e1/t").unwrap(), table_of_all_kinds());
    assert!(table::read(&path, "lost").is_err());
    let file = hdf5::File::open(&path).unwrap();
    let config = file.dataset("config").unwrap().read_scalar::<hdf5::types::VarLenUnicode>().unwrap();
    assert_eq!(config.as_str(), index.config);
}

/// By hand, since it needs a disk of 1 to 2 MB, whose folder `FATHOM_SMALL_DISK` names (`mount -t tmpfs -o size=1500k`), or a limit on the
/// size of files (`trap '' XFSZ; ulimit -f 1000`): an error, nothing left behind, and the next product is written.
#[test]
#[ignore = "needs a small disk, see there"]
fn full_disk_is_an_error() {
    let folder = PathBuf::from(std::env::var_os("FATHOM_SMALL_DISK").expect("FATHOM_SMALL_DISK names a folder on a small disk"));
    // HDF5 buffers small writes until the end: one band fails at a write, many small columns at a flush or at the close.
    for n_columns in [1, 2000] {
        let mut table = Table::new();
        for i in 0..n_columns {
            let mut rng = crate::random::keyed_rng(1, "full-disk-test", i, 0);
            let noise = (0..400_000 / n_columns).map(|_| rand::Rng::next_u64(&mut rng) as i64).collect();
            table.push(&format!("c{i}"), "", "", ColumnData::I64(noise)).unwrap();
        }
        let error = table::write(&folder.join("big.h5"), "k", "t", &table).unwrap_err().to_string();
        eprintln!("{error}");
        assert!(error.contains("big.h5"), "{error}");
        assert_eq!(names(&folder), Vec::<String>::new());
        table::write(&folder.join("small.h5"), "k", "t", &table_of_all_kinds()).unwrap();
        assert_eq!(table::read(&folder.join("small.h5"), "t").unwrap(), table_of_all_kinds());
        std::fs::remove_file(folder.join("small.h5")).unwrap();
    }
}

/// Product files are compared by their bytes, so neither time nor leftovers of memory may enter them.
#[test]
fn same_content_same_bytes() {
    let folder = folder();
    let make = |name: &str| {
        let to = folder.path().join(name);
        exposure::write(&to.join("exposure.h5"), "k", &exposure(gaussian())).unwrap();
        table::write(&to.join("table.h5"), "k", "a/b/c", &table_of_all_kinds()).unwrap();
        mosaic(&to);
        let layer = layer(LayerKind::point(Sed::Free), spans(&[(1, 2, 3)]), vec![peak(1)], vec![]);
        layers::write(&to.join("layers.h5"), "k", &PatchLayers { layers: vec![layer], ..PatchLayers::default() }).unwrap();
        let links = vec![("x/y/z".into(), "table.h5".into(), "/".into())];
        run::write(&to, &run::RunIndex { tables: vec![("r/t".into(), table_of_all_kinds())], links, ..Default::default() }).unwrap();
        to
    };
    let first = make("first");
    // HDF5 keeps times to the second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = make("second");
    let mut compared = names(&first);
    compared.sort();
    assert_eq!(compared.len(), 8);
    for name in compared {
        assert!(std::fs::read(first.join(&name)).unwrap() == std::fs::read(second.join(&name)).unwrap(), "{name}");
    }
}
