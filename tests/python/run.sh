#!/bin/sh
# Tests with other people's tools: the report's page in a browser, the files in astropy, pyarrow and h5py.
#
#   tests/python/run.sh [ARGUMENTS OF PYTEST]
#
# RUN names a finished run folder of the binary; without it the demo is run first. Screenshots are left in ARTIFACTS.
# What is missing (a browser, Python's venv) is installed where that is possible.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
work=$target/python
export ARTIFACTS="${ARTIFACTS:-$work/artifacts}" FATHOM="${FATHOM:-$target/release/fathom}"
mkdir -p "$work" "$ARTIFACTS"

have() { command -v "$1" >/dev/null 2>&1; }
missing=''
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="python3 python3-venv"
have chromium || have chromium-browser || have google-chrome || [ -n "${CHROMIUM:-}" ] || missing="$missing chromium"
if [ -n "$missing" ]; then
    as_root=''
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "tests/python: installing$(printf ' %s' $missing)"
    apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >"$work/apt.log" 2>&1 </dev/null; }
    apt update || true
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends $missing || { tail -n 3 "$work/apt.log" >&2; exit 1; }
fi

# Made again when the list changes.
venv=$work/venv
if ! cmp -s tests/python/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt
    cp tests/python/requirements.txt "$venv/requirements.txt"
fi

if [ -z "${RUN:-}" ]; then
    RUN=$work/demo
    jobs/launch.sh "${RANKS:-2}" "$FATHOM" run demo --out "$RUN" --overwrite >"$work/demo.log" 2>&1 || { cat "$work/demo.log" >&2; exit 1; }
fi
export RUN
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/python "$@"
