#!/bin/sh
# Pictures of the named fields: sky_pictures.sh OUT_FOLDER. Needs python3 with pillow for the PNGs.
set -eu
out=$1
for field in survey scaled grid pairs cluster crowded movers injected empty; do
    cargo run -q --release -p fathom-sim --example picture -- "$field" "$out/$field.ppm"
    # 420 pixels a side and five bits a colour keep a page of them small.
    python3 -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).resize((420, 420), Image.BOX).point(lambda v: v & 0xF8).save(sys.argv[2], optimize=True)' \
        "$out/$field.ppm" "$out/field_$field.png"
    rm "$out/$field.ppm"
done
