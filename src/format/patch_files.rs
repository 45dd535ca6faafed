//! One file a patch, read across patches.

use super::FormatError;
use super::calibration::take_box;
use super::hdf5_io::Node;
use crate::geometry::{Box2, Tract};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Files that are kept open, at most: opening one costs more than reading a small box, but handles are scarce.
const MAX_OPEN: usize = 16;

/// Open files with their patches' indices.
type OpenFiles = Vec<(usize, Arc<Node>)>;

/// The files of all patches of a tract.
#[derive(Debug, Clone)]
pub(super) struct PatchFiles {
    pub tract: Tract,
    /// One file per patch, in the order of [`Tract::patches`].
    pub paths: Vec<PathBuf>,
    format: (&'static str, u32),
    /// What is in them, for messages.
    what: &'static str,
    /// Files kept open, the latest used last; shared by clones.
    open: Arc<Mutex<OpenFiles>>,
}

impl PatchFiles {
    pub fn new(tract: Tract, paths: Vec<PathBuf>, format: (&'static str, u32), what: &'static str) -> Self {
        Self { tract, paths, format, what, open: Arc::default() }
    }

    /// Root of the file of patch `i`, opened or still open.
    pub fn file(&self, i: usize) -> Result<Arc<Node>, FormatError> {
        // A panic elsewhere leaves the list whole: it is only changed by single pushes and removals.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(k, _)| *k == i) {
            let entry = open.remove(at);
            let node = Arc::clone(&entry.1);
            open.push(entry);
            return Ok(node);
        }
        let path = self.paths.get(i).ok_or_else(|| FormatError::Content {
            path: self.paths.first().cloned().unwrap_or_default(),
            key: format!("list of {} files", self.what),
            found: format!("{} files long", self.paths.len()),
            expected: "one file per patch of the tract".to_owned(),
        })?;
        let node = Arc::new(Node::open(path, Some(self.format))?);
        if open.len() >= MAX_OPEN {
            open.remove(0);
        }
        open.push((i, Arc::clone(&node)));
        Ok(node)
    }

    /// Calls `read` for every patch that shares pixels with `bbox`: with the group that `group` finds in its file (with the attribute `bbox`), the
    /// rows and columns to read of its planes, and the shared box.
    pub fn for_each_part(
        &self,
        group: impl Fn(&Node) -> Result<Node, FormatError>,
        bbox: &Box2,
        mut read: impl FnMut(&Node, [std::ops::Range<usize>; 2], &Box2) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        for (i, patch) in self.tract.patches().iter().enumerate() {
            let shared = patch.bbox.intersect(bbox);
            if shared.is_empty() {
                continue;
            }
            let group = group(&*self.file(i)?)?;
            let stored = take_box(&group)?;
            if stored != patch.bbox {
                return Err(group.wrong_attribute("bbox", &format!("{stored:?}"), &format!("{:?}, patch {}", patch.bbox, patch.id)));
            }
            let (y, x) = ((shared.y0 - stored.y0) as usize, (shared.x0 - stored.x0) as usize);
            let (height, width) = shared.shape();
            read(&group, [y..y + height, x..x + width], &shared)?;
        }
        Ok(())
    }
}
