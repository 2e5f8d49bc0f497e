# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate as a browser meets it: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from lib import report_page, wire
from lib.molecule.browser import options_for
from lib.molecule.modules import run_playbook

STORE = "/var/lib/nginx/tokens"
TOKEN = "Browser_test-token-0123456789"
SITE = "https://wcs.example.com"
PAGE = f"{SITE}/check"
WIDTHS = (360, 1280)
ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / ".cache" / "artifacts" / "browser"
# What a handshake that does not wait for its own cookie overtakes: each takes Chromium a third of a millisecond.
MANY_COOKIES = "for (let i = 0; i < 500; i++) document.cookie = `other=${i}; Path=/nowhere; Secure`;"


@pytest.fixture(scope="session", autouse=True)
def _pictures():
    """The pictures of this run and of no other."""
    if PICTURES.exists():
        shutil.rmtree(PICTURES)
    PICTURES.mkdir(parents=True)


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def options(gate, tmp_path_factory):
    """How Chromium is started."""
    # The sites of this scenario are on the gate, whatever network this machine is on; no other site is there.
    sites = ("*.example.com", "evil.example.net", "partner.example.net")
    return options_for(gate, tmp_path_factory.mktemp("chromium"), sites, [gate.ca_path])


@pytest.fixture(scope="module")
def browser(playwright, options):
    browser = playwright.chromium.launch(**options)
    yield browser
    browser.close()


@pytest.fixture
def context(browser):
    context = browser.new_context()
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def profile(playwright, options, tmp_path_factory):
    """Chromium with a profile, the one place for settings that no flag has."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "Default").mkdir()
    # 0: third-party cookies are sent, 1: not from private windows.
    (folder / "Default" / "Preferences").write_text(json.dumps({"profile": {"cookie_controls_mode": 0}}))
    context = playwright.chromium.launch_persistent_context(folder, **options)
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def permissive(profile):
    """Windows that send cookies to other sites, where SameSite lets them.

    Those of `context` are private, and send none.
    """
    profile.clear_cookies()
    yield profile
    for page in profile.pages[1:]:
        page.close()


@pytest.fixture
def page(context):
    """A page, and everything it says and asks for on the way."""
    page = context.new_page()
    page.messages, page.asked = [], []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda socket: page.asked.append(socket.url))
    return page


@pytest.fixture
def token(host):
    host.check_output(f"touch {STORE}/{TOKEN}")
    yield TOKEN
    host.run(f"rm -f {STORE}/{TOKEN}")


def picture(page, state: str) -> None:
    """Keeps the state at each width, and sees that nothing sticks out of the page."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{state}-{width}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def connect(page, place: str) -> None:
    page.get_by_label("Location").select_option(place)
    page.get_by_role("button", name="Connect", exact=True).click()


def fill(page, token: str, place: str = "/wss") -> None:
    page.get_by_label("Location").select_option(place)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Connect", exact=True).click()


def state(page):
    return page.locator("#state")


def token_cookies(context):
    return {cookie["name"]: cookie for cookie in context.cookies() if cookie["name"].endswith("AUTH")}


def open_from(page, url: str) -> str:
    """Opens a WebSocket as any script of the page would; 'open' or 'closed CODE'."""
    return page.evaluate(
        """url => new Promise(resolve => {
            const socket = new WebSocket(url);
            socket.onopen = () => { resolve('open'); socket.close(); };
            socket.onclose = event => resolve('closed ' + event.code);
        })""",
        url,
    )


def page_of(context, origin: str):
    """An ordinary page of a site, without a policy of its own."""
    page = context.new_page()
    page.goto(f"{origin}/page.html")
    return page


def refusals(host) -> str:
    return host.check_output("tail -n 5 /var/log/nginx/wss_access.log")


def test_from_the_page_through_cookie_open_echo_and_close_until_the_cookie_is_gone(host, context, page, token):
    page.goto(PAGE)
    expect(state(page)).to_have_text("Not connected")
    picture(page, "1-start")
    fill(page, token)
    expect(state(page)).to_have_text("Connected")
    cookie = token_cookies(context)["AUTH"]
    assert cookie["value"] == token
    assert (cookie["path"], cookie["secure"], cookie["sameSite"]) == ("/wss", True, "Strict")
    assert cookie["domain"] == "wcs.example.com"
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"^[0-9.]+ ms$"))
    picture(page, "2-open")
    page.get_by_role("button", name="Disconnect").click()
    expect(state(page)).to_have_text("Closed")
    expect(page.locator("#code")).to_have_text("1000")
    assert token_cookies(context) == {}
    picture(page, "3-closed")


def test_the_handshake_waits_until_the_browser_has_stored_the_cookie(page, token):
    page.goto(PAGE)
    page.get_by_label("Token").fill(token)
    page.evaluate(f"{MANY_COOKIES} document.getElementById('connect').click()")
    expect(state(page)).to_have_text("Connected")


def test_the_token_is_in_no_url_no_storage_and_no_console_and_nothing_is_fetched_from_elsewhere(context, page, token):
    page.goto(PAGE)
    fill(page, token)
    expect(state(page)).to_have_text("Connected")
    page.get_by_role("button", name="Disconnect").click()
    expect(state(page)).to_have_text("Closed")
    assert page.messages == []
    assert page.asked == [PAGE, "wss://wcs.example.com/wss"]
    assert token not in page.url
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])") == "[{},{},null]"
    assert context.storage_state() == {"cookies": [], "origins": []}


def test_a_wrong_token_is_refused_with_advice_and_its_cookie_goes(host, context, page, token):
    page.goto(PAGE)
    fill(page, "no-such-token-0123456789")
    expect(page.locator("#explanation")).to_have_text("The gate is there and did not let this WebSocket through.")
    expect(page.locator("#code")).to_have_text("1006")
    expect(page.locator("#advice-list")).to_contain_text("Ask for a new one")
    assert token_cookies(context) == {}
    picture(page, "4-refused")
    assert '"reason":"token"' in refusals(host)


def test_without_a_token_the_page_asks_for_one_and_sends_nothing(context, page):
    page.goto(PAGE)
    for text, complaint in (("", "Enter a token."), ("../../etc/passwd", "This is no token")):
        fill(page, text)
        expect(page.get_by_role("alert")).to_contain_text(complaint)
        expect(page.get_by_label("Token")).to_be_focused()
    picture(page, "5-no-token")
    assert page.asked == [PAGE]
    assert token_cookies(context) == {}


def test_a_page_under_a_name_that_the_location_does_not_let_in_is_told_which(host, page):
    page.goto("https://www.example.com/check")
    connect(page, "/one-name")
    expect(page.locator("#explanation")).to_have_text("The gate is there and did not let this WebSocket through.")
    expect(page.locator("#advice-list")).to_contain_text("May pages of https://www.example.com connect here?")
    picture(page, "10-foreign-origin")
    assert '"location":"/one-name","status":403,"reason":"origin"' in refusals(host)


def test_without_a_token_a_script_of_the_right_page_is_refused(host, context):
    page = page_of(context, SITE)
    assert open_from(page, "wss://wcs.example.com/wss") == "closed 1006"
    assert '"reason":"token"' in refusals(host)


def test_a_page_on_a_foreign_origin_is_refused_with_a_good_token_in_the_cookie(host, permissive, token):
    # SameSite=None: the browser itself holds nothing back, so that only the gate stands in between.
    cookie = {
        "name": "AUTH",
        "value": token,
        "domain": "wcs.example.com",
        "path": "/wss",
        "secure": True,
        "sameSite": "None",
    }
    permissive.add_cookies([cookie])
    assert open_from(page_of(permissive, SITE), "wss://wcs.example.com/wss") == "open"
    assert open_from(page_of(permissive, "https://evil.example.net"), "wss://wcs.example.com/wss") == "closed 1006"
    assert '"reason":"origin"' in refusals(host)


def test_the_cookie_of_the_page_is_not_sent_from_another_site(host, permissive, token):
    # SameSite=None: this one goes along from everywhere, and shows that the page's could have.
    control = {
        "name": "control",
        "value": "from-everywhere",
        "domain": "wcs.example.com",
        "path": "/",
        "secure": True,
        "sameSite": "None",
    }
    permissive.add_cookies([control])
    page = permissive.new_page()
    page.goto(PAGE)
    fill(page, token, "/host")
    expect(state(page)).to_have_text("Connected")
    assert token_cookies(permissive)["__Host-AUTH"]["path"] == "/"
    # A location that lets this site in, asks for no token and so passes every cookie on.
    assert open_from(page_of(permissive, "https://evil.example.net"), "wss://wcs.example.com/foreign") == "open"
    heads = map(json.loads, host.check_output("cat /root/upstream.jsonl").splitlines())
    *_others, headers = (head["headers"] for head in heads if head["request"] == "GET /foreign HTTP/1.1")
    assert [value for name, value in headers if name.lower() == "cookie"] == ["control=from-everywhere"]


def put_within(page, cookie: str) -> None:
    """Has a frame of the gate's own host set a cookie, as a page of that host can that another page embeds."""
    page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.src = url;
            frame.onload = () => done();
            document.body.append(frame);
        })""",
        f"{SITE}/page.html",
    )
    page.frames[-1].evaluate("cookie => { document.cookie = cookie; void document.cookie; }", cookie)


def cookie_rules() -> dict[str, list[str]]:
    """The table of the guide: by a cookie's rule, from which pages it reaches the gate."""
    guide = (ROOT / "docs" / "client.md").read_text("utf-8")
    table = guide.partition("\n| cookie of the gate's host |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {rule.strip("`"): cells for rule, *cells in rows}


@pytest.mark.parametrize("rule", ["SameSite=Strict", "SameSite=Lax", "SameSite=None", "SameSite=None; Partitioned"])
def test_the_cookie_goes_along_from_the_pages_that_the_guide_says(host, context, permissive, token, rule):
    same_site, partner = "https://www.example.com", "https://partner.example.net"
    found = []
    for window, origin in ((permissive, same_site), (permissive, partner), (context, partner)):
        window.clear_cookies()
        page = page_of(window, origin)
        if "Partitioned" in rule:
            put_within(page, f"AUTH={token}; Path=/partner; Secure; {rule}")
        else:
            cookie = {"name": "AUTH", "value": token, "domain": "wcs.example.com", "path": "/partner", "secure": True}
            window.add_cookies([{**cookie, "sameSite": rule.partition("=")[2]}])
        found.append({"open": "sent", "closed 1006": "not sent"}[open_from(page, "wss://wcs.example.com/partner")])
        if found[-1] == "not sent":
            assert '"location":"/partner","status":403,"reason":"token"' in refusals(host)
    assert found == cookie_rules()[rule]


def test_a_page_of_another_site_uses_the_rest_interface_after_a_preflight_without_credentials(host, permissive, token):
    """A PUT with a header of its own is what a browser asks leave for."""

    def put_from(origin):
        return page_of(permissive, origin).evaluate(
            """url => fetch(url, { method: 'PUT', credentials: 'include', headers: { 'X-Request': '1' } })
                .then(answer => answer.text()).catch(error => error.name)""",
            f"{SITE}/rest",
        )

    cookie = {"name": "AUTH", "value": token, "domain": "wcs.example.com", "path": "/rest", "secure": True}
    permissive.add_cookies([{**cookie, "sameSite": "None"}])
    assert put_from("https://partner.example.net") == "PUT"
    assert put_from("https://evil.example.net") == "TypeError"
    assert '"location":"/rest","status":403,"reason":"origin"' in refusals(host)
    # The preflight still passes, and what comes after it does not.
    permissive.clear_cookies()
    assert put_from("https://partner.example.net") == "TypeError"
    lines = host.check_output('grep \'"location":"/rest"\' /var/log/nginx/wss_access.log | tail -n 2').splitlines()
    found = [(line["method"], line["status"], line["reason"]) for line in map(json.loads, lines)]
    assert found == [("OPTIONS", 200, ""), ("PUT", 403, "token")]


def test_a_page_of_the_same_site_sets_the_cookie_for_the_domain(context, token):
    page = page_of(context, "https://www.example.com")
    rest = "Path=/partner; Secure; SameSite=Strict"
    page.evaluate("cookie => { document.cookie = cookie; void document.cookie; }", f"AUTH={token}; {rest}")
    assert open_from(page, "wss://wcs.example.com/partner") == "closed 1006", "it is this host's alone"
    context.clear_cookies()
    page.evaluate(
        "cookie => { document.cookie = cookie; void document.cookie; }", f"AUTH={token}; Domain=example.com; {rest}"
    )
    assert open_from(page, "wss://wcs.example.com/partner") == "open"


def test_a_cookie_with_the_host_prefix_works_and_is_cleared(context, page, token):
    page.goto(PAGE)
    fill(page, token, "/host")
    expect(state(page)).to_have_text("Connected")
    cookie = token_cookies(context)["__Host-AUTH"]
    assert (cookie["path"], cookie["secure"]) == ("/", True)
    page.get_by_role("button", name="Disconnect").click()
    expect(state(page)).to_have_text("Closed")
    assert token_cookies(context) == {}


def test_leaving_the_page_clears_the_cookie(context, page, token):
    page.goto(PAGE)
    fill(page, token)
    expect(state(page)).to_have_text("Connected")
    assert token_cookies(context)
    page.goto("about:blank")
    assert token_cookies(context) == {}


def test_a_session_that_is_cut_off_is_explained_and_its_cookie_goes(host, context, page, token):
    page.goto(PAGE)
    fill(page, token)
    expect(state(page)).to_have_text("Connected")
    host.check_output("ss -K state established 'sport = :443'")
    expect(state(page)).to_have_text("Disconnected")
    expect(page.locator("#code")).to_have_text("1006")
    expect(page.locator("#advice-list")).to_contain_text("75 seconds")
    assert token_cookies(context) == {}
    picture(page, "6-cut-off")


def test_an_upstream_that_is_down_and_a_gate_that_is_gone_are_told_apart(context, page):
    page.goto(PAGE)
    connect(page, "/down")
    expect(page.get_by_label("Token")).to_be_hidden()
    expect(page.locator("#advice-list")).to_contain_text("Does the WebSocket server behind the gate run?")
    context.set_offline(True)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator("#explanation")).to_have_text("The gate cannot be reached.")
    picture(page, "7-unreachable")


def test_an_attempt_can_be_given_up(page):
    page.goto(PAGE)
    connect(page, "/silent")
    expect(state(page)).to_have_text("Connecting")
    picture(page, "8-connecting")
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator("#explanation")).to_have_text("You stopped the attempt.")


def test_an_attempt_can_be_given_up_at_once(page, token):
    page.goto(PAGE)
    page.get_by_label("Token").fill(token)
    page.evaluate("for (const id of ['connect', 'disconnect']) document.getElementById(id).click()")
    expect(page.locator("#explanation")).to_have_text("You stopped the attempt.")


def test_an_upstream_that_stays_silent_is_not_waited_for_longer_than_the_page_says(page):
    page.clock.install()
    page.goto(PAGE)
    connect(page, "/silent")
    page.clock.fast_forward(14_000)
    expect(state(page)).to_have_text("Connecting")
    page.clock.fast_forward(1_000)
    expect(page.locator("#explanation")).to_have_text(
        "The gate is there, but the WebSocket did not open within 15 seconds."
    )
    expect(page.locator("#advice-list")).to_have_text(
        "Does the WebSocket server behind the gate answer? Its operator should look."
    )


def test_a_gate_that_stays_silent_is_not_waited_for_either(page):
    # This clock is the browser's own, which no test can put forward.
    page.add_init_script(
        "const timeout = AbortSignal.timeout; AbortSignal.timeout = time => timeout.call(AbortSignal, time / 50);"
    )
    # The WebSocket is refused. The question whether the gate is there gets no answer, as on a line that drops
    # everything.
    page.route("**/down", lambda _route: None)
    page.goto(PAGE)
    connect(page, "/down")
    expect(page.locator("#explanation")).to_have_text("The gate did not answer within 5 seconds.")
    expect(page.locator("#advice-list")).to_contain_text(
        "Does a firewall or proxy on the way let HTTPS through to wcs.example.com?"
    )
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_enabled()


def test_an_upstream_that_echoes_nothing_is_no_failure(page):
    page.clock.install()
    page.goto(PAGE)
    connect(page, "/one-name")
    expect(state(page)).to_have_text("Connected")
    page.evaluate("WebSocket.prototype.send = function () {}")
    measure = page.get_by_role("button", name="Measure")
    measure.click()
    expect(page.locator("#round-trip")).to_have_text("waiting\u2026")
    expect(measure).to_be_disabled()
    page.clock.fast_forward(5_000)
    expect(page.locator("#round-trip")).to_have_text("no echo")
    expect(page.locator("#advice-list")).to_contain_text("The connection is open all the same.")
    expect(measure).to_be_enabled()
    expect(state(page)).to_have_text("Connected")


@pytest.fixture(scope="module")
def closing_page(browser):
    """One on which measuring ends the session with a code. 1005 is a closing without any."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.add_init_script(
        """const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function () {
    window.code === 1005 ? this.close() : send.call(this, 'close ' + window.code);
};"""
    )
    yield page
    context.close()


@pytest.mark.parametrize(
    "code, title, advice",
    [
        (1001, "Closed", "Connect again: a server that restarts closes like this."),
        (1002, "Disconnected", "The gate passes messages on as they are."),
        (1003, "Disconnected", "The gate passes messages on as they are."),
        (1005, "Closed", ""),
        (1007, "Disconnected", "The gate passes messages on as they are."),
        (1008, "Disconnected", "Ask its operator which one; the gate had let you in."),
        (1009, "Disconnected", "Send smaller messages, or raise the limit of the WebSocket server."),
        (1010, "Disconnected", "Look into the logs of the gate and of the WebSocket server."),
        (1011, "Disconnected", "Look into the log of the WebSocket server."),
        (1012, "Disconnected", "Connect again in a minute."),
        (1013, "Disconnected", "Connect again in a minute."),
        (3000, "Disconnected", "Look up code 3000 in its documentation."),
        (4999, "Disconnected", "Look up code 4999 in its documentation."),
    ],
)
def test_each_closing_code_has_its_advice(closing_page, code, title, advice):
    page = closing_page
    page.goto(PAGE)
    page.evaluate("code => { window.code = code; }", code)
    connect(page, "/one-name")
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("#code")).to_have_text(str(code))
    expect(state(page)).to_have_text(title)
    expect(page.locator("#advice-list")).to_contain_text(advice)
    expect(page.locator("#advice")).to_be_visible(visible=bool(advice))


def test_the_page_offers_only_locations_that_let_its_own_origin_in(page):
    page.goto(PAGE)
    assert page.locator("#place option").all_inner_texts() == [
        "/wss",
        "/host",
        "/down",
        "/silent",
        "/one-name",
        "/partner",
    ]


def test_foreign_script_does_not_run_on_the_page_and_it_reaches_no_other_host(context, page):
    page.goto(PAGE)
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = 1';
            document.body.append(script);
            document.body.insertAdjacentHTML('beforeend', '<p style="color: red" onclick="window.injected = 1">x</p>');
        }"""
    )
    assert page.evaluate("window.injected") is None
    assert len([text for text in page.messages if "Content Security Policy" in text]) >= 2
    blocked = page.evaluate(
        (
            "url => { try { new WebSocket(url); } catch (e) { return e.name; } return new Promise(r => "
            "setTimeout(() => r('tried'), 300)); }"
        ),
        "wss://staff.example.com/wss",
    )
    assert blocked in ("SecurityError", "tried")
    assert "connect-src" in page.messages[-1]


def test_the_keyboard_alone_is_enough(page, token):
    page.goto(PAGE)
    for wanted in ("place", "token"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == wanted
        # The page's own; the browser's would be "auto".
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    expect(state(page)).to_have_text("Connected")


def test_the_browser_s_own_password_opens_a_location_with_basic_auth(browser, host):
    # No navigation may be authenticated without it: Chromium asks, Playwright answers as a person would.
    context = browser.new_context(http_credentials={"username": "operator", "password": "correct horse battery staple"})
    page = context.new_page()
    page.goto("https://staff.example.com/check")
    expect(page.get_by_label("Token")).to_be_hidden()
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(state(page)).to_have_text("Connected")
    picture(page, "9-password")
    context.close()


def test_a_password_that_is_no_longer_right_is_refused_with_advice(browser, host):
    context = browser.new_context(http_credentials={"username": "operator", "password": "correct horse battery staple"})
    page = context.new_page()
    page.goto("https://staff.example.com/check")
    host.check_output("sed -i s/^operator:/nobody:/ /etc/nginx/.htpasswd")
    try:
        connect(page, "/wss")
        expect(page.locator("#explanation")).to_have_text("The gate is there and did not let this WebSocket through.")
    finally:
        host.check_output("sed -i s/^nobody:/operator:/ /etc/nginx/.htpasswd")
    expect(page.locator("#advice-list")).to_contain_text("Did this browser ask for the password of this site?")
    picture(page, "11-wrong-password")
    assert '"location":"/wss","status":401,"reason":"basic_auth"' in refusals(host)
    context.close()


def test_without_the_password_neither_the_page_nor_the_websocket_opens(browser, host):
    context = browser.new_context(http_credentials={"username": "operator", "password": "wrong"})
    page = context.new_page()
    assert page.goto("https://staff.example.com/check").status == 401
    assert open_from(page, "wss://staff.example.com/wss") == "closed 1006"
    assert '"location":"/wss","status":401,"reason":"basic_auth"' in refusals(host)
    context.close()


def test_the_snippet_for_an_operator_s_own_page_works_as_documented(host, context, token):
    snippet = re.search(r"```js\n(.*?)```", (ROOT / "docs" / "client.md").read_text("utf-8"), re.DOTALL)[1]
    page = page_of(context, SITE)
    page.add_script_tag(content=snippet)
    echoed = page.evaluate(
        """token => new Promise((resolve, reject) => {
            const socket = openGate('/wss', token, { onClose: event => reject(event.code) });
            socket.onmessage = event => resolve([event.data, socket]);
            socket.addEventListener('open', () => socket.send('from my own page'));
        }).then(([text, socket]) => { window.mine = socket; return text; })""",
        token,
    )
    assert echoed == "from my own page"
    assert token_cookies(context)["AUTH"]["path"] == "/wss"
    page.evaluate("() => new Promise(done => { mine.addEventListener('close', done); mine.close(); })")
    assert token_cookies(context) == {}
    # While the browser has other cookies to store.
    code = page.evaluate(
        f"""token => {{
            {MANY_COOKIES}
            return new Promise(done => {{
                const socket = openGate('/wss', token, {{ onClose: event => done(event.code) }});
                socket.onopen = () => socket.close(1000);
            }});
        }}""",
        token,
    )
    assert code == 1000
    # And after a refusal.
    assert (
        page.evaluate(
            "() => new Promise(done => openGate('/wss', 'no-such-token-0123456789', { onClose: e => done(e.code) }))"
        )
        == 1006
    )
    assert token_cookies(context) == {}


def test_the_report_of_playbook_check_is_a_page_that_needs_nothing_else(browser, gate, tmp_path):
    """Some locations of this gate have no upstream, so that there is something to report."""
    path = tmp_path / "check.html"
    run = run_playbook("wssgate.nginx.check", tmp_path, output="html", report=str(path))
    assert run.returncode == 2 and run.stats(gate.name)["changed"] == 0, run.text[-3000:]
    report_page.look(browser, path.as_uri(), "gate")
    page = browser.new_page()
    page.goto(path.as_uri())
    card = page.locator("section.host", has=page.get_by_role("heading", name=gate.name))
    wrong = card.locator("li.item", has_text="Location wcs.example.com/down")
    expect(wrong).to_contain_text("/down answers 502 to a client without a token, not 101")
    expect(wrong.locator(".badge")).to_have_text("critical")
    for title in ("Certificate wcs", "Location wcs.example.com/wss", "Agent", "Capacity"):
        expect(card.locator("li.item", has_text=title).first.locator(".badge")).to_have_text("ok")
    page.close()


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")


@pytest.mark.parametrize(
    "method, status", [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405), ("OPTIONS", 405)]
)
def test_the_page_answers_get_and_head_only(host, endpoint, method, status):
    reply = wire.handshake(endpoint, wire.Request(host="wcs.example.com", path="/check", method=method, headers=()))
    assert reply.status == status
    assert reply.header("Allow") == ("GET, HEAD" if status == 405 else None)
    assert ('"reason":"method"' in host.check_output("tail -n 1 /var/log/nginx/wss_access.log")) == (status == 405)


def test_the_page_s_headers_keep_it_to_itself(endpoint):
    reply = wire.handshake(endpoint, wire.Request(host="wcs.example.com", path="/check", headers=()))
    policy = dict(part.strip().split(" ", 1) for part in reply.header("Content-Security-Policy").split(";"))
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert policy["connect-src"].split() == ["'self'", "wss://wcs.example.com"]
    for directive, element in (("script-src", b"script"), ("style-src", b"style")):
        text = re.search(b"<" + element + b">(.*?)</" + element + b">", reply.body, re.DOTALL)[1]
        wanted = base64.b64encode(hashlib.sha256(text).digest()).decode("ascii")
        assert policy[directive] == f"'sha256-{wanted}'"
    assert reply.header("Content-Type") == "text/html; charset=utf-8"
    assert reply.header("X-Content-Type-Options") == "nosniff"
    assert reply.header("Referrer-Policy") == "no-referrer"
    assert reply.header("Cache-Control") == "no-store"
    assert reply.header("Strict-Transport-Security") == "max-age=300"


@pytest.mark.parametrize("path", ["/check/", "/checks", "/check/x", "/wssgate.d/check_wcs.html", "/check_wcs.html"])
def test_nothing_but_its_exact_path_is_the_page(endpoint, path):
    assert wire.handshake(endpoint, wire.Request(host="wcs.example.com", path=path, headers=())).status == 404
