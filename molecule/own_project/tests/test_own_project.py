# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project as docs/your-project.md has it: from the former release to this version and back, in this order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib import wire
from lib.guide import Block, blocks

from project import ORIGIN, PAGE, Held, Project

STORE = "/var/lib/nginx/tokens"
BY_HAND = "made-by-hand-0123456789"


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="gate.example.com")


@pytest.fixture(scope="module")
def password(project: Project) -> str:
    """What the page's command shows of the encrypted file."""
    shown = project.run_block("Secrets", "ansible-vault view")
    return re.search(r"^vault_operator_password: (\w{32})$", shown, re.MULTILINE)[1]


@pytest.fixture(scope="module")
def tokens(host, project: Project) -> dict[str, str]:
    """One of each kind, made on the former release: with an end, without one, and by hand."""
    made = {"by hand": BY_HAND}
    host.check_output(f"touch {STORE}/{BY_HAND}")
    for kind, ttl in (("with an end", "-e ttl=86400"), ("without an end", "")):
        name = kind.replace(" ", "-")
        # 1.0.0 takes a name without a folder for one beside its playbooks.
        file = project.folder / f"{name}.token"
        project.run(f"ansible-playbook wssgate.nginx.token_issue -e subject={name} {ttl} -e token_file={file}")
        made[kind] = file.read_text().strip()
    return made


def handshake(endpoint: wire.Endpoint, token: str) -> wire.Reply:
    return wire.handshake(endpoint, wire.Request(host="gate.example.com").origin(ORIGIN).token(token))


def operator(endpoint: wire.Endpoint, password: str) -> wire.Reply:
    request = wire.Request(host="gate.example.com", path="/operators").origin(ORIGIN)
    return wire.handshake(endpoint, request.basic("operator", password))


@pytest.fixture(scope="module")
def sessions(former, endpoint, tokens, password):
    """Open since the former release, one a token and one with a password; each echoes all the time."""
    replies = {kind: handshake(endpoint, token) for kind, token in tokens.items()}
    replies["password"] = operator(endpoint, password)
    assert {kind: reply.status for kind, reply in replies.items()} == dict.fromkeys(replies, 101)
    held = Held({kind: reply.session for kind, reply in replies.items()})
    yield held
    held.close()


def admitted(endpoint, tokens) -> dict[str, int]:
    found = {}
    for kind, token in tokens.items():
        with handshake(endpoint, token) as reply:
            found[kind] = reply.status
    return found


def fingerprint(host) -> str:
    """All that a run could have touched, and the processes that serve."""
    return host.check_output(
        f"find /etc/nginx {STORE} /etc/systemd/system /usr/local/lib/wssgate -xdev -not -type d "
        "-printf '%p %i %m %u %T@ %s %l\\n' | sort; pgrep -fa '^nginx:'"
    )


def files_of(found: list[Block], heading: str) -> list[str]:
    return [block.name for block in found if block.heading == heading and block.name]


def test_the_page_has_the_files_that_a_project_needs() -> None:
    found = blocks(PAGE)
    assert files_of(found, "The files") == [
        "requirements.yml",
        "ansible.cfg",
        "inventory.yml",
        "group_vars/wss_proxies/gate.yml",
        "site.yml",
        ".gitignore",
    ]
    assert [block.language for block in found if not block.name and block.language != "console"] == []


def test_the_former_release_is_deployed_from_its_artifact(project: Project, former: Path) -> None:
    assert former.name == "wssgate-nginx-1.0.0.tar.gz"
    assert project.version() == "1.0.0"


def test_what_is_open_and_issued_on_the_former_release_outlives_the_upgrade(
    host, project: Project, former, endpoint, tokens, sessions, password
) -> None:
    master = host.check_output("cat /run/nginx.pid")
    before = fingerprint(host)
    project.write("The files")
    install, look, deploy, check = project.commands("Upgrade")
    project.run(install)
    assert project.version() == project.current
    shown = project.run(look)
    assert project.changes(shown) > 0 and "+++ after" in shown
    assert fingerprint(host) == before
    assert project.changes(project.run(deploy)) > 0
    sessions.assert_open()
    assert host.check_output("cat /run/nginx.pid") == master
    assert admitted(endpoint, tokens) == dict.fromkeys(tokens, 101)
    with operator(endpoint, password) as reply:
        assert reply.status == 101
    project.run(check)


def test_the_first_run_of_the_page_deploys_and_the_second_changes_nothing(host, project: Project) -> None:
    if not project.version():  # no former release in this clone
        project.write("The files")
        project.run_block("The first run", "ansible-galaxy")
        project.run_block("The first run", "site.yml")
    assert host.file("/etc/example").is_directory
    assert project.changes(project.run(project.commands("The first run")[-1])) == 0


def test_a_part_on_one_host_in_check_mode_changes_nothing_and_the_tags_are_those_of_the_page(
    host, project: Project
) -> None:
    before = fingerprint(host)
    part, tags = project.commands("A part of it")
    output = project.run(part)
    assert project.changes(output) == 0 and "certificates :" in output and "htpasswd : Files" not in output
    assert fingerprint(host) == before
    listed = {tag.strip() for tags in re.findall(r"TASK TAGS: \[(.*)\]", project.run(tags)) for tag in tags.split(",")}
    text = PAGE.read_text(encoding="utf-8").split("## A part of it", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == listed - {"always", ""}


def test_single_roles_make_the_same_gate(project: Project) -> None:
    project.write("Single roles")
    assert project.changes(project.run_block("Single roles", "gate.yml")) == 0


def test_the_password_comes_from_the_vault_and_is_nowhere_else(host, project: Project, endpoint, password) -> None:
    with operator(endpoint, password) as reply:
        assert reply.status == 101 and reply.session.echo("in") == "in"
    assert operator(endpoint, "wrong").status == 401
    assert project.read("group_vars/wss_proxies/vault.yml").startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert project.mode(Path(project.home, ".wssgate-vault-password")) == 0o600
    assert password not in host.file("/etc/nginx/.htpasswd").content_string
    assert password not in project.output


def test_a_token_is_issued_listed_and_revoked_by_the_playbooks_names(project: Project, endpoint) -> None:
    issue, list_, check = project.commands("From day to day")[:3]
    project.run(issue)
    token = project.read("client-42.token").strip()
    assert project.mode(project.folder / "client-42.token") == 0o600
    with handshake(endpoint, token) as reply:
        assert reply.status == 101
        assert "client-42" in project.run(list_)
        project.run(check)
        project.run_block("From day to day", "token_revoke")
        assert reply.session.ended(10)
    assert handshake(endpoint, token).status == 403
    assert token not in project.output


def test_the_builder_makes_a_context_of_the_page_s_execution_environment(project: Project) -> None:
    heading = "AWX, the Automation Platform, an execution environment"
    project.write(heading)
    project.run_block(heading, "ansible-builder")
    assert project.read("context/_build/requirements.yml") == project.read("requirements.yml")
    # Where there is Docker and no podman, it has Docker's name.
    (path,) = [path for path in (project.folder / "context").iterdir() if path.name in ("Containerfile", "Dockerfile")]
    containerfile = path.read_text()
    assert "registry.fedoraproject.org/fedora:43" in containerfile
    assert "ansible-galaxy collection install" in containerfile


def test_the_way_back_keeps_sessions_and_tokens_and_the_former_pruner_works(
    host, project: Project, former, endpoint, tokens, sessions
) -> None:
    agent, install, deploy = project.commands("Back to the former version")
    project.run(agent)
    project.write("Back to the former version")
    project.run(install)
    assert project.version() == "1.0.0"
    assert project.changes(project.run(deploy)) > 0
    sessions.assert_open()
    assert admitted(endpoint, tokens) == dict.fromkeys(tokens, 101)
    assert not host.file("/etc/systemd/system/wssgate-agent.service").exists
    host.check_output("systemctl start wssgate-token-prune.service")
    assert project.changes(project.run(deploy)) == 0
    sessions.assert_open()
