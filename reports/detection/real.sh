#!/bin/sh
# The runs behind real.md, its figures and pictures. FATHOM_DATA names the folder that holds real/decam_grz_9epoch and real/hsc_cosmos_blends.
# Needs python3 with numpy, scipy, h5py, matplotlib, astropy and sep.
#
#   reports/detection/real.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
python=${PYTHON:-python3}
phases() { # NAME CONFIGURATION [ARGUMENTS]
    name=$1
    config=reports/detection/real_$2.toml
    shift 2
    resume=''
    for phase in expose visit artifacts clip coadd detect seams associate; do
        $fathom $phase "$config" --out "$out/$name" "$@" $resume
        resume=--resume
    done
}
phases decam decam
phases decam_lsst decam --set associate.rules=lsst --reuse "$out/decam"
# Without the search for artifacts.
phases decam_all decam --set artifacts.find=false --reuse "$out/decam"
$python reports/detection/real.py prepare "$FATHOM_DATA" "$out/cutouts"
phases hsc hsc --set "expose.layout=\"$out/cutouts/layout.toml\""
phases hsc_lsst hsc --set "expose.layout=\"$out/cutouts/layout.toml\"" --set associate.rules=lsst --reuse "$out/hsc"
$python reports/detection/real.py compare "$FATHOM_DATA" "$out" reports/detection > reports/detection/real.txt
# The blends with point sources.
fakes=''
for seed in 1 2 3 4 5 6 7 8; do
    $python reports/detection/real_fakes.py inject "$FATHOM_DATA" "$out/hsc" "$out/fakes$seed/cutouts" $seed
    phases fakes$seed/hsc hsc --set "expose.layout=\"$out/fakes$seed/cutouts/layout.toml\""
    phases fakes$seed/hsc_lsst hsc --set "expose.layout=\"$out/fakes$seed/cutouts/layout.toml\"" --set associate.rules=lsst --reuse "$out/fakes$seed/hsc"
    fakes="$fakes $out/fakes$seed"
done
# shellcheck disable=SC2086
$python reports/detection/real_fakes.py compare $fakes > reports/detection/real_fakes.txt
