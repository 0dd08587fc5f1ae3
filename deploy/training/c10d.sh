#!/bin/sh
# One training on machines that find each other: run the same on each. The one whose address is HEAD keeps the list.
# HEAD=10.0.0.1 NUM_MACHINES=2 sh c10d.sh yanmo train data/reviews --model bert-4x312 --num-threads 8 --out models/bert
# Data, --out and what is beside it must be on storage that all of them share. When one is lost, all end; the same command
# on the same number of machines goes on from the last checkpoint, with the same bits.
set -eu
: "${HEAD:?the address of the machine that keeps the list}" "${NUM_MACHINES:?how many machines there are}"
[ -z "${INTERFACE:-}" ] || export GLOO_SOCKET_IFNAME="$INTERFACE"
# This machine's address on the way to HEAD, as HEAD has it; ADDRESS says another one.
here="${ADDRESS:-$(ip -o route get "$HEAD" | sed -n 's/.* src \([^ ]*\).*/\1/p')}"
: "${here:?what this machine is called on the way to HEAD is not known: give ADDRESS}"
[ "$here" = "$HEAD" ] && is_host=true || is_host=false
# Nobody is started again alone: what has learned together goes on together.
exec torchrun --nnodes "$NUM_MACHINES" --nproc-per-node "${NUM_WORKERS:-1}" --max-restarts 0 --local-addr "$here" \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:${PORT:-29500}" --rdzv-id "${NAME:-yanmo}" --rdzv-conf "is_host=$is_host" \
    --no-python "$@"
