#!/bin/sh
# The runs behind the section on M17: eight frames matched, and with each frame's own mesh; figures and picture. FATHOM_DATA names the data.
#
#   reports/coadd/m17.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
phases() { # NAME [ARGUMENTS]
    name=$1
    shift
    resume=''
    for phase in expose visit match solve deep-background coadd; do
        $fathom $phase reports/coadd/m17.toml --out "$out/$name" "$@" $resume
        resume=--resume
    done
}
phases matched
phases visit --set match.background=visit --reuse "$out/matched"
${PYTHON:-python3} reports/coadd/m17.py "$out/matched" reports/coadd/m17.txt reports/coadd/m17.png "visit mesh=$out/visit"
