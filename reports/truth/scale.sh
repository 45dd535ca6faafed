#!/bin/sh
# Time and memory of an exposure against the size of the catalog: reports/truth/scale.sh FATHOM
set -eu
here=$(dirname "$0")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for cells in 16 49 156; do
    "$1" sky "$here/scale.toml" --out "$out/$cells" --threads 1 --set "sky_map.tract_cells=[$cells, $cells]" 2>/dev/null
    "$1" expose "$here/scale.toml" --out "$out/$cells" --threads 1 --set "sky_map.tract_cells=[$cells, $cells]" 2>/dev/null
    python3 - "$out/$cells" <<'PY'
import json, sys
import h5py
folder = sys.argv[1]
timing = json.load(open(f"{folder}/timing.json"))
n = int(h5py.File(f"{folder}/main/truth.h5")["truth"].attrs["n_rows"])
drawn = [int(h5py.File(f"{folder}/main/drawn/r_{i:02}.h5")["drawn"].attrs["n_rows"]) for i in range(4)]
phase = next(p for p in timing["phases"] if p["phase"] == "expose")
print(f"{n:8} objects in the catalog, {sum(drawn) / 4:6.0f} touch an exposure: {phase['seconds'] / 4:.2f} s an exposure, "
      f"{1e3 * phase['seconds'] / sum(drawn):.3f} ms an object, {timing['peak_memory_mb_by_rank'][0]:.0f} MB")
PY
done
