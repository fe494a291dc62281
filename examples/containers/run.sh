#!/bin/sh
# Runs the walkthrough on one machine with Docker: two networks, two routers, a laptop
# node, and a page from each container. Needs nexd and nexservice in $BIN (default:
# ../../bin), docker, curl, and an image $IMAGE with a web server that $SERVE starts
# (default: busybox httpd). Removes everything at the end.
set -eu
cd "$(dirname "$0")"
BIN=${BIN:-$(cd ../../bin && pwd)}
IMAGE=${IMAGE:-busybox}
SERVE=${SERVE:-'mkdir -p /www && echo "hello from $NAME" > /www/index.html && exec httpd -f -p 80 -h /www'}
PROXY=${PROXY:-127.0.0.1:11080}
SERVICE=${SERVICE:-127.0.0.1:18443}
work=$(mktemp -d)
id=nexd-$$
pids=

down() {
  for p in $pids; do kill "$p" 2>/dev/null || true; done
  wait
  docker rm -f "$id-web1" "$id-web2" >/dev/null 2>&1 || true
  docker network rm "$id-net1" "$id-net2" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap down EXIT
trap 'exit 1' INT TERM

# stay LOG COMMAND… starts a command and waits for its ready line.
stay() {
  log=$work/$1.log; shift
  "$@" >"$log" 2>"$log.err" &
  pids="$! $pids"
  for _ in $(seq 100); do
    if grep -q '^ready ' "$log"; then sed 's/^/  /' "$log"; return; fi
    sleep 0.1
  done
  echo "did not start: $*" >&2; cat "$log.err" >&2; exit 1
}

echo "1. the service"
echo "only for this example" >"$work/password"
"$BIN/nexservice" bootstrap --db="$work/nexd.db" --user=you@example.org --password-file="$work/password" \
  --reg-key-out="$work/reg.key" --public-url="https://$SERVICE" >/dev/null
stay service "$BIN/nexservice" serve --db="$work/nexd.db" --listen="$SERVICE"

echo "2. two networks with a container each, and a router for each"
for n in 1 2; do
  if [ "$n" = 1 ]; then net=172.24.0; else net=172.28.0; fi
  docker network create --driver=bridge --subnet=$net.0/24 "$id-net$n" >/dev/null
  docker run -d --name "$id-web$n" --network "$id-net$n" --ip $net.10 -e NAME="web$n" "$IMAGE" sh -c "$SERVE" >/dev/null
  stay "node$n" "$BIN/nexd" router --userspace --proxy-listen=off --hostname="node$n" --state-dir="$work/node$n" \
    --reg-key-file="$work/reg.key" --advertise-cidr=$net.0/24 "https://$SERVICE"
done

echo "3. the laptop"
stay laptop "$BIN/nexd" --userspace --proxy-listen="$PROXY" --hostname=laptop --state-dir="$work/laptop" \
  --reg-key-file="$work/reg.key" "https://$SERVICE"

echo "4. a page from each container"
for ip in 172.24.0.10 172.28.0.10; do
  curl -sS --max-time 20 --retry 5 --retry-connrefused -x "socks5h://$PROXY" "http://$ip/" | sed 's/^/  /'
done
"$BIN/nexd" status --state-dir="$work/laptop"
