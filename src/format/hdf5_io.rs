//! One group of an HDF5 file, and the few ways in which every format writes to it and reads from it.
//!
//! All object times are off: the same content gives the same bytes.

use super::FormatError;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Dataset, File, Group, H5Type};
use ndarray::{Array, Array1, Array2, ArrayD, ArrayView, Dimension, IxDyn, s};
use std::path::{Path, PathBuf};

/// How a dataset lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// Contiguous: small, or always read as a whole.
    Plain,
    /// Chunked, uncompressed: noisy planes hardly shrink, and inflating them costs more than reading.
    Tiled,
    /// Chunked, shuffled and deflated.
    Packed,
}

/// What a dataset is: the attributes `unit` and `description`.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub description: &'a str,
}

impl<'a> About<'a> {
    pub fn new(name: &'a str, unit: &'a str, description: &'a str) -> Self {
        Self { name, unit, description }
    }
}

/// A group of a file, with what its errors name.
#[derive(Debug)]
pub(super) struct Node {
    path: PathBuf,
    group: Group,
}

/// Elements of a chunk, at most: 256 x 256.
const CHUNK: usize = 1 << 16;

/// Equal pieces of at most `most`: chunks that overhang the edge would be stored whole.
fn even(length: usize, most: usize) -> usize {
    length.div_ceil(length.div_ceil(most))
}

/// Tiles of up to 256 x 256; where an axis is shorter, the others grow until the chunk is full.
fn chunk_of(shape: &[usize]) -> Vec<usize> {
    let mut chunk = vec![1; shape.len()];
    let n = shape.len();
    if n == 1 {
        chunk[0] = shape[0].min(CHUNK);
        return chunk;
    }
    chunk[n - 1] = even(shape[n - 1], 256);
    chunk[n - 2] = even(shape[n - 2], CHUNK / chunk[n - 1]);
    chunk[n - 1] = even(shape[n - 1], CHUNK / chunk[n - 2]);
    for i in (0..n - 2).rev() {
        chunk[i] = shape[i].min((CHUNK / chunk.iter().product::<usize>()).max(1));
    }
    chunk
}

/// Opens a file for reading; HDF5 prints nothing.
pub(super) fn open_file(path: &Path) -> Result<File, FormatError> {
    // HDF5 does not tell a missing file from a damaged one in words that a user understands.
    std::fs::File::open(path).map_err(|source| FormatError::Io { path: path.to_owned(), source })?;
    hdf5::silence_errors(true);
    File::open(path).map_err(|error| FormatError::Hdf5 {
        path: path.to_owned(),
        what: "it is no HDF5 file or is truncated".to_owned(),
        why: error.to_string(),
    })
}

/// Texts of a dataset or attribute, of whatever string type (h5py writes several).
fn texts(container: &Container) -> hdf5::Result<Option<Vec<String>>> {
    /// Longest fixed-length text that is read.
    const N: usize = 4096;
    fn all<T: H5Type + ToString>(container: &Container) -> hdf5::Result<Option<Vec<String>>> {
        Ok(Some(container.read_raw::<T>()?.iter().map(ToString::to_string).collect()))
    }
    match container.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => all::<VarLenUnicode>(container),
        TypeDescriptor::VarLenAscii => all::<VarLenAscii>(container),
        TypeDescriptor::FixedUnicode(n) if n <= N => all::<FixedUnicode<N>>(container),
        TypeDescriptor::FixedAscii(n) if n <= N => all::<FixedAscii<N>>(container),
        _ => Ok(None),
    }
}

impl Node {
    /// The group `root` of the file that will be (or is) `path`.
    pub fn new(path: &Path, root: &Group) -> Self {
        Self { path: path.to_owned(), group: root.clone() }
    }

    /// Opens a finished product, of one format and version if these are given.
    pub fn open(path: &Path, expected: Option<(&str, u32)>) -> Result<Self, FormatError> {
        let file = open_file(path)?;
        // The group keeps the file open after `file` is dropped.
        let root = Self { path: path.to_owned(), group: file.as_group().map_err(|e| hdf5_error(path, "open /", &e))? };
        if let Some((format, version)) = expected {
            let found = root.text("format")?;
            if found != format {
                return Err(root.content("attribute format", &format!("\"{found}\""), &format!("\"{format}\"")));
            }
            let found = root.number("version")?;
            if (found - f64::from(version)).abs() > 0.0 {
                return Err(root.content("attribute version", &found.to_string(), &version.to_string()));
            }
        }
        if root.number("complete")? < 1.0 {
            return Err(root.content("attribute complete", "0", "1 (the file was never finished)"));
        }
        Ok(root)
    }

    /// Full name of a member.
    fn key(&self, name: &str) -> String {
        let group = self.group.name();
        if group == "/" || group.is_empty() { format!("/{name}") } else { format!("{group}/{name}") }
    }

    pub fn content(&self, key: &str, found: &str, expected: &str) -> FormatError {
        FormatError::Content { path: self.path.clone(), key: key.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
    }

    /// An error about the member `name`.
    pub fn wrong(&self, name: &str, found: &str, expected: &str) -> FormatError {
        self.content(&self.key(name), found, expected)
    }

    fn failed(&self, verb: &str, name: &str, error: &hdf5::Error) -> FormatError {
        hdf5_error(&self.path, &format!("{verb} {}", self.key(name)), error)
    }

    pub fn has(&self, name: &str) -> bool {
        self.group.link_exists(name)
    }

    /// Makes the group `name`, a path of one or more steps; steps that exist are used.
    pub fn create(&self, name: &str) -> Result<Self, FormatError> {
        let mut group = self.group.clone();
        for step in name.split('/').filter(|step| !step.is_empty()) {
            group =
                if group.link_exists(step) { group.group(step) } else { group.create_group_builder().obj_track_times(false).create(step) }
                    .map_err(|e| self.failed("make the group", name, &e))?;
        }
        Ok(Self { path: self.path.clone(), group })
    }

    /// Opens the group `name`; `expected` says what it should be, for the error.
    pub fn child(&self, name: &str, expected: &str) -> Result<Self, FormatError> {
        let mut group = self.group.clone();
        for step in name.split('/').filter(|step| !step.is_empty()) {
            if !group.link_exists(step) {
                return Err(self.wrong(name, "missing", expected));
            }
            group = group.group(step).map_err(|e| self.failed("open the group", name, &e))?;
        }
        Ok(Self { path: self.path.clone(), group })
    }

    /// Names of the members, sorted.
    pub fn members(&self) -> Result<Vec<String>, FormatError> {
        let mut names = self.group.member_names().map_err(|e| self.failed("list", "", &e))?;
        names.sort();
        Ok(names)
    }

    /// Links a group of another file.
    pub fn link(&self, name: &str, file: &str, target: &str) -> Result<(), FormatError> {
        self.group.link_external(file, target, name).map_err(|e| self.failed("link", name, &e))
    }

    // ---- attributes

    pub fn put<T: H5Type>(&self, name: &str, value: T) -> Result<(), FormatError> {
        self.group
            .new_attr::<T>()
            .create(name)
            .and_then(|a| a.write_scalar(&value))
            .map_err(|e| self.failed("write the attribute", name, &e))
    }

    pub fn put_flag(&self, name: &str, value: bool) -> Result<(), FormatError> {
        self.put(name, u8::from(value))
    }

    pub fn put_list<T: H5Type>(&self, name: &str, values: &[T]) -> Result<(), FormatError> {
        self.group
            .new_attr::<T>()
            .shape(values.len())
            .create(name)
            .and_then(|a| a.write_raw(values))
            .map_err(|e| self.failed("write the attribute", name, &e))
    }

    pub fn put_text(&self, name: &str, text: &str) -> Result<(), FormatError> {
        self.put(name, self.unicode(name, text)?)
    }

    pub fn put_texts<'t>(&self, name: &str, texts: impl IntoIterator<Item = &'t str>) -> Result<(), FormatError> {
        let texts: Vec<_> = texts.into_iter().map(|t| self.unicode(name, t)).collect::<Result<_, _>>()?;
        self.put_list(name, &texts)
    }

    fn unicode(&self, name: &str, text: &str) -> Result<VarLenUnicode, FormatError> {
        text.parse().map_err(|_| self.wrong(name, "a text with a NUL character", "a text without"))
    }

    pub fn has_attribute(&self, name: &str) -> bool {
        self.group.attr(name).is_ok()
    }

    pub fn attribute_names(&self) -> Result<Vec<String>, FormatError> {
        self.group.attr_names().map_err(|e| self.failed("list the attributes of", "", &e))
    }

    fn attribute(&self, name: &str, expected: &str) -> Result<hdf5::Attribute, FormatError> {
        self.group.attr(name).map_err(|_| self.wrong_attribute(name, "missing", expected))
    }

    pub fn wrong_attribute(&self, name: &str, found: &str, expected: &str) -> FormatError {
        let group = self.group.name();
        let key = if group == "/" { format!("attribute {name}") } else { format!("attribute {name} of {group}") };
        self.content(&key, found, expected)
    }

    /// A number of any numeric type.
    pub fn number(&self, name: &str) -> Result<f64, FormatError> {
        let attribute = self.attribute(name, "a number")?;
        attribute
            .read_scalar::<f64>()
            .or_else(|_| attribute.read_scalar::<bool>().map(|b| f64::from(u8::from(b))))
            .map_err(|_| self.wrong_attribute(name, &describe(&attribute), "one number"))
    }

    /// A count.
    pub fn count(&self, name: &str) -> Result<u64, FormatError> {
        let attribute = self.attribute(name, "a count")?;
        attribute.read_scalar::<u64>().map_err(|_| self.wrong_attribute(name, &describe(&attribute), "one count"))
    }

    pub fn flag(&self, name: &str) -> Result<bool, FormatError> {
        Ok(self.number(name)? > 0.0)
    }

    pub fn numbers<const N: usize>(&self, name: &str) -> Result<[f64; N], FormatError> {
        let attribute = self.attribute(name, &format!("{N} numbers"))?;
        attribute
            .read_raw::<f64>()
            .ok()
            .and_then(|v| v.try_into().ok())
            .ok_or_else(|| self.wrong_attribute(name, &describe(&attribute), &format!("{N} numbers")))
    }

    /// As many numbers as there are.
    pub fn number_list(&self, name: &str) -> Result<Vec<f64>, FormatError> {
        let attribute = self.attribute(name, "numbers")?;
        attribute.read_raw::<f64>().map_err(|_| self.wrong_attribute(name, &describe(&attribute), "numbers"))
    }

    pub fn text(&self, name: &str) -> Result<String, FormatError> {
        let attribute = self.attribute(name, "a text")?;
        match texts(&attribute) {
            Ok(Some(mut t)) if t.len() == 1 => Ok(t.remove(0)),
            _ => Err(self.wrong_attribute(name, &describe(&attribute), "a text")),
        }
    }

    /// A text if the attribute is one, else `None`.
    pub fn text_if(&self, name: &str) -> Option<String> {
        self.text(name).ok()
    }

    pub fn texts(&self, name: &str) -> Result<Vec<String>, FormatError> {
        let attribute = self.attribute(name, "a list of texts")?;
        texts(&attribute).ok().flatten().ok_or_else(|| self.wrong_attribute(name, &describe(&attribute), "a list of texts"))
    }

    // ---- datasets

    fn new_dataset<T: H5Type>(&self, about: About, shape: &[usize], storage: Storage) -> Result<Dataset, FormatError> {
        if about.name.is_empty() || about.name.contains('/') {
            return Err(self.wrong(about.name, &format!("named \"{}\"", about.name), "a name without /"));
        }
        let make = || -> hdf5::Result<Dataset> {
            let mut builder = self.group.new_dataset_builder().obj_track_times(false);
            // HDF5 allows neither chunks of no size nor filters without chunks.
            if storage != Storage::Plain && !shape.is_empty() && !shape.contains(&0) {
                builder = builder.chunk(chunk_of(shape));
                if storage == Storage::Packed {
                    builder = builder.shuffle().deflate(4);
                }
            }
            builder.empty::<T>().shape(shape.to_vec()).create(about.name)
        };
        let dataset = make().map_err(|e| self.failed("make", about.name, &e))?;
        for (name, text) in [("unit", about.unit), ("description", about.description)] {
            self.describe_dataset(&dataset, about.name, name, text)?;
        }
        Ok(dataset)
    }

    fn describe_dataset(&self, dataset: &Dataset, of: &str, name: &str, text: &str) -> Result<(), FormatError> {
        let text = self.unicode(of, text)?;
        dataset
            .new_attr::<VarLenUnicode>()
            .create(name)
            .and_then(|a| a.write_scalar(&text))
            .map_err(|e| self.failed("write an attribute of", of, &e))
    }

    pub fn write<T: H5Type + Clone, D: Dimension>(
        &self,
        about: About,
        values: ArrayView<T, D>,
        storage: Storage,
    ) -> Result<(), FormatError> {
        let dataset = self.new_dataset::<T>(about, values.shape(), storage)?;
        if values.is_empty() {
            return Ok(());
        }
        let written = if values.is_standard_layout() { dataset.write(values) } else { dataset.write(values.as_standard_layout().view()) };
        written.map_err(|e| self.failed("write", about.name, &e))
    }

    pub fn write_column<T: H5Type + Clone>(&self, about: About, values: &[T]) -> Result<(), FormatError> {
        self.write(about, ndarray::aview1(values), Storage::Packed)
    }

    /// Flags as bytes, with the attribute `kind` = `bool`.
    pub fn write_flags(&self, about: About, values: &[bool]) -> Result<(), FormatError> {
        let bytes: Vec<u8> = values.iter().map(|b| u8::from(*b)).collect();
        self.write_column(about, &bytes)?;
        let dataset = self.dataset(about.name, "")?;
        self.describe_dataset(&dataset, about.name, "kind", "bool")
    }

    pub fn write_texts(&self, about: About, values: &[String]) -> Result<(), FormatError> {
        let texts: Vec<_> = values.iter().map(|t| self.unicode(about.name, t)).collect::<Result<_, _>>()?;
        self.write_column(about, &texts)
    }

    /// One text as a scalar dataset.
    pub fn write_document(&self, about: About, text: &str) -> Result<(), FormatError> {
        let text = self.unicode(about.name, text)?;
        let dataset = self.new_dataset::<VarLenUnicode>(about, &[], Storage::Plain)?;
        dataset.write_scalar(&text).map_err(|e| self.failed("write", about.name, &e))
    }

    pub fn dataset(&self, name: &str, expected: &str) -> Result<Dataset, FormatError> {
        if !self.has(name) {
            return Err(self.wrong(name, "missing", expected));
        }
        self.group.dataset(name).map_err(|_| self.wrong(name, "no dataset", expected))
    }

    /// Attribute of a dataset; empty if it has none.
    pub fn about(&self, dataset: &Dataset, attribute: &str) -> String {
        dataset.attr(attribute).ok().and_then(|a| texts(&a).ok().flatten()).and_then(|t| t.into_iter().next()).unwrap_or_default()
    }

    /// A dataset of this element type and number of axes.
    fn typed<T: H5Type>(&self, name: &str, n_axes: usize) -> Result<Dataset, FormatError> {
        let expected = || format!("{} with {n_axes} axes", T::type_descriptor());
        let dataset = self.dataset(name, &expected())?;
        let is_type = dataset.dtype().and_then(|t| t.to_descriptor()).is_ok_and(|t| t == T::type_descriptor());
        if is_type && dataset.ndim() == n_axes { Ok(dataset) } else { Err(self.wrong(name, &describe(&dataset), &expected())) }
    }

    /// Shape of a dataset of two axes.
    pub fn shape_2d<T: H5Type>(&self, name: &str) -> Result<(usize, usize), FormatError> {
        let shape = self.typed::<T>(name, 2)?.shape();
        Ok((shape[0], shape[1]))
    }

    pub fn read<T: H5Type, D: Dimension>(&self, name: &str) -> Result<Array<T, D>, FormatError> {
        let dataset = self.typed::<T>(name, D::NDIM.expect("formats fix the number of axes"))?;
        let shape = dataset.shape();
        let values = if shape.contains(&0) { Ok(Vec::new()) } else { dataset.read_raw::<T>() };
        let values = values.map_err(|e| self.failed("read", name, &e))?;
        let array = ArrayD::from_shape_vec(IxDyn(&shape), values).expect("HDF5 reads as many values as its shape says");
        Ok(array.into_dimensionality().expect("the number of axes was checked"))
    }

    /// `[rows, columns]` of a dataset of two axes.
    pub fn read_part<T: H5Type>(
        &self,
        name: &str,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> Result<Array2<T>, FormatError> {
        let dataset = self.typed::<T>(name, 2)?;
        if rows.is_empty() || columns.is_empty() {
            // HDF5 refuses a selection of nothing that starts beyond the end.
            return Ok(Array2::from_shape_vec((rows.len(), columns.len()), Vec::new()).expect("no elements"));
        }
        dataset.read_slice_2d(s![rows, columns]).map_err(|e| self.failed("read", name, &e))
    }

    /// `[.., rows, columns]` of a dataset of three axes.
    pub fn read_part_3d<T: H5Type>(
        &self,
        name: &str,
        planes: std::ops::Range<usize>,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> Result<ndarray::Array3<T>, FormatError> {
        let dataset = self.typed::<T>(name, 3)?;
        dataset.read_slice(s![planes, rows, columns]).map_err(|e| self.failed("read", name, &e))
    }

    /// Shape of a dataset of three axes.
    pub fn shape_3d<T: H5Type>(&self, name: &str) -> Result<[usize; 3], FormatError> {
        let shape = self.typed::<T>(name, 3)?.shape();
        Ok([shape[0], shape[1], shape[2]])
    }

    pub fn column<T: H5Type>(&self, name: &str) -> Result<Vec<T>, FormatError> {
        Ok(self.read::<T, ndarray::Ix1>(name)?.into_raw_vec_and_offset().0)
    }

    /// Rows of a column, range after range; all of them without ranges.
    pub fn column_rows<T: H5Type + Clone>(&self, name: &str, rows: Option<&[std::ops::Range<usize>]>) -> Result<Vec<T>, FormatError> {
        let Some(rows) = rows else { return self.column(name) };
        let dataset = self.typed::<T>(name, 1)?;
        self.gather(&dataset, name, rows, |part: ndarray::Array1<T>| part.to_vec())
    }

    fn gather<T: H5Type, U>(
        &self,
        dataset: &Dataset,
        name: &str,
        rows: &[std::ops::Range<usize>],
        values_of: impl Fn(ndarray::Array1<T>) -> Vec<U>,
    ) -> Result<Vec<U>, FormatError> {
        let mut values = Vec::with_capacity(rows.iter().map(ExactSizeIterator::len).sum());
        for range in rows.iter().filter(|r| !r.is_empty()) {
            values.extend(values_of(dataset.read_slice_1d(s![range.clone()]).map_err(|e| self.failed("read", name, &e))?));
        }
        Ok(values)
    }

    /// A column of `n` rows.
    pub fn column_of<T: H5Type>(&self, name: &str, n: usize) -> Result<Vec<T>, FormatError> {
        let values = self.column::<T>(name)?;
        if values.len() == n { Ok(values) } else { Err(self.wrong(name, &format!("of {} rows", values.len()), &format!("{n} rows"))) }
    }

    pub fn flags_of(&self, name: &str, n: usize) -> Result<Vec<bool>, FormatError> {
        Ok(self.column_of::<u8>(name, n)?.into_iter().map(|b| b != 0).collect())
    }

    /// Rows of a column of texts, range after range; all of them without ranges.
    pub fn text_rows(&self, name: &str, rows: Option<&[std::ops::Range<usize>]>) -> Result<Vec<String>, FormatError> {
        let Some(rows) = rows else { return self.text_column(name) };
        let dataset = self.dataset(name, "a column of texts")?;
        match dataset.dtype().and_then(|t| t.to_descriptor()) {
            Ok(hdf5::types::TypeDescriptor::VarLenUnicode) if dataset.ndim() == 1 => {
                self.gather(&dataset, name, rows, |part: ndarray::Array1<hdf5::types::VarLenUnicode>| {
                    part.iter().map(ToString::to_string).collect()
                })
            }
            // Texts of other programs: all of them, then the rows.
            _ => {
                let all = self.text_column(name)?;
                Ok(rows.iter().flat_map(|r| all[r.clone()].iter().cloned()).collect())
            }
        }
    }

    /// Texts of a dataset of one axis.
    pub fn text_column(&self, name: &str) -> Result<Vec<String>, FormatError> {
        let dataset = self.dataset(name, "a column of texts")?;
        if dataset.ndim() != 1 {
            return Err(self.wrong(name, &describe(&dataset), "a column of texts"));
        }
        if dataset.size() == 0 {
            return Ok(Vec::new());
        }
        texts(&dataset)
            .map_err(|e| self.failed("read", name, &e))?
            .ok_or_else(|| self.wrong(name, &describe(&dataset), "a column of texts"))
    }

    /// One plane `[ny, nx]` stacked from equally shaped ones, as the rows of a dataset of three axes.
    pub fn write_stack(&self, about: About, stack: &[Array2<f64>]) -> Result<(), FormatError> {
        let views: Vec<_> = stack.iter().map(|stamp| stamp.view()).collect();
        let cube = ndarray::stack(ndarray::Axis(0), &views)
            .map_err(|_| self.wrong(about.name, "made of no stamp or of stamps of different shapes", "stamps of one shape"))?;
        self.write(about, cube.view(), Storage::Plain)
    }

    pub fn read_stack(&self, name: &str) -> Result<Vec<Array2<f64>>, FormatError> {
        Ok(self.read::<f64, ndarray::Ix3>(name)?.outer_iter().map(|stamp| stamp.to_owned()).collect())
    }

    pub fn numbers_column(&self, name: &str) -> Result<Array1<f64>, FormatError> {
        self.read(name)
    }
}

/// Type and shape of what is stored.
pub(super) fn describe(container: &Container) -> String {
    let kind = container.dtype().and_then(|t| t.to_descriptor()).map_or_else(|_| "of an unknown type".to_owned(), |t| t.to_string());
    format!("{kind} of shape {:?}", container.shape())
}

pub(super) fn hdf5_error(path: &Path, what: &str, error: &hdf5::Error) -> FormatError {
    FormatError::Hdf5 { path: path.to_owned(), what: what.to_owned(), why: error.to_string() }
}
