#!/bin/sh
# The runs behind psf.md, its tables and its figure. Needs python3 with numpy, scipy, h5py and matplotlib.
#
#   reports/coadd/psf.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
phases() { # NAME [ARGUMENTS]
    name=$1
    shift
    resume=''
    for phase in sky expose visit coadd psf-matched combine; do
        $fathom $phase reports/coadd/psf.toml --out "$out/$name" "$@" $resume
        resume=--resume
    done
}
pairs() { # NAME [ARGUMENTS]: by two rules for edges
    pair=$1
    shift
    phases $pair "$@" --set psf_matched.min_kernel_weight=0.97
    phases $pair-cell "$@" --set coadd.edges=cell --set psf_matched.min_kernel_weight=0.99 --reuse "$out/$pair"
}
pairs mix
for seeing in 0.5 0.6 0.8 1.0; do
    pairs $seeing --set "camera.seeing_arcsec=[$seeing,$seeing]"
done
${PYTHON:-python3} reports/coadd/psf.py "$out" reports/coadd/psf.png > reports/coadd/psf.txt
${PYTHON:-python3} reports/coadd/psf_edges.py "$out" >> reports/coadd/psf.txt
