#!/bin/sh
# The runs behind bright_stars.md, and its figures: saturated stars with trails, spikes and halos, associated by both rules on the same detections. Needs
# python3 with numpy, scipy, astropy, h5py and matplotlib.
#
#   reports/detection/bright_stars.sh OUT       (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
report=reports/detection/bright_stars
mkdir -p "$out"
${PYTHON:-python3} $report.py --sky "$out/sky.csv"
sky=$(cd "$out" && pwd)/sky.csv
phases() { # NAME SETTINGS
    name=$1
    shift
    resume=''
    for phase in sky expose visit coadd detect seams associate; do
        $fathom $phase $report.toml --out "$out/$name" --set sky.catalog.file="$sky" "$@" $resume
        resume=--resume
    done
}
phases likelihood --set associate.rules=likelihood
phases lsst --set associate.rules=lsst --reuse "$out/likelihood"
${PYTHON:-python3} $report.py $report.png "$out/likelihood" "$out/lsst" > $report.txt
