#!/bin/sh
# The run behind sep_reference.md, and its figures. FATHOM_DATA names the folder that holds real/sep_reference (image, SExtractor catalog of sep's tests).
# Needs python3 with numpy, scipy, h5py, matplotlib, astropy and sep.
#
#   reports/detection/sep_reference.sh OUT        (from the repository's root, after `make build`; PYTHON, FATHOM as environment variables)
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
fathom="jobs/launch.sh 1 ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
$python reports/detection/sep_reference.py prepare "$FATHOM_DATA" "$out/exposure"
resume=''
for phase in expose visit coadd detect; do
    $fathom $phase reports/detection/sep_reference.toml --out "$out/run" --set "expose.layout=\"$out/exposure/layout.toml\"" $resume
    resume=--resume
done
$python reports/detection/sep_reference.py compare "$FATHOM_DATA" "$out/run" reports/detection/sep_reference.png > reports/detection/sep_reference.txt
