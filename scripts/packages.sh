#!/usr/bin/env bash
# Debian packages that some checks need on this machine, beside a Docker Engine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# Without the server's own package, which would start one: the program is in this one, by another name.
need_command redis-check-rdb redis-tools        # tests/functional/test_hub.py, test_hub_tokens.py
need_command chromium chromium fonts-dejavu-core # scenario browser
need_command eslint eslint                      # lint; its reader of JavaScript: make mutants
need_command shellcheck shellcheck              # lint
need_command strace strace                      # tests/functional/test_cost.py
# tests/functional/test_hub_applications.py: the clients that docs/hub-tokens.md has examples for
need_command php php-cli php-redis
need_file /usr/lib/python3/dist-packages/redis python3-redis
need_file /usr/share/nodejs/redis node-redis
need_file /usr/lib/python3/dist-packages/prometheus_client python3-prometheus-client # the agent's metrics
