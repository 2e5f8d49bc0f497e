# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why sessions are ended, and the words for it in the journal."""

from __future__ import annotations

EXPIRED = "expired"
REMOVED = "removed"
REVOKED = "revoked"
LIFETIME = "lifetime"
DRAINED = "drained"
ENDED = "ended"

WORDS = {
    EXPIRED: "their token has expired",
    REMOVED: "their token was removed",
    REVOKED: "their token was revoked",
    LIFETIME: "they have lasted as long as they may",
    DRAINED: "the gate is being drained",
    ENDED: "an operator has them ended",
}
