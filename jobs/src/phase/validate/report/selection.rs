//! The table of decisions: which exposures the coadds are made of, and why.

use crate::run::Run;
use anyhow::Result;
use fathom_validation::Section;
use fathom_validation::report::{Grid, StageText};

/// Every exposure of every coadd: part of it or not, the reason, what was predicted.
pub fn table(run: &Run, arm: usize) -> Result<StageText> {
    let mut grid =
        Grid::new(&["coadd", "exposure", "part of it", "reason", "FWHM [arcsec]", "ellipticity", "5 σ depth [mag]", "gain [mag]"]);
    let decisions = run.decisions(arm)?;
    let number = |v: f64, digits: usize| if v.is_finite() { format!("{v:.digits$}") } else { "–".to_owned() };
    for (name, _, _) in run.coadd_names() {
        for d in &decisions[&name] {
            grid.rows.push(vec![
                name.clone(),
                d.id.to_string(),
                if d.is_selected { "yes" } else { "no" }.to_owned(),
                d.reason.clone(),
                number(d.fwhm_arcsec, 2),
                number(d.ellipticity, 3),
                number(d.depth_mag, 2),
                number(d.gain_mag, 4),
            ]);
        }
    }
    Ok(StageText {
        section: Section::Background,
        title: "Selection".into(),
        text: format!(
            "What each exposure adds to the figure of merit of the direct coadd, as predicted from PSFs and noise, in the order in which \
             they were taken ([select]). Made by fathom coadd; {}/coadd/*.h5, table selection.",
            run.arms[arm].name
        ),
        grid,
    })
}
