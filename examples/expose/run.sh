#!/bin/sh
# Runs the example on one machine: one node offers a local web server to the mesh with
# -R, and another node fetches a page from it. Needs nexd and nexservice in $BIN
# (default: ../../bin), curl, and $SERVE, a command that serves HTTP on 127.0.0.1:$PORT.
set -eu
cd "$(dirname "$0")"
BIN=${BIN:-$(cd ../../bin && pwd)}
PORT=${PORT:-18000}
PROXY=${PROXY:-127.0.0.1:21080}
SERVICE=${SERVICE:-127.0.0.1:28443}
work=$(mktemp -d)
echo "hello from the laptop's loopback" >"$work/index.html"
SERVE=${SERVE:-"busybox httpd -f -p 127.0.0.1:$PORT -h $work"}
pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

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

echo "1. the service, and a web server that only this machine can reach"
echo "only for this example" >"$work/password"
"$BIN/nexservice" bootstrap --db="$work/nexd.db" --user=you@example.org --password-file="$work/password" \
  --reg-key-out="$work/reg.key" --public-url="https://$SERVICE" >/dev/null
stay service "$BIN/nexservice" serve --db="$work/nexd.db" --listen="$SERVICE"
$SERVE &
pids="$! $pids"

echo "2. the laptop offers it as port 80 of its mesh addresses"
stay laptop "$BIN/nexd" --userspace --proxy-listen=off -R "80:127.0.0.1:$PORT" --hostname=laptop --state-dir="$work/laptop" \
  --reg-key-file="$work/reg.key" "https://$SERVICE"

echo "3. another node fetches it by name"
stay node1 "$BIN/nexd" --userspace --proxy-listen="$PROXY" --hostname=node1 --state-dir="$work/node1" \
  --reg-key-file="$work/reg.key" "https://$SERVICE"
curl -sS --max-time 20 -x "socks5h://$PROXY" http://laptop/ | sed 's/^/  /'
