#!/bin/sh
# The runs behind association.md, and its figures: three densities, associated by both rules on the same detections. Needs python3 with numpy, scipy,
# h5py and matplotlib.
#
#   reports/detection/association.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
runs=''
for density in 30 100 250; do
    for rules in likelihood lsst; do
        run=$out/${density}_$rules
        reuse=''
        [ $rules = likelihood ] || reuse="--reuse $out/${density}_likelihood"
        resume=''
        for phase in sky expose visit coadd detect seams associate truth; do
            $fathom $phase reports/detection/association.toml --out "$run" --set sky.scaled.density_per_arcmin2=$density \
                --set associate.rules=$rules $reuse $resume
            resume=--resume
        done
        runs="$runs $run"
    done
done
${PYTHON:-python3} reports/detection/association.py reports/detection/association.png $runs > reports/detection/association.txt
