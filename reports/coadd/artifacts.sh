#!/bin/sh
# The runs behind artifacts.md, and its figures: one sky seen without artifacts, with artifacts that masks show (to know where they are), and
# with the same artifacts and no mask, searched under each policy. Needs python3 with numpy, scipy, h5py and matplotlib.
#
#   reports/coadd/artifacts.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM, NUMBERS as environment variables)
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
$python reports/coadd/artifacts.py scene "$out/scene.csv"
phases() { # LAST NAME [ARGUMENTS]
    last=$1 name=$2
    shift 2
    resume=''
    for phase in sky expose visit artifacts clip coadd; do
        $fathom $phase reports/coadd/artifacts.toml --out "$out/$name" --set "sky.catalog.file=$out/scene.csv" "$@" $resume
        resume=--resume
        [ $phase != "$last" ] || break
    done
}
# A b: under a bright sky, a hundred times as bright, where cosmic rays are faint.
for n in ${NUMBERS:-3 5 10 5b}; do
    number="--set camera.n_exposures=${n%b}"
    [ "$n" = "${n%b}" ] || number="$number --set camera.sky_e=[40000.0,60000.0]"
    clean='--set camera.cosmic_rays=0.0 --set camera.detector.satellites=0.0'
    phases expose $n/rays $number --set camera.detector.satellites=0.0 --set camera.detector.cosmic_rays_flagged=true
    phases expose $n/trails $number --set camera.cosmic_rays=0.0 --set camera.detector.satellites_flagged=true
    phases coadd $n/clean $number $clean --set artifacts.find=false
    phases clip $n/static $number $clean --reuse "$out/$n/clean"
    phases coadd $n/none $number --set artifacts.find=false
    phases coadd $n/mean $number --set artifacts.transients=mean --set artifacts.movers=mean --reuse "$out/$n/none"
    phases coadd $n/exclude $number --set artifacts.variables=exclude --reuse "$out/$n/mean"
    phases coadd $n/leave $number --set artifacts.variables=leave --set artifacts.transients=leave --set artifacts.movers=leave --reuse "$out/$n/mean"
done
$python reports/coadd/artifacts.py figures reports/coadd/artifacts.txt reports/coadd/artifacts.png "$out" ${NUMBERS:-3 5 10 5b}
