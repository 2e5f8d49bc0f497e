# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mosquitto behind the gate: paho-mqtt and mqtt.js."""

from __future__ import annotations

import pytest
from conftest import Application, MakeApplication

PAHO, MQTT_JS = "mosquitto/paho_client.py", "mosquitto/mqtt_client.mjs"
# Debian 12's paho-mqtt 1.6.1: it sends `Origin: https://mqtt.example.com:443`, with the port, as others did before 2.2.
OLD_PAHO = "debian:mosquitto/paho_client.py"
FOREIGN = "https://evil.example.net"
COMPLETE = {"event": "done", "acknowledged": 1000, "received": 1000}


@pytest.fixture
def mosquitto(application: MakeApplication) -> Application:
    return application("mqtt.example.com", "mqtt", "wss://mqtt.example.com/mqtt")


def test_a_thousand_messages_at_qos_1_by_paho_whose_own_origin_has_the_port(mosquitto: Application) -> None:
    assert mosquitto.client(OLD_PAHO, TOKEN=mosquitto.token()).expect("done") == COMPLETE


@pytest.mark.whole
def test_a_thousand_messages_at_qos_1_by_paho_with_its_own_origin(mosquitto: Application) -> None:
    assert mosquitto.client(PAHO, TOKEN=mosquitto.token()).expect("done") == COMPLETE


@pytest.mark.whole
def test_a_thousand_messages_at_qos_1_by_mqtt_js(mosquitto: Application) -> None:
    client = mosquitto.client(MQTT_JS, TOKEN=mosquitto.token(), ORIGIN=mosquitto.origin)
    assert client.expect("done") == COMPLETE


@pytest.mark.whole
def test_without_a_token_paho_is_refused(mosquitto: Application) -> None:
    mosquitto.check_refused(PAHO, "token")


def test_without_a_token_mqtt_js_is_refused(mosquitto: Application) -> None:
    mosquitto.check_refused(MQTT_JS, "token", ORIGIN=mosquitto.origin)


@pytest.mark.whole
@pytest.mark.parametrize("program", [PAHO, MQTT_JS])
def test_a_foreign_origin_is_refused(mosquitto: Application, program: str) -> None:
    mosquitto.check_refused(program, "origin", TOKEN=mosquitto.token(), ORIGIN=FOREIGN)


def test_revoking_its_token_ends_mqtt_js(mosquitto: Application) -> None:
    mosquitto.check_revoked(MQTT_JS, ORIGIN=mosquitto.origin)


@pytest.mark.whole
def test_revoking_its_token_ends_paho(mosquitto: Application) -> None:
    mosquitto.check_revoked(PAHO)


@pytest.mark.whole
def test_a_thousand_messages_at_qos_1_by_paho_with_a_bearer_token(mosquitto: Application) -> None:
    assert mosquitto.client(PAHO, BEARER=mosquitto.token()).expect("done") == COMPLETE


@pytest.mark.whole
def test_revoking_its_bearer_token_ends_paho(mosquitto: Application) -> None:
    mosquitto.check_revoked(PAHO, sent_as="BEARER")


@pytest.mark.whole
def test_a_bearer_token_that_is_not_known_is_refused(mosquitto: Application) -> None:
    mosquitto.check_refused(PAHO, "token", status=401, BEARER="no-such-token-0123456789")
