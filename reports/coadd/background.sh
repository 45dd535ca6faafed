#!/bin/sh
# The runs behind background.md, and its figures: the same exposures with backgrounds matched, from each visit alone, and matched to a
# single reference. Needs python3 with numpy, scipy, h5py and matplotlib.
#
#   reports/coadd/background.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
phases() { # NAME [ARGUMENTS]
    name=$1
    shift
    resume=''
    for phase in sky expose visit match solve deep-background coadd; do
        $fathom $phase reports/coadd/background.toml --out "$out/$name" "$@" $resume
        resume=--resume
    done
}
phases matched
phases visit --set match.background=visit --reuse "$out/matched"
phases reference --set solve.pairs=reference --reuse "$out/matched"
${PYTHON:-python3} reports/coadd/background.py reports/coadd/background.txt reports/coadd/background.png \
    "matched=$out/matched" "visit mesh=$out/visit" "single reference=$out/reference"
