#!/usr/bin/env bash
# Makes sure that Chromium is there, which scenario browser drives, and a font to write with.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

need_command chromium chromium fonts-dejavu-core
