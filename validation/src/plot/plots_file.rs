//! plots.json: every plot of the metrics as data, so that the page can be drawn again without measuring again.

use super::{MarkKind, Plot};
use serde::{Deserialize, Serialize};

/// Content of plots.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlotsFile {
    /// Version of this schema: 1.
    pub schema: u32,
    /// Plots, in the order in which they were made.
    pub plots: Vec<Plot>,
}

impl PlotsFile {
    /// For writing: points without a finite place are left out, since JSON has no word for them.
    #[must_use]
    pub fn new(mut plots: Vec<Plot>) -> Self {
        for mark in plots.iter_mut().flat_map(|p| &mut p.panels).flat_map(|p| &mut p.marks) {
            keep_finite(&mut mark.kind);
        }
        Self { schema: 1, plots }
    }
}

fn keep_finite(kind: &mut MarkKind) {
    match kind {
        MarkKind::Points(v) => v.retain(|p| p.iter().all(|x| x.is_finite())),
        MarkKind::Sampled(v) => v.retain(|p| p.iter().all(|x| x.is_finite())),
        MarkKind::Dots(v) | MarkKind::Line(v) | MarkKind::Dashed(v) => v.retain(|p| p.0.is_finite() && p.1.is_finite()),
        MarkKind::Band(v) | MarkKind::Steps(v) => v.retain(|p| p.iter().all(|x| x.is_finite())),
        MarkKind::Heat { values_yx, .. } => {
            for value in values_yx.iter_mut().flatten() {
                *value = value.filter(|v| v.is_finite());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Corner, Mark, Panel, Section};
    use super::*;

    /// What is written is read back, whatever a family put into it.
    #[test]
    fn the_file_can_be_read_back() {
        let mark = |kind| Mark { label: "g".into(), colour: (1, 2, 3), kind };
        let marks = vec![
            mark(MarkKind::Points(vec![[1.0, 0.1 + 0.2, f64::NAN, 1.0], [2.0, 1.0 / 3.0, 0.0, 1.0]])),
            mark(MarkKind::Line(vec![(f64::INFINITY, 0.0), (1e-300, -0.0)])),
        ];
        let panel = Panel {
            x_label: "x".into(),
            y_label: "y".into(),
            x: (0.0, 1.0),
            y: (-3.0, 2.0),
            log_y: true,
            marks,
            legend: Corner::LowerLeft,
        };
        let plot = Plot { name: "p".into(), section: Section::Coadd, title: "t".into(), caption: "c".into(), panels: vec![panel] };
        let file = PlotsFile::new(vec![plot]);
        let marks = &file.plots[0].panels[0].marks;
        assert_eq!(marks[0].kind, MarkKind::Points(vec![[2.0, 1.0 / 3.0, 0.0, 1.0]]));
        assert_eq!(marks[1].kind, MarkKind::Line(vec![(1e-300, -0.0)]));
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(serde_json::from_str::<PlotsFile>(&text).unwrap(), file);
    }
}
