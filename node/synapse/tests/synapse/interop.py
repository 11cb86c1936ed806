"""The other side of the interop test: an axon and a dendrite of Bittensor's own SDK.

`interop.py axon PORT` serves until its input ends; `interop.py dendrite PORT HOTKEY` asks and prints
one JSON object. No network: the SDK would ask others for its address.
"""

import asyncio
import json
import os
import sys
import types
from typing import ClassVar, Optional

import bittensor
from bittensor.core.chain_data import AxonInfo
from bittensor.utils import networking
from bittensor_wallet import Keypair

networking.get_external_ip = lambda: "198.51.100.4"


class Signed(bittensor.Synapse):
    prompt: str
    steps: int
    seeds: list[int] = []
    guidance: float = 7.5
    flag: bool = False
    note: Optional[str] = None
    required_hash_fields: ClassVar[tuple[str, ...]] = (
        "prompt", "steps", "seeds", "guidance", "flag", "note")


class VPA2ASynapse(bittensor.Synapse):
    input_type: str = "url"
    audio_input: str = ""
    animation_output: str = ""


class Failing(bittensor.Synapse):
    text: str = ""


def signed(synapse: Signed) -> Signed:
    synapse.note = f"{synapse.dendrite.hotkey}: {synapse.prompt} {synapse.seeds} {synapse.guidance}"
    synapse.prompt = "an axon must not change this"
    return synapse


def animate(synapse: VPA2ASynapse) -> VPA2ASynapse:
    synapse.animation_output = synapse.audio_input * 100_000
    return synapse


def fail(synapse: Failing) -> Failing:
    raise ValueError("on purpose")


def axon(port):
    wallet = types.SimpleNamespace(hotkey=Keypair.create_from_uri("//Bob"))
    served = bittensor.Axon(wallet=wallet, ip="127.0.0.1", port=port,
                            external_ip="127.0.0.1", external_port=port)
    for forward in (signed, animate, fail):
        served.attach(forward_fn=forward)
    served.start()
    print("ready", flush=True)
    # The SDK's log goes the same way, and nobody reads it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdin.read()
    served.stop()


def question(**changed):
    fields = dict(prompt="a red fox \u00e9", steps=4, seeds=[1, 2, 3], guidance=5.0, flag=True)
    return Signed(**{**fields, **changed})


async def dendrite(port, hotkey):
    target = AxonInfo(version=1, ip="127.0.0.1", port=port, ip_type=4, hotkey=hotkey, coldkey=hotkey)
    result = {}

    def note(name, synapse):
        result[name] = [int(synapse.dendrite.status_code), synapse.dendrite.status_message,
                        getattr(synapse, "note", None)]

    async def ask(asking, synapse=None):
        return await asking.call(target, synapse or question(), timeout=12.0, deserialize=False)

    async with bittensor.Dendrite(Keypair.create_from_uri("//Alice")) as alice:
        answered = await ask(alice)
        note("answered", answered)
        result["axon"] = [answered.axon.hotkey, answered.axon.version, answered.prompt]
        at_once = await asyncio.gather(*(ask(alice) for _ in range(4)))
        result["at_once"] = [int(synapse.dendrite.status_code) for synapse in at_once]
        note("unknown", await ask(alice, Failing(text="x")))

        sign = alice.preprocess_synapse_for_request

        def unsigned(*arguments):
            synapse = sign(*arguments)
            synapse.dendrite.signature = None
            return synapse

        def tampered(*arguments):
            synapse = sign(*arguments)
            synapse.prompt = "a blue fox"
            return synapse

        alice.preprocess_synapse_for_request = unsigned
        note("unsigned", await ask(alice))
        alice.preprocess_synapse_for_request = tampered
        note("tampered", await ask(alice))
    async with bittensor.Dendrite(Keypair.create_from_uri("//Charlie")) as charlie:
        note("stranger", await ask(charlie))
    print(json.dumps(result))


if sys.argv[1] == "axon":
    axon(int(sys.argv[2]))
else:
    asyncio.run(dendrite(int(sys.argv[2]), sys.argv[3]))
