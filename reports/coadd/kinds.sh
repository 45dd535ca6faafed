#!/bin/sh
# The runs behind kinds.md, and its figures: empty fields with a known sky in narrow, usual and wide seeing, several seeds of each, and stars under the
# same exposures. A run is deleted when its figures are taken: 4 GB of disk at a time. Needs python3 with numpy, scipy and h5py.
#
#   reports/coadd/kinds.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM, SEEDS as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
phases() { # NAME SCATTER SEED [ARGUMENTS]
    name=$1
    scatter=$2
    seed=$3
    shift 3
    resume=''
    for phase in sky expose visit coadd psf-matched combine; do
        $fathom $phase reports/coadd/kinds.toml --out "$out/$name" --set camera.psf.seeing_sigma_ln="$scatter" --set run.seed="$seed" "$@" $resume
        resume=--resume
    done
}
for seed in ${SEEDS:-1 2 3 4}; do
    for scatter in 0.05 0.2 0.35; do
        figures=$out/${scatter}_$seed.json
        [ -e "$figures" ] && continue
        rm -rf "$out/blank" "$out/stars"
        phases blank $scatter $seed
        # The same seed draws the same exposures: only the sky differs.
        phases stars $scatter $seed --set sky.field=grid --set 'sky_map.tract_cells=[10,10]' --set 'camera.size_px=[760,760]' --set camera.variance=expected
        $python reports/coadd/kinds.py figures "$out/blank" "$out/stars" "$figures"
        rm -rf "$out/blank" "$out/stars"
    done
done
$python reports/coadd/kinds.py table "$out"/*.json > reports/coadd/kinds.txt
# Smaller fields with defects, and with edges of detectors.
phases defects 0.2 71 --set 'sky_map.tract_cells=[18,18]' --set 'camera.size_px=[1300,1300]' --set camera.n_bad_columns=2 --set camera.hot_pixel_fraction=0.0005 \
    --set camera.cosmic_rays=40
phases edges 0.2 71 --set 'sky_map.tract_cells=[18,18]' --set 'camera.size_px=[560,560]' --set 'camera.layout.detectors=[2,2]' --set 'camera.layout.gap_px=[30,30]' \
    --set camera.dither_arcsec=12
$python reports/coadd/kinds.py places "$out/defects" "$out/edges" >> reports/coadd/kinds.txt
