"""Talks to a Beluga node with the official Python client: pip install nats-py; python client.py nats://127.0.0.1:4222"""

import asyncio
import json
import sys

import nats

ROOT = "beluga.v1.default"


async def stream(nc, subject, body):
    """Yields (headers, body, control) of each message of a stream; the last one has the header Beluga-Eos."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    await nc.publish(subject, json.dumps(body).encode(), reply=inbox)
    number = 0
    async for message in subscription.messages:
        assert message.headers["Beluga-Seq"] == str(number), "a message was lost"
        number += 1
        yield message.headers, json.loads(message.data) if message.data else None, message.reply
        if "Beluga-Eos" in message.headers:
            await subscription.unsubscribe()
            return


async def main(url):
    nc = await nats.connect(url)

    # One question, one reply.
    reply = await nc.request(f"{ROOT}.agent.assistant.call", b'{"input": "What is 17% of 2340?"}', timeout=30)
    print("call:", json.loads(reply.data)["result"])

    # The same as a stream: piece by piece, with the way it ended on the last message.
    pieces = []
    async for headers, body, _ in stream(nc, f"{ROOT}.agent.assistant.stream", {"input": "What is 2 + 3?"}):
        if headers.get("Beluga-Event") == "text":
            pieces.append(body["text"])
    assert headers["Beluga-Eos"] == "ok"
    print("stream:", "".join(pieces))

    # A reader may cancel: the reply subject of each message leads to whoever writes it.
    async for headers, body, control in stream(nc, f"{ROOT}.agent.assistant.stream", {"input": "Tell me a long story"}):
        if headers.get("Beluga-Event") == "open":
            await nc.publish(control, b'{"cancel": true}')
    print("cancelled:", headers["Beluga-Eos"])

    # Errors are told as micro services do, and as problem details.
    reply = await nc.request(f"{ROOT}.agent.nobody.call", b'{"input": "Hello?"}', timeout=30)
    problem = json.loads(reply.data)
    assert reply.headers["Nats-Service-Error-Code"] == "404"
    print("error:", problem["code"], "-", problem["detail"])

    # Who is there, what may be called, and with what.
    info = json.loads((await nc.request("$SRV.INFO.beluga", b"", timeout=5)).data)
    print("service:", info["name"], info["version"], "agents:", info["metadata"]["agents"])
    schema = json.loads(info["endpoints"][0]["metadata"]["request_schema"])
    assert schema["required"] == ["input"]
    await nc.drain()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
