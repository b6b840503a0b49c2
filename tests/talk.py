"""Talking to a running kernel."""

import time

from conftest import CELL_SECONDS


def run(client, code, **options):
    """Executes a cell; returns its reply and the iopub messages as (seconds since the request, message)."""
    messages = []
    started = time.monotonic()

    def keep(message):
        messages.append((time.monotonic() - started, message))

    reply = client.execute_interactive(code, timeout=CELL_SECONDS, output_hook=keep, **options)
    return reply["content"], messages


def of_type(messages, kind):
    return [(seconds, message["content"]) for seconds, message in messages if message["msg_type"] == kind]


def printed(messages, name="stdout"):
    return "".join(content["text"] for _, content in of_type(messages, "stream") if content["name"] == name)


def reply_to(client, identifier, seconds=CELL_SECONDS):
    """The reply on the shell channel to this request; other requests' replies are passed over."""
    while True:
        message = client.get_shell_msg(timeout=seconds)
        if message["parent_header"].get("msg_id") == identifier:
            return message["content"]


def await_output(client, identifier, kind="stream"):
    """Waits for the first message of this kind that the cell publishes; returns its content."""
    while True:
        message = client.get_iopub_msg(timeout=CELL_SECONDS)
        assert message["msg_type"] != "error" or kind == "error", message["content"]
        if message["parent_header"].get("msg_id") == identifier and message["msg_type"] == kind:
            return message["content"]


def drain(client):
    """Reads away what is still to be read on iopub."""
    while client.iopub_channel.msg_ready():
        client.iopub_channel.get_msg(timeout=0.1)
