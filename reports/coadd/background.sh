#!/bin/sh
# The runs behind background.md, and its figures: the same exposures with backgrounds matched, from each visit alone, matched to a single reference
# (a detector; a whole visit), to an earlier coadd, and to their own coadd in a second pass. Needs python3 with numpy, scipy, h5py and matplotlib.
#
#   reports/coadd/background.sh OUT        (from the repository's root, after `make build`; RANKS, PYTHON, FATHOM as environment variables)
set -eu
out=$1
fathom="jobs/launch.sh ${RANKS:-2} ${FATHOM:-target/release/fathom}"
phases() { # NAME [ARGUMENTS]
    name=$1
    shift
    resume=''
    for phase in sky expose visit match solve deep-background coadd; do
        $fathom $phase reports/coadd/background.toml --out "$out/$name" "$@" $resume
        resume=--resume
    done
}
of_visits() { # FOLDER EXPOSURES...: a folder of these exposures alone
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    shift
    for exposure in "$@"; do
        ln -sf "$(cd "$(dirname "$exposure")" && pwd)/$(basename "$exposure")" "$folder"
    done
}
phases matched
phases visit --set match.background=visit --reuse "$out/matched"
phases reference --set solve.pairs=reference --reuse "$out/matched"

# The visit that covers most of the tract, with its own mesh, as the template of all.
of_visits "$out/visit_1" "$out"/matched/main/exposures/r_01_*.h5
phases visit_1_coadd --set expose.mode=import --set expose.folder="$PWD/$out/visit_1" --set match.background=visit
phases reference_visit --set match.template="$PWD/$out/visit_1_coadd" --set solve.pairs=reference --reuse "$out/matched"

# Four more visits of the same sky, matched among themselves, as an earlier coadd.
for phase in sky expose; do
    $fathom $phase reports/coadd/background.toml --out "$out/more" --set camera.n_exposures=13 --resume
done
of_visits "$out/earlier" "$out"/more/main/exposures/r_09_*.h5 "$out"/more/main/exposures/r_1[0-2]_*.h5
phases earlier_coadd --set expose.mode=import --set expose.folder="$PWD/$out/earlier"
phases template --set match.template="$PWD/$out/earlier_coadd" --reuse "$out/matched"

# Two passes.
phases second --set match.template="$PWD/$out/matched" --reuse "$out/matched"

${PYTHON:-python3} reports/coadd/background.py reports/coadd/background.txt reports/coadd/background.png \
    "matched=$out/matched" "visit mesh=$out/visit" "single reference: a detector=$out/reference" "single reference: a visit=$out/reference_visit" \
    "an earlier coadd=$out/template" "second pass=$out/second"
