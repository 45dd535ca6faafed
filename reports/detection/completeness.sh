#!/bin/sh
# The runs behind completeness.md, and its figures: fields of isolated sources and blank ones of the same camera, searched by the grid and by the cull. A
# field is deleted when its sources are looked up: 2 GB of disk at a time. Needs python3 with numpy, scipy, h5py and matplotlib.
#
#   reports/detection/completeness.sh OUT     (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM, FIELDS as environment variables)
set -eu
export OPENBLAS_NUM_THREADS=1
out=$(mkdir -p "$1" && cd "$1" && pwd)
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
page=reports/detection/completeness
$python $page.py pointings "$out/pointings.csv"
for field in ${FIELDS:-blank1 compact2 extended12}; do
    [ -e "$out/$field.npz" ] && continue
    seed=$(echo "$field" | tr -dc 0-9) kind=$(echo "$field" | tr -d 0-9)
    run=$out/$field
    settings="--out $run --set run.seed=$seed --set camera.cadence.pointings=$out/pointings.csv ${SMALL:-}"
    if [ "$kind" = blank ]; then
        settings="$settings --set sky.field=empty"
    else
        $python $page.py scene "$kind" "$seed" "$out/blank1.npz" "$run.csv"
        settings="$settings --set sky.catalog.file=$run.csv"
    fi
    rm -rf "$run"
    resume=''
    for phase in sky expose visit coadd; do
        $fathom $phase $page.toml $settings $resume
        resume=--resume
    done
    for strategy in grid cull; do
        $fathom detect $page.toml $settings --resume --set detect.strategy=$strategy
        $python $page.py peaks "$run" "$run.$strategy.npz"
    done
    $python $page.py take "$kind" "$run" "$run.npz"
    rm -rf "$run"
done
$python $page.py figures "$out" $page.png > $page.txt
