# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the page of playbook check looks: light and dark, narrow and wide, on the screen and on paper."""

from __future__ import annotations

_LIGHT = """
    --ground: #f1f4f7; --card: #ffffff; --text: #17212b; --muted: #4d5b68; --soft: #dde3e9; --link: #0a58a6;
    --ok: #0a6638; --ok-ground: #e2f4e9; --warning: #6b4700; --warning-ground: #fdf1d7;
    --critical: #a01c17; --critical-ground: #fbe9e7; --unknown: #5a2d8c; --unknown-ground: #f1e9fa;
"""
_DARK = """
    --ground: #10161c; --card: #1a232c; --text: #e7edf3; --muted: #a9b6c2; --soft: #2c3843; --link: #7bbcff;
    --ok: #7fe0a7; --ok-ground: #12301f; --warning: #ffd27a; --warning-ground: #352a10;
    --critical: #ffaaa3; --critical-ground: #3a1816; --unknown: #d5b8ff; --unknown-ground: #2a1d3d;
"""
STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT.strip()} }}
@media screen and (prefers-color-scheme: dark) {{
  :root {{ {_DARK.strip()} }}
}}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; padding: 1.5rem 1rem 3rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}}
body > * {{ max-width: 76rem; margin-left: auto; margin-right: auto; }}
h1, h2, h3, h4, p, dl, ul {{ margin: 0; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.625rem; line-height: 1.25; }}
h2 {{ margin-top: 2rem; margin-bottom: .75rem; font-size: 1.25rem; }}
h3 {{ font-size: 1.125rem; }}
h4 {{ font-size: 1rem; }}
h3, h4 {{ display: flex; gap: .625rem; justify-content: space-between; align-items: flex-start; }}
ul {{ list-style: none; padding: 0; }}
a {{ color: var(--link); }}
.muted, dt {{ color: var(--muted); }}
.badge {{
  flex: none; border-radius: .375rem; padding: .0625rem .5rem; font-size: .8125rem; font-weight: 700;
  background: var(--level-ground); color: var(--level); border: 1px solid currentColor;
}}
.ok {{ --level: var(--ok); --level-ground: var(--ok-ground); }}
.warning {{ --level: var(--warning); --level-ground: var(--warning-ground); }}
.critical {{ --level: var(--critical); --level-ground: var(--critical-ground); }}
.unknown {{ --level: var(--unknown); --level-ground: var(--unknown-ground); }}
.verdict {{
  margin-top: 1rem; padding: .75rem 1rem; border-left: .375rem solid var(--level); border-radius: .5rem;
  background: var(--level-ground); font-size: 1.125rem; font-weight: 700; color: var(--level);
}}
.problems li {{
  display: flex; gap: .75rem; align-items: flex-start; padding: .5rem 0; border-bottom: 1px solid var(--soft);
}}
.problems .badge {{ min-width: 5.5rem; text-align: center; }}
.problems p {{ min-width: 0; }}
.host {{
  background: var(--card); border: 1px solid var(--soft); border-left: .375rem solid var(--level);
  border-radius: .75rem; padding: 1rem; margin-bottom: 1rem;
}}
.items {{
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: .75rem;
  margin-top: .75rem;
}}
.item {{ min-width: 0; border: 1px solid var(--soft); border-radius: .5rem; padding: .75rem; }}
.item:not(.ok) {{ border-color: var(--level); }}
dl {{
  display: grid; grid-template-columns: fit-content(55%) minmax(0, 1fr); gap: 0 .75rem; margin-top: .25rem;
  font-size: .9375rem;
}}
dd {{ margin: 0; min-width: 0; overflow-wrap: anywhere; }}
.wrong {{ margin-top: .5rem; color: var(--level); font-weight: 600; font-size: .9375rem; overflow-wrap: anywhere; }}
@media (max-width: 30rem) {{
  .problems li {{ flex-direction: column; gap: .25rem; }}
}}
@media print {{
  body {{ padding: 0; background: none; font-size: .75rem; }}
  .badge, .verdict {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  .item, .problems li {{ break-inside: avoid; }}
  h2, h3 {{ break-after: avoid; }}
}}
"""
