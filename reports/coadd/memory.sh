#!/bin/sh
# Peak memory of the coadds of a patch of 4096 x 4096 pixels, on one rank of two threads: for a number of exposures (of as many pixels) and of bands. Each run is
# deleted when it is done.
#
#   reports/coadd/memory.sh OUT        (from the repository's root, after `make build`; needs 270 MB of disk an exposure; PYTHON, FATHOM, CASES and SIZE, the
# pixels of a side of an exposure, as environment variables)
set -eu
out=$1
fathom=${FATHOM:-target/release/fathom}
size=${SIZE:-4096}
mkdir -p "$out"
for case in ${CASES:-5:r 20:r 80:r 5:u,g,r,i,z,y}; do
    n=${case%%:*}
    bands=$(echo "${case##*:}" | sed 's/[a-z]/"&"/g')
    rm -rf "$out/run"
    resume=''
    for phase in sky expose visit coadd psf-matched combine; do
        $fathom $phase reports/coadd/speed.toml --out "$out/run" --threads 2 --set sky.field=empty --set camera.n_exposures="$n" --set run.bands="[$bands]" \
            --set "camera.size_px=[$size,$size]" --set 'sky_map.tract_cells=[64,64]' --set psf_matched.make=true --set combine.proper=true \
            --set 'combine.multi_band=["chi2","free"]' $resume 2>"$out/log" || { cat "$out/log"; exit 1; }
        resume=--resume
        ${PYTHON:-python3} -c "import json, sys; t = json.load(open(sys.argv[1])); print(sys.argv[2], 'exposures in each of', sys.argv[3], sys.argv[4] + ':', round(t['peak_memory_mb_by_rank'][0]), 'MB,', round(t['cpu_s_by_rank'][0]), 'CPU s,', round(sum(p['seconds'] for p in t['phases'])), 's', flush=True)" "$out/run/timing.json" "$n" "${case##*:}" $phase
    done
    rm -rf "$out/run"
done
