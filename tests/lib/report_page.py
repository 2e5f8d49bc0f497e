# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of playbook check in a browser: what has to hold of it at each width, light, dark and on paper."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

WIDTHS = (360, 1280)
# https://www.w3.org/TR/WCAG22/#contrast-minimum
LEAST_CONTRAST = 4.5
PICTURES = Path(__file__).resolve().parents[2] / ".cache" / "artifacts" / "report"

# Each element that has text of its own, with the contrast of the colours that the browser has worked out for it. A
# ground that is partly transparent would have to be mixed; there is none, and one is an error.
CONTRASTS = """() => {
    const channels = text => {
        const found = text.match(/^rgba?\\(([^)]*)\\)$/)[1].split(/[ ,/]+/).map(Number);
        return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (let one = element; one; one = one.parentElement) {
            const { rgb, alpha } = channels(getComputedStyle(one).backgroundColor);
            if (alpha === 1) return rgb;
            if (alpha !== 0) throw new Error(`a ground of ${one.tagName} is partly transparent`);
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
        if (!own) continue;
        const colours = [channels(getComputedStyle(element).color).rgb, ground(element)];
        const [lighter, darker] = colours.map(luminance).sort((a, b) => b - a);
        const name = `${element.tagName}.${element.className}: ${own.slice(0, 60)}`;
        found.push([(lighter + 0.05) / (darker + 0.05), name]);
    }
    return found;
}"""
# What sticks out of the window, and text that is wider than what it is in.
OVERFLOWS = """() => {
    const width = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > width ? ['the page'] : [];
    for (const element of document.body.querySelectorAll('*')) {
        const box = element.getBoundingClientRect();
        if (box.right > width + 0.5 || box.left < -0.5 || element.scrollWidth > element.clientWidth + 1
                && getComputedStyle(element).display !== 'inline')
            found.push(`${element.tagName}.${element.className}: ${element.textContent.slice(0, 60)}`);
    }
    return found;
}"""


def look(browser: Browser, url: str, name: str) -> None:
    """Look at the page in every way, and keep a picture of each."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    grounds = set()
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            asked: list[str] = []
            messages: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, messages=messages: messages.append(message.text))
            page.on("pageerror", lambda error, messages=messages: messages.append(str(error)))
            page.on("dialog", lambda dialog, messages=messages: (messages.append("dialog"), dialog.dismiss()))
            page.goto(url)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            wide = page.evaluate(OVERFLOWS)
            assert wide == [], (width, scheme, wide)
            contrasts = page.evaluate(CONTRASTS)
            assert len(contrasts) > 10
            assert min(contrasts)[0] >= LEAST_CONTRAST, (width, scheme, min(contrasts))
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert page.title().startswith("wssgate check: ")
            # Links within the page, and nothing else
            for link in page.locator("a").all()[:3]:
                link.click()
            assert [one for one in asked if not one.startswith("data:")] == [url], asked
            assert messages == []
            # Who prints at night wants no black paper.
            page.emulate_media(media="print")
            printed = page.evaluate(CONTRASTS)
            assert min(printed)[0] >= LEAST_CONTRAST, (scheme, min(printed))
            assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(23, 33, 43)"
            context.close()
    assert len(grounds) == 2, "light and dark differ"
