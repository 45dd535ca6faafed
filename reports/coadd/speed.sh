#!/bin/sh
# CPU time of the coadd phase beside SWarp's for one weighted coadd of the same exposures with the same kernel, files read and written
# included, each on one thread. Needs SWarp, and python3 with numpy, h5py and astropy.
#
#   reports/coadd/speed.sh OUT        (from the repository's root, after `make build`, on a machine that does nothing else)
set -eu
out=$1
fathom=${FATHOM:-target/release/fathom}
python=${PYTHON:-python3}
resume=''
for phase in sky expose visit; do
    $fathom $phase reports/coadd/speed.toml --out "$out/run" $resume
    resume=--resume
done
$python reports/coadd/speed.py fits "$out/run" "$out/swarp"
$python reports/coadd/speed.py time "$out" "$fathom" reports/coadd/speed.toml
