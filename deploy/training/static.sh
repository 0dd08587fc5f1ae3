#!/bin/sh
# One training on machines that are known by name: run this on each, with its number from 0 as the first argument.
# HEAD=10.0.0.1 NUM_MACHINES=2 sh static.sh 0 yanmo train data/reviews --model bert-4x312 --num-threads 8 --out models/bert
# Data, --out and what is beside it must be on storage that all of them share.
set -eu
: "${HEAD:?the address of machine 0}" "${NUM_MACHINES:?how many machines there are}"
number=$1
shift
# Of several networks gloo takes that of the host's name, which may lead nowhere: INTERFACE says which one it is.
[ -z "${INTERFACE:-}" ] || export GLOO_SOCKET_IFNAME="$INTERFACE"
exec torchrun --nnodes "$NUM_MACHINES" --node-rank "$number" --nproc-per-node "${NUM_WORKERS:-1}" \
    --master-addr "$HEAD" --master-port "${PORT:-29500}" --no-python "$@"
