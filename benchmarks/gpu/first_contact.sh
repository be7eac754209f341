#!/usr/bin/env bash
# What to run first on a new GPU, in 420 s at most; results are appended in FOLDER as they come.
#   benchmarks/gpu/first_contact.sh [FOLDER] [options of first_contact.py, such as --second]
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=benchmarks/gpu/results
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    folder=$1
    shift
fi
export PYTHONUNBUFFERED=1
nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv || true
exec timeout --kill-after=5 420 "${PYTHON:-python3}" benchmarks/gpu/first_contact.py --write "$folder" "$@"
