#!/bin/sh
# The run behind the PSF-matched part of the coadd's PSF, its table and its figure. Needs python3 with numpy, h5py and matplotlib.
#
#   reports/coadd/psf_matched.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
resume=''
for phase in sky expose visit psf-matched; do
    $fathom $phase reports/coadd/psf_matched.toml --out "$out" $resume
    resume=--resume
done
${PYTHON:-python3} reports/coadd/psf_matched.py "$out" reports/coadd/psf_matched.png > reports/coadd/psf_matched.txt
