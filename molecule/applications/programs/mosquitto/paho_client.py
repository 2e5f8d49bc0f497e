# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""paho-mqtt: publishes 1,000 messages at QoS 1 to a topic to which it subscribes, and waits until all are back."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import paho.mqtt.client as mqtt
from common import CA, MODE, URL, finish, headers, tell

MESSAGES = 1_000
topic = f"test/{secrets.token_hex(8)}"
received: set[bytes] = set()
is_subscribed, is_complete = threading.Event(), threading.Event()


def on_subscribe(_client: mqtt.Client, _data: Any, _number: int, codes: Any, *_properties: Any) -> None:
    if [getattr(code, "value", code) for code in codes] != [1]:
        finish("failed", codes=str(codes))
    is_subscribed.set()


def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
    received.add(message.payload)
    if len(received) == MESSAGES:
        is_complete.set()


# Debian 12 has version 1, which knows no versions of its interface.
version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*version, transport="websockets")
client.ws_set_options(path=URL.path, headers=headers())
client.tls_set(ca_certs=CA)
client.on_subscribe = on_subscribe
client.on_message = on_message
if MODE == "hold":
    client.on_disconnect = lambda *_arguments: finish("ended")
try:
    client.connect(URL.hostname, URL.port or 443)
except mqtt.WebsocketConnectionError as error:
    finish("refused", message=str(error))
client.loop_start()
client.subscribe(topic, qos=1)
if not is_subscribed.wait(20):
    finish("failed", message="no subscription")
if MODE == "hold":
    tell("open")
    threading.Event().wait()
published = [client.publish(topic, str(number), qos=1) for number in range(MESSAGES)]
for one in published:
    one.wait_for_publish(60)
is_complete.wait(60)
client.disconnect()
finish("done", acknowledged=sum(one.is_published() for one in published), received=len(received))
