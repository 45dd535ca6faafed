#!/bin/sh
# Starts a command on N ranks:   jobs/launch.sh N COMMAND...
#
# FATHOM_LAUNCHER is the launcher with options of its own (default: mpirun), e.g. "srun --mpi=pmix".
set -eu
[ $# -ge 2 ] || { echo "usage: $0 RANKS COMMAND..." >&2; exit 2; }
ranks=$1
shift
launcher=${FATHOM_LAUNCHER:-mpirun}
program=${launcher%% *}
command -v "$program" >/dev/null || { echo "launch: no $program here: load an MPI or set FATHOM_LAUNCHER" >&2; exit 2; }

# Open MPI refuses root, also in a container, unless told twice; other launchers ignore these.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1

options=
case $(basename "$program") in
    srun) options=--kill-on-bad-exit=1 ;;
    *)
        # fathom shares the cores between the ranks of a node itself.
        case $("$program" --version 2>/dev/null || true) in
            *"Open MPI"* | *OpenRTE* | *PRTE*)
                options="--bind-to none"
                # Open MPI counts cores, not hardware threads, and refuses more ranks; a batch system has counted already.
                [ -n "${SLURM_JOB_ID:-}${PBS_NODEFILE:-}${LSB_JOBID:-}" ] || options="$options --map-by :OVERSUBSCRIBE"
                # Containers forbid the copies between processes that it tries first.
                export OMPI_MCA_btl_vader_single_copy_mechanism="${OMPI_MCA_btl_vader_single_copy_mechanism:-none}"
                ;;
        esac
        ;;
esac
# shellcheck disable=SC2086
exec $launcher -n "$ranks" $options "$@"
