#!/usr/bin/env bash
# Prints the variables with which the helper crate's feature `cuda` builds (a GPU is not needed to build):
#
#     source <(bash kernel-ext/lab/cuda-toolkit.sh)
#     cargo build --locked -p onramp --features cuda
#
# They name this machine's CUDA toolkit when there is one of version 12 or 13. Otherwise a toolkit is made from NVIDIA's wheels
# on PyPI (1 GB), once, below target/lab/cuda.
set -euo pipefail

for nvcc in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -x "$nvcc" ] && "$nvcc" --version | grep -qE 'release 1[23]\.'; then
        home=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
        # With a GPU in the machine, the build asks it for its compute capability.
        command -v nvidia-smi >/dev/null || echo "export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-90}"
        echo "export CUDA_HOME=$home CUDA_PATH=$home NVCC=$nvcc PATH=$home/bin:\$PATH"
        exit
    fi
done

root=$(cd "$(dirname "$0")/../.." && pwd)
toolkit=$root/target/lab/cuda
# 13.0: newer ones than the drivers in the field serve nobody, and cudarc knows up to 13.4.
wheels="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-nvrtc==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35"

if [ ! -e "$toolkit/complete" ]; then
    python3 -m venv "$toolkit" >&2
    # shellcheck disable=SC2086
    "$toolkit/bin/pip" install --quiet --disable-pip-version-check --no-deps $wheels >&2
    lib=$(echo "$toolkit"/lib/python3*/site-packages/nvidia/cu13)/lib
    for library in "$lib"/lib*.so.*; do
        ln -sf "$(basename "$library")" "${library%%.so.*}.so"
    done
    # The driver's library is on machines with a GPU; linking needs no more than its name and those of its functions.
    { grep -ohE '\bcu[A-Z][A-Za-z0-9_]+' "$lib/../include/cuda.h" && printf 'cuProfiler%s\n' Initialize Start Stop; } |
        sort -u | sed 's/.*/void &(void) {}/' |
        cc -shared -x c -Wl,-soname,libcuda.so.1 -o "$lib/libcuda.so" -
    touch "$toolkit/complete"
fi

home=$(echo "$toolkit"/lib/python3*/site-packages/nvidia/cu13)
cat <<END
export CUDA_HOME=$home CUDA_PATH=$home NVCC=$home/bin/nvcc CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-90} CUDARC_CUDA_VERSION=13000
export PATH=$home/bin:\$PATH LIBRARY_PATH=$home/lib LD_LIBRARY_PATH=$home/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
END
