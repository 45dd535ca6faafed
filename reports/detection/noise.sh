#!/bin/sh
# The runs behind noise.md, and its figures: four fields of 5120 x 5120 blank pixels, searched with nominal thresholds and with those of three rates of
# false peaks asked for, by the grid and by the cull. A field is deleted when its peaks are taken: 5 GB of disk at a time. Needs python3 with numpy, scipy,
# matplotlib and h5py.
#
#   reports/detection/noise.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM, SEEDS as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
alone="jobs/launch.sh 1 ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
mkdir -p "$out"
for seed in ${SEEDS:-1 2 3 4}; do
    run=$out/field$seed
    detect() { # NAME [ARGUMENTS]: searches again, and takes the peaks
        peaks=$out/$1_$seed.npz
        shift
        [ ! -e "$peaks" ] || return 0
        # Every rank calibrates for itself: one, with all cores.
        $alone detect reports/detection/noise.toml --out "$run" --set run.seed="$seed" --resume "$@"
        $python reports/detection/noise.py take "$run" "$peaks"
    }
    [ -e "$out/done_$seed" ] && continue
    resume=''
    [ -d "$run" ] && resume=--resume
    for phase in sky expose visit coadd; do
        $fathom $phase reports/detection/noise.toml --out "$run" --set run.seed="$seed" $resume
        resume=--resume
    done
    $python reports/detection/noise.py sky "$run" "$out/sky_$seed.npz"
    detect nominal
    # One offset to all thresholds makes the rate: it is sought from a nominal threshold that makes about as many.
    for rate in 4 1 0.25; do
        threshold=5
        [ $rate = 4 ] && threshold=4
        detect "grid-$rate" --set detect.false_peaks_per_arcmin2=$rate --set detect.threshold=$threshold
        detect "cull-$rate" --set detect.false_peaks_per_arcmin2=$rate --set detect.threshold=$threshold --set detect.strategy=cull
    done
    # A rate sought from a nominal threshold much too low; and layers by themselves, which are those of the grid.
    if [ "$seed" = 1 ]; then
        detect far-0.25 --set detect.false_peaks_per_arcmin2=0.25
        detect r-alone --set 'detect.seds=["r"]' --set 'detect.morphologies_arcsec=[0.0]'
        detect free-alone --set 'detect.seds=["free_sed"]' --set 'detect.morphologies_arcsec=[0.0]'
    fi
    touch "$out/done_$seed"
    rm -rf "$run"
done
$python reports/detection/noise.py table "$out" reports/detection/noise.png > reports/detection/noise.txt
