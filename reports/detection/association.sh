#!/bin/sh
# The runs behind association.md, and its figures: two fields at three densities, associated by both rules on the same detections. Needs python3 with numpy, scipy,
# h5py and matplotlib.
#
#   reports/detection/association.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
: > reports/detection/association.txt
for seed in 71 77; do
    runs=''
    for density in 30 100 250; do
        for rules in likelihood lsst; do
            run=$out/seed$seed/${density}_$rules
            reuse=''
            [ $rules = likelihood ] || reuse="--reuse $out/seed$seed/${density}_likelihood"
            resume=''
            for phase in sky expose visit coadd detect seams associate truth; do
                $fathom $phase reports/detection/association.toml --out "$run" --set run.seed=$seed --set sky.scaled.density_per_arcmin2=$density \
                    --set associate.rules=$rules $reuse $resume
                resume=--resume
            done
            runs="$runs $run"
        done
    done
    echo "Seed $seed" >> reports/detection/association.txt
    # The figure is that of the last field.
    # shellcheck disable=SC2086
    ${PYTHON:-python3} reports/detection/association.py reports/detection/association.png $runs >> reports/detection/association.txt
done
