#!/usr/bin/env bash
# Debian packages that some checks need on this machine, beside a Docker Engine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_command chromium chromium fonts-dejavu-core # scenario browser
need_command shellcheck shellcheck              # lint
need_command strace strace                      # tests/functional/test_cost.py
