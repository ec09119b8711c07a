#!/usr/bin/env bash
# A Ray head on this machine, with token authentication, for trying `ray job submit`:
#
#   cluster/local.sh start    start it; prints what to export
#   cluster/local.sh stop     stop the processes that `start` started
#
# PORT (6379), DASHBOARD_PORT (8265) and AGENT_PORT (52365, of the agent that takes jobs) may be set, as they must be where
# another Ray runs on the machine; everything listens on loopback.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
bin="${RAYLABEL_BIN:-$root/.venv/bin}"
state="${RAYLABEL_CLUSTER_DIR:-$root/.venv/cluster}"
port="${PORT:-6379}"
dashboard="${DASHBOARD_PORT:-8265}"
agent="${AGENT_PORT:-52365}"

start() {
    mkdir -p "$state"
    if [ -s "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null; then
        echo "a head started from here is running already (process $(cat "$state/pid")); stop it first" >&2
        exit 2
    fi
    [ -s "$state/token" ] || (umask 077; "$bin/python" -c 'import secrets; print(secrets.token_hex(32))' >"$state/token")
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$state/token" RAY_USAGE_STATS_ENABLED=0
    # `ray job submit` runs `python`: let it be the environment that raylabel is installed in.
    PATH="$bin:$PATH" nohup "$bin/ray" start --head --block --port "$port" --node-ip-address 127.0.0.1 \
        --dashboard-host 127.0.0.1 --dashboard-port "$dashboard" --dashboard-agent-listen-port "$agent" \
        --disable-usage-stats \
        >"$state/head.log" 2>&1 &
    echo $! >"$state/pid"
    echo "starting a head, and waiting until a first job has run on it: half a minute or so; its log is $state/head.log" >&2
    # The dashboard answers well before a job agent is there to take a job: ready is when one has run.
    export RAY_API_SERVER_ADDRESS="http://127.0.0.1:$dashboard"
    for _ in $(seq 15); do
        if "$bin/ray" job submit -- true >"$state/probe.log" 2>&1; then
            cat <<MESSAGE
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$state/token
export RAY_API_SERVER_ADDRESS=$RAY_API_SERVER_ADDRESS
# then: ray job submit --working-dir jobs -- python run.py "\$PWD/campaign.toml" --set compute.address=auto
MESSAGE
            return
        fi
        kill -0 "$(cat "$state/pid")" 2>/dev/null || { cat "$state/head.log" >&2; exit 1; }
        sleep 1
    done
    echo "the head takes no jobs; is ray[default] installed (pip install -e '.[cluster]')? see $state/head.log and $state/probe.log" >&2
    stop
    exit 1
}

stop() {
    [ -s "$state/pid" ] || { echo "nothing was started from here"; return; }
    local pid
    pid="$(cat "$state/pid")"
    kill "$pid" 2>/dev/null || true
    echo "stopping the head (process $pid): Ray lets its work end for up to 30 s" >&2
    for _ in $(seq 120); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$state/pid"; return; }
        sleep 0.5
    done
    echo "the head (process $pid) is still there after 60 s; see $state/head.log, and stop it again or kill it" >&2
    exit 1
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
