#!/usr/bin/env bash
# Builds the benchmark of a GPU as one file, target/lab/onramp-gpu, which runs on any Linux machine with an NVIDIA GPU and the
# libraries of CUDA, without Rust: copy it there and run it. Set CUDA_COMPUTE_CAP to that GPU's compute capability times ten
# (90 for an H100 or H200, 89 for an RTX 4090, 80 for an A100) when this machine has none itself.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
# shellcheck disable=SC1090
source <(bash kernel-ext/lab/cuda-toolkit.sh)

# Without the workspace's own flags all Rust code goes into the program itself.
RUSTFLAGS='' cargo build --locked -p onramp --bin onramp-worker --features cuda --target-dir target/lab/gpu-benchmark >&2
program=$(echo target/lab/gpu-benchmark/*/debug/onramp-worker)

made=target/lab/onramp-gpu
cat - <(gzip -9 --stdout "$program") >"$made.new" <<'START'
#!/bin/sh
# Measures this machine's GPU; `--help` names the options. The program follows this script, compressed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
LC_ALL=C sed '1,/^exit$/d' "$0" | gzip -dc >"$folder/onramp-worker"
chmod +x "$folder/onramp-worker"
# CUDA's libraries: those of a toolkit, or those that a Python with PyTorch brings along.
of_python=$(python3 -c 'import glob, sys
print(":".join(folder for place in sys.path for folder in sorted(glob.glob(place + "/nvidia/*/lib"))))' 2>/dev/null || true)
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64${of_python:+:$of_python}
export LD_LIBRARY_PATH
if ! "$folder/onramp-worker" --help >"$folder/help" 2>"$folder/why"; then
    echo "onramp-gpu can't start: $(cat "$folder/why")" >&2
    echo "It needs NVIDIA's driver, and cuBLAS, cuRAND and NVRTC of the CUDA version that it was built with, in" >&2
    echo "/usr/local/cuda/lib64, in a Python with PyTorch, or in a folder that LD_LIBRARY_PATH names." >&2
    exit 2
fi
if [ "${1:-}" = --help ]; then cat "$folder/help" && exit; fi
"$folder/onramp-worker" --gpu-benchmark "$@"
exit
START
chmod +x "$made.new"
mv "$made.new" "$made"
echo "$made ($(($(stat -c %s "$made") >> 20)) MiB)"
