#!/bin/sh
# Peak memory of the coadd phase for 5, 20 and 80 exposures of speed.toml on one rank of two threads.
#
#   reports/coadd/memory.sh OUT        (from the repository's root, after `make build`; needs 50 MB of disk an exposure)
set -eu
out=$1
fathom=${FATHOM:-target/release/fathom}
for n in ${NUMBERS:-5 20 80}; do
    resume=''
    for phase in sky expose visit coadd; do
        $fathom $phase reports/coadd/speed.toml --out "$out/$n" --threads 2 --set camera.n_exposures=$n $resume 2>"$out.log" || { cat "$out.log"; exit 1; }
        resume=--resume
    done
    ${PYTHON:-python3} -c "import json, sys; print(sys.argv[2], 'exposures:', json.dumps(json.load(open(sys.argv[1]))))" "$out/$n/timing.json" $n
done
