# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hub has lost that this gate knows as taken back, and what the gate appends to its own stream because of it.

It holds here at once, whatever becomes of the hub meanwhile: fingerprints by what is pending, the rest because the
merge of what the hub has takes it as well.
"""

from __future__ import annotations

import typing as t

from .._hub import records
from .._hub.merge import Merge, Touched


class Lost(t.NamedTuple):
    """Fingerprints to be revoked, records to be appended with the millisecond that each has at least, and what changes.

    Records are of cut-offs and signed tokens.
    """

    fingerprints: t.Set[str]
    records: t.List[t.Tuple[t.List[str], int]]
    touched: t.List[Touched]


def take(former: Merge, merge: Merge, now: int) -> Lost:
    """Find it, and have the merge know of it; ``now`` is the hub's clock, in seconds."""
    touched, again = [], []
    for cut in former.cut_offs_lost_by(merge):
        touched.append(merge.hold_cut_off(cut))
        again.append((records.cut_off_again(cut), cut.id[0]))
    for key, one in former.signed_lost_by(merge, now).items():
        merge.hold_signed(key, one)
        touched.append(Touched(signed=key))
        again.append((records.take_back(*key, one.before, one.until), 0))
    # What the merge has barred by the cut-offs is not lost: a token that was issued anew after one stays.
    return Lost(former.lost_by(merge), again, touched)
