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
# A ladder of 0.25 FWHM a window with other settings, on the last of them.
others=''
for set in bright_threshold=60 bright_threshold=20 motion_threshold=2.5; do
    run=$out/$set
    mkdir -p "$run"
    cp -r "$out/seed$seed/main" "$out/seed$seed/config.toml" "$out/seed$seed/provenance.json" "$run"
    rm -r "$run/main/layers"
    bright=20
    [ $set = bright_threshold=60 ] && bright=60
    motion=3.5
    [ $set = motion_threshold=2.5 ] && motion=2.5
    $fathom detect reports/detection/movers.toml --out "$run" --threads "${THREADS:-2}" --set run.seed="$seed" --resume \
        --set detect.movers.fastest_arcsec_per_day=0.2 --set detect.movers.bright_threshold=$bright --set detect.movers.motion_threshold=$motion
    others="$others $run"
done
# shellcheck disable=SC2086
{
    ${PYTHON:-python3} reports/detection/movers.py reports/detection/movers.png $runs
    ${PYTHON:-python3} reports/detection/movers.py brief $others
} > reports/detection/movers.txt
