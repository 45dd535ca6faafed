//! What a run's report says, in which order.

use super::document::{Block, Chapter, Document, Grid, Stamp, StampGrid};
use super::tables::{headlines, long, stage_tables};
use super::verdicts::verdicts;
use crate::key_figures::number;
use crate::picture::{BlendSheet, CHILD_HEADS, FieldImage, SHEET_HEADS, child_stamps, field_picture, sheet_stamps};
use crate::plot::{Plot, Section};
use crate::{Metric, MetricsFile};
use ndarray::Axis;

/// Everything that a run's report shows, read from its folder.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Title.
    pub title: String,
    /// Content of metrics.json.
    pub metrics: MetricsFile,
    /// Plots of the metrics (plots.json); each goes to the chapter of its section.
    pub plots: Vec<Plot>,
    /// Maps of the products, each with the files that it is made of.
    pub maps: Vec<(Plot, String)>,
    /// What was run: name, value.
    pub facts: Vec<(String, String)>,
    /// The field, if its coadds are still there.
    pub field: Option<FieldImage>,
    /// Worst blends first.
    pub blends: Vec<BlendSheet>,
    /// Why those; or why there are none.
    pub blends_note: String,
    /// Further tables and remarks of a stage.
    pub stage_texts: Vec<StageText>,
    /// Exposures that were skipped: name, why.
    pub skipped: Vec<(String, String)>,
    /// Resolved configuration, TOML.
    pub config: String,
    /// Provenance rows: name, value.
    pub provenance: Vec<(String, String)>,
    /// Timing table rows, for the provenance section: phase, tasks, seconds.
    pub timing: Vec<(String, usize, f64)>,
}

/// A table that belongs to a stage.
#[derive(Debug, Clone)]
pub struct StageText {
    /// Stage.
    pub section: Section,
    /// Heading.
    pub title: String,
    /// What it is and where its numbers come from.
    pub text: String,
    /// Table; without rows: only the text.
    pub grid: Grid,
}

impl RunReport {
    /// The report as data.
    #[must_use]
    pub fn document(&self) -> Document {
        let run = &self.metrics.run;
        let mut chapters = vec![Chapter { id: "summary".into(), title: "Summary".into(), blocks: self.summary() }];
        chapters.extend(Section::ALL.into_iter().filter_map(|s| self.stage(s)));
        chapters.extend(self.others());
        chapters.push(Chapter { id: "configuration".into(), title: "Configuration".into(), blocks: self.configuration() });
        Document {
            title: self.title.clone(),
            subtitle: format!("fathom: run {}; bands {}", run.name, run.bands.join(", ")),
            command: "fathom validate".into(),
            numbers: "../metrics.json".into(),
            chapters,
            provenance: self.provenance(),
        }
    }

    fn summary(&self) -> Vec<Block> {
        let metrics = &self.metrics.metrics;
        let mut blocks = Vec::new();
        if metrics.iter().all(|m| m.value.is_none()) {
            blocks.push(Block::Text(
                "Without truth there is nothing to judge the catalog by; below is what the data show by themselves.".into(),
            ));
        }
        blocks.push(Block::Headlines(headlines(metrics)));
        blocks.extend(self.metrics.notes.iter().map(|note| Block::Text(format!("Note: {note}"))));
        blocks.push(Block::Text(
            "Large: measured value; below it its 95 % interval, the limit that theory sets to the same data, and the number of objects. \
             Every record stands in ../metrics.json (schema: documentation of fathom_validation::MetricsFile)."
                .into(),
        ));
        blocks.extend(verdicts(&self.metrics.requirements));
        blocks.push(Block::Heading("What was run".into()));
        blocks.push(Block::Table(pairs(["what", "value"], &self.facts)));
        blocks
    }

    /// A stage's pictures, plots and tables; none if there is nothing.
    fn stage(&self, section: Section) -> Option<Chapter> {
        let mut blocks = Vec::new();
        for note in self.stage_texts.iter().filter(|t| t.section == section) {
            blocks.push(Block::Heading(note.title.clone()));
            blocks.push(Block::Text(note.text.clone()));
            if !note.grid.rows.is_empty() {
                blocks.push(long(format!("{} rows", note.grid.rows.len()), note.grid.clone()));
            }
        }
        if section == Section::Coadd {
            blocks.extend(self.field.as_ref().and_then(field_picture).map(Block::Picture));
        }
        let maps = self.maps.iter().filter(|(plot, _)| plot.section == section);
        blocks.extend(maps.map(|(plot, source)| Block::Map { plot: plot.clone(), source: source.clone() }));
        blocks.extend(self.plots.iter().filter(|p| p.section == section).cloned().map(Block::Plot));
        if section == Section::Deblending {
            blocks.extend(self.gallery());
        }
        let of_stage: Vec<&Metric> = self.metrics.metrics.iter().filter(|m| Section::of_metric(&m.name) == Some(section)).collect();
        blocks.extend(stage_tables(&of_stage, "../metrics.json"));
        (!blocks.is_empty()).then(|| Chapter { id: section.id().into(), title: section.title().into(), blocks })
    }

    /// Records of no known stage.
    fn others(&self) -> Option<Chapter> {
        let records: Vec<&Metric> = self.metrics.metrics.iter().filter(|m| Section::of_metric(&m.name).is_none()).collect();
        let blocks = stage_tables(&records, "../metrics.json");
        (!blocks.is_empty()).then(|| Chapter { id: "others".into(), title: "Other figures".into(), blocks })
    }

    fn gallery(&self) -> Vec<Block> {
        if self.blends_note.is_empty() && self.blends.is_empty() {
            return Vec::new();
        }
        let mut blocks = vec![Block::Heading("The worst blends".into()), Block::Text(self.blends_note.clone())];
        for (i, sheet) in self.blends.iter().enumerate() {
            // One is enough to know whether to look at the others.
            let inner = sheet_blocks(sheet);
            let title = format!("{}. parent {}: {}", i + 1, sheet.parent_id, sheet.score);
            if i == 0 {
                blocks.push(Block::Heading(title));
                blocks.extend(inner);
            } else {
                blocks.push(Block::Fold { summary: title, blocks: inner });
            }
        }
        blocks
    }

    fn configuration(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Fold { summary: "Resolved configuration".into(), blocks: vec![Block::Code(self.config.clone())] }];
        if self.skipped.is_empty() {
            blocks.push(Block::Text("No exposure was skipped.".into()));
        } else {
            blocks.push(Block::Table(pairs(["skipped exposure", "why"], &self.skipped)));
        }
        blocks
    }

    /// What may differ between two runs of the same configuration: versions, machine size, times.
    fn provenance(&self) -> Vec<Block> {
        let mut blocks = vec![
            Block::Text("Only this section may differ between two runs of the same configuration on the same pixels.".into()),
            Block::Table(pairs(["what", "value"], &self.provenance)),
        ];
        if !self.timing.is_empty() {
            let mut times = Grid::new(&["phase", "tasks", "time [s]"]);
            times.rows = self.timing.iter().map(|(phase, n, seconds)| vec![phase.clone(), n.to_string(), number(*seconds)]).collect();
            blocks.push(Block::Table(times));
        }
        blocks
    }
}

fn pairs(heads: [&str; 2], rows: &[(String, String)]) -> Grid {
    let mut grid = Grid::new(&heads);
    grid.rows = rows.iter().map(|(a, b)| vec![a.clone(), b.clone()]).collect();
    grid
}

fn sheet_blocks(sheet: &BlendSheet) -> Vec<Block> {
    // Without the truth's pixels the columns that need them would be empty.
    let has_truth = sheet.truth_njy_byx.is_some();
    let shown = |heads: &[&str], rows: Vec<(String, Vec<Option<Stamp>>)>| {
        let is_shown = |i: &usize| has_truth || !heads[*i].contains("truth");
        let columns: Vec<usize> = (0..heads.len()).filter(is_shown).collect();
        let rows = rows.into_iter().map(|(label, row)| (label, columns.iter().map(|&i| row[i].clone()).collect())).collect();
        (columns.iter().map(|&i| heads[i].to_owned()).collect::<Vec<String>>(), rows)
    };
    let ((heads, rows), (child_heads, child_rows)) = (shown(&SHEET_HEADS, sheet_stamps(sheet)), shown(&CHILD_HEADS, child_stamps(sheet)));
    let truth = if has_truth {
        " Model − truth is noise where the model is right."
    } else {
        " The truth's pixels were not kept ([truth] pixels = false)."
    };
    let missed = if sheet.n_missed > 0 {
        format!(" {} true objects of the blend have no child of their own.", sheet.n_missed)
    } else {
        String::new()
    };
    let pixels = StampGrid {
        heads,
        rows,
        caption: format!(
            "Around ra {:.5}°, dec {:.5}°. Light in an asinh stretch; residuals from −5 σ (blue) to +5 σ (orange) of a pixel's noise. Children \
             sum to the data inside the parent, so data − model shows what lies outside it.{truth}{missed}",
            sheet.at_deg.0, sheet.at_deg.1
        ),
        source: "blends/, coadd/, truth_pixels/ of the first arm".into(),
    };
    let children = StampGrid {
        heads: child_heads,
        rows: child_rows,
        caption: "Each child beside the true object that it is matched with, in colour; the residual in the band where it is largest."
            .into(),
        source: "blends/, truth_pixels/ of the first arm, validation.h5 /matches".into(),
    };
    vec![Block::Stamps(pixels), Block::Stamps(children), Block::Table(child_grid(sheet))]
}

fn child_grid(sheet: &BlendSheet) -> Grid {
    let heads = ["child", "object", "status", "truth", "separation [arcsec]", "band", "true flux [nJy]", "light held [nJy]", "held / true"];
    let mut grid = Grid::new(&heads);
    grid.heads.extend(["PSF flux [nJy]", "its error [nJy]"].map(String::from));
    let shown = |v: f64| if v.is_finite() { number(v) } else { "–".into() };
    for (i, child) in sheet.children.iter().enumerate() {
        for (b, (band, [flux, error, truth])) in sheet.bands.iter().zip(&child.flux_njy).enumerate() {
            let held: f64 = child.njy_byx.index_axis(Axis(0), b).iter().map(|v| f64::from(*v)).filter(|v| v.is_finite()).sum();
            grid.rows.push(vec![
                (i + 1).to_string(),
                child.object_id.to_string(),
                child.status.clone(),
                if child.truth_id == 0 { "–".into() } else { child.truth_id.to_string() },
                shown(child.separation_arcsec),
                band.clone(),
                shown(*truth),
                shown(held),
                shown(held / truth),
                shown(*flux),
                shown(*error),
            ]);
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Figure;
    use crate::picture::BlendChild;
    use crate::report::{html, markdown};
    use crate::{Outcome, Quantity, RunInfo, Verdict};
    use ndarray::Array3;

    fn report(metrics: Vec<Metric>, requirements: Vec<Verdict>) -> RunReport {
        let run = RunInfo { name: "trial".into(), bands: vec!["g".into()], config_hash: "0".into(), exposures_key: "0".into() };
        RunReport {
            title: "trial".into(),
            metrics: MetricsFile { schema: 1, run, notes: vec!["arm main: the catalog has no rows".into()], metrics, requirements },
            plots: vec![],
            maps: vec![],
            facts: vec![("seed".into(), "1".into())],
            field: None,
            blends: vec![],
            blends_note: String::new(),
            stage_texts: vec![],
            skipped: vec![("main/g_01".into(), "no PSF".into())],
            config: "[run]".into(),
            provenance: vec![("host".into(), "node-7".into())],
            timing: vec![],
        }
    }

    fn verdict(name: &str, outcome: Outcome) -> Verdict {
        Verdict {
            name: name.into(),
            metric: "detection.purity".into(),
            band: String::new(),
            class: String::new(),
            regime: String::new(),
            of: Quantity::Value,
            min: Some(0.9),
            max: None,
            unit: String::new(),
            value: (outcome != Outcome::NotMeasured).then_some(0.8),
            lo: None,
            hi: None,
            n: 10,
            margin: None,
            is_certain: true,
            outcome,
            why: "to be trusted".into(),
        }
    }

    /// Every record has a place, verdicts stand in the summary with what fails first, and the text has all but the provenance.
    #[test]
    fn a_report_says_everything_once() {
        let metric = |name: &str| Metric::new(name, "", Figure { value: Some(0.8), lo: None, hi: None, n: 10 });
        let metrics = vec![metric("detection.purity"), metric("deblend.blend_fraction").regime("snr 5-10"), metric("unheard.of")];
        let verdicts = [("a", Outcome::Pass), ("b", Outcome::Fail), ("c", Outcome::NotMeasured)].map(|(n, o)| verdict(n, o));
        let document = report(metrics, verdicts.into()).document();
        let ids: Vec<&str> = document.chapters.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["summary", "detection", "deblending", "others", "configuration"]);
        let text = markdown::text(&document);
        for part in ["arm main: the catalog has no rows", "1 pass, 1 fail, 1 are not measured.", "no PSF", "unheard.of", "snr 5-10"] {
            assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
        }
        assert!(text.find("| b ").unwrap() < text.find("| a ").unwrap() && !text.contains("node-7"), "{text}");
        let page = html::page(&document).unwrap();
        assert!(page.contains("node-7") && page.contains("class=\"bad\">fail") && !page.contains("://"), "{page}");
    }

    /// Without anything measured the page says so, and does not fail.
    #[test]
    fn nothing_measured_is_said() {
        let text = markdown::text(&report(vec![], vec![]).document());
        assert!(text.contains("Without truth there is nothing to judge") && text.contains("**purity**: not measured"), "{text}");
    }

    /// What a child holds is summed from its pixels; without the truth's pixels no column stays empty.
    #[test]
    fn a_sheet_shows_what_there_is() {
        let child = BlendChild {
            object_id: 11,
            truth_id: 5,
            status: "matched".into(),
            separation_arcsec: 0.1,
            flux_njy: vec![[3.0, 0.5, 8.0]],
            njy_byx: Array3::from_elem((1, 2, 3), 1.0),
            truth_njy_byx: None,
        };
        let mut sheet = BlendSheet {
            parent_id: 10,
            at_deg: (150.0, 2.0),
            score: "score 3".into(),
            bands: vec!["g".into()],
            sigma_njy: vec![1.0],
            data_njy_byx: Array3::from_elem((1, 2, 3), 1.0),
            truth_njy_byx: None,
            children: vec![child],
            n_missed: 0,
        };
        assert_eq!(child_grid(&sheet).rows[0][6..], ["8", "6", "0.7500", "3", "0.5000"]);
        let columns = |sheet: &BlendSheet| match &sheet_blocks(sheet)[..2] {
            [Block::Stamps(all), Block::Stamps(children)] => (all.heads.len(), all.rows[0].1.len(), children.heads.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(columns(&sheet), (3, 3, 1));
        sheet.truth_njy_byx = Some(sheet.data_njy_byx.clone());
        assert_eq!(columns(&sheet), (5, 5, 3));
    }
}
