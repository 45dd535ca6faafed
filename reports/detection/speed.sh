#!/bin/sh
# Detection beside sep, and association of a million peaks, on one core in one run; needs python3 with numpy, scipy and sep.
#
#   reports/detection/speed.sh        (from the repository's root, on a machine that does nothing else)
set -eu
cargo bench --workspace --bench chain -- 'detect|associate' | grep -E '^(detect|associate)|time:|thrpt:'
${PYTHON:-python3} reports/detection/speed.py
