#!/bin/sh
# Sees that this machine can build and run fathom, and installs what is missing where that is possible.
#
#   jobs/setup.sh               silent when nothing is missing; exit 2 and one line when something is and cannot be installed
#   jobs/setup.sh --features    prints the features cargo builds with on this machine (nothing: the default ones)
#
# Every need is tried, not looked up in a package list, so an environment of modules serves as well:
# MPICC and FATHOM_LAUNCHER name the MPI, HDF5_DIR the HDF5, LIBCLANG_PATH the libclang.
set -eu

have() { command -v "$1" >/dev/null 2>&1; }
have_package() { have pkg-config && pkg-config --exists "$1" 2>/dev/null; }

have_cc() { have "${CC:-cc}"; }
have_mpicc() { if [ -n "${MPICC:-}" ]; then have "$MPICC"; else mpicc -show >/dev/null 2>&1; fi; }
have_launcher() { launcher=${FATHOM_LAUNCHER:-mpirun}; have "${launcher%% *}"; }
have_hdf5() {
    if [ -n "${HDF5_DIR:-}" ]; then [ -e "$HDF5_DIR/include/hdf5.h" ]; else have_package hdf5; fi
}

# The version of the newest libclang, as bindgen takes it; empty without one.
libclang_version() {
    for lib in /usr/lib/*/libclang-[0-9]*.so* /usr/lib*/libclang-[0-9]*.so* /usr/lib/llvm-*/lib/libclang[.-]*so* \
        /usr/lib*/libclang.so* /usr/local/lib*/libclang*.so*; do
        [ -e "$lib" ] || continue
        version=${lib#*/libclang-}
        [ "$version" != "$lib" ] || version=${lib#*/llvm-}
        [ "$version" != "$lib" ] || version=${lib##*.so.}
        version=${version%%[!0-9]*}
        echo "${version:-0}"
    done | sort -n | tail -n 1
}
# libclang without the compiler's own headers finds no stddef.h.
have_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    have clang && for lib in "$(dirname "$(command -v clang)")"/../lib*/libclang.so*; do [ ! -e "$lib" ] || return 0; done
    clang=$(libclang_version)
    [ -n "$clang" ] || return 1
    for header in "/usr/lib/llvm-$clang"/lib/clang/*/include/stddef.h /usr/lib*/clang/"${clang#0}"*/include/stddef.h \
        /usr/local/lib*/clang/"${clang#0}"*/include/stddef.h; do
        [ ! -e "$header" ] || return 0
    done
    return 1
}

if [ "${1:-}" = --features ]; then
    have_package cfitsio || echo --no-default-features
    exit 0
fi

missing='' packages='' modules='' fits=''
need() { # NAME PACKAGES MODULES
    missing="$missing${missing:+, }$1" packages="$packages $2" modules="$modules${modules:+, }$3"
}
have cargo || { echo "setup: no cargo: install a Rust toolchain (rustup) or load its module" >&2; exit 2; }
have_cc || need "a C compiler" "gcc libc6-dev" "a compiler"
have_mpicc || need "MPI's compiler wrapper" "libopenmpi-dev" "an MPI (MPICC names another wrapper than mpicc)"
have_launcher || need "MPI's launcher" "openmpi-bin" "its launcher (FATHOM_LAUNCHER names another than mpirun)"
have_libclang || need "libclang with its headers" "@libclang" "LLVM or clang (LIBCLANG_PATH names the folder of libclang.so)"
if ! have_hdf5; then
    # The HDF5 of the MPI at hand; a serial one serves as well.
    hdf5=libhdf5-openmpi-dev
    if have mpicc && ! mpicc -show 2>/dev/null | grep -qi openmpi; then hdf5=libhdf5-dev; fi
    need "HDF5" "$hdf5" "HDF5 (HDF5_DIR names its prefix)"
fi
[ -n "${HDF5_DIR:-}" ] || have pkg-config || need "pkg-config" "pkg-config" "pkg-config"
have_package cfitsio || fits=libcfitsio-dev

[ -n "$missing$fits" ] || exit 0

as_root=
able=no
if have apt-get; then
    if [ "$(id -u)" = 0 ]; then
        able=yes
    elif have sudo && sudo -n true 2>/dev/null; then
        able=yes as_root="sudo -n"
    fi
fi

if [ $able = no ]; then
    if [ -n "$missing" ]; then
        echo "setup: missing: $missing; load modules of $modules, or have the administrator install$(echo "$packages" | sed 's/@libclang/libclang-dev/')" >&2
        exit 2
    fi
    echo "setup: no cfitsio: built without FITS import (load its module, pkg-config must find it, to have it)"
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" >>"$log" 2>&1 </dev/null; }

# A repository that does not answer is no reason to stop: the installation tells.
apt update || true

# The libclang installed already lacks its headers, or else the distribution's own, or else the newest that has headers.
choose_libclang() {
    available=$(apt-cache search --names-only '^libclang(1|-common)-[0-9]+(-dev)?$' | sed 's/ .*//')
    of_system=$(apt-cache depends libclang-dev 2>/dev/null | sed -n 's/.*Depends: libclang-\([0-9]*\)-dev.*/\1/p' | head -n 1)
    newest=$(echo "$available" | sed -n 's/^libclang1-//p' | sort -rn)
    for version in $(libclang_version) $of_system $newest; do
        if echo "$available" | grep -qx "libclang1-$version" && echo "$available" | grep -qx "libclang-common-$version-dev"; then
            echo "libclang1-$version libclang-common-$version-dev"
            return
        fi
    done
    echo libclang-dev
}
case $packages in
    *@libclang*) packages=$(echo "$packages" | sed "s/@libclang/$(choose_libclang)/") ;;
esac
packages="${packages# }${packages:+${fits:+ }}$fits"

echo "setup: installing $packages"
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $packages; then
    # FITS alone is no reason to stop.
    required=${packages%"$fits"}
    if [ -n "$fits" ] && { [ -z "$required" ] || apt install -y --no-install-recommends $required; }; then
        echo "setup: no $fits here: built without FITS import"
    else
        tail -n 3 "$log" >&2
        echo "setup: apt-get could not install $packages" >&2
        exit 1
    fi
fi
