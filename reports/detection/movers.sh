#!/bin/sh
# The runs behind movers.md, and its figures: movers of S/N 1.5 in each of 30 windows, of 0.05 to 1 FWHM a window. Needs python3 with numpy, scipy, astropy,
# h5py and matplotlib.
#
#   reports/detection/movers.sh OUT        (from the repository's root, after `make build`; SEEDS, THREADS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom=${FATHOM:-target/release/fathom}
runs=''
for seed in ${SEEDS:-31 32}; do
    run=$out/seed$seed
    resume=''
    for phase in sky expose visit coadd detect; do
        $fathom $phase reports/detection/movers.toml --out "$run" --threads "${THREADS:-2}" --set run.seed="$seed" $resume
        resume=--resume
    done
    runs="$runs $run"
done
# shellcheck disable=SC2086
${PYTHON:-python3} reports/detection/movers.py reports/detection/movers.png $runs > reports/detection/movers.txt
