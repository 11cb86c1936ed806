"""What a user of the Python SDK does with a subnet: read it, commit, set weights, read both back.

Arguments: the chain's WebSocket address, the netuid and the text to commit. Prints one JSON object.
"""

import json
import sys
from types import SimpleNamespace

import bittensor
from bittensor.sp_core import Keypair


def wallet(name):
    """A wallet of the development key `//name`."""
    keypair = Keypair.create_from_uri(f"//{name}")
    return SimpleNamespace(coldkey=keypair, coldkeypub=keypair, hotkey=keypair)


def main(url, netuid, text):
    miner, validator = wallet("miner"), wallet("first")
    subtensor = bittensor.Subtensor(url)
    report = {"version": bittensor.__version__, "spec_version": subtensor.spec_version, "block": subtensor.block}

    fields = [[{f"Raw{len(text)}": "0x" + text.encode().hex()}]]
    call = bittensor.calls.Commitments.set_commitment(netuid=netuid, info={"fields": fields})
    result = subtensor.submit_call(call, miner, signer="hotkey", wait_for_inclusion=True)
    report["committed"] = [result.success, str(result.message)]

    weights = bittensor.SetWeights(netuid=netuid, uids=[3, 4], weights=[1.0, 0.5])
    result = subtensor.execute(weights, validator)
    report["weights_set"] = [result.success, str(result.message)]

    metagraph = subtensor.subnets.metagraph(netuid)
    report["hotkeys"] = [neuron.hotkey for neuron in metagraph.neurons]
    report["miner"] = miner.hotkey.ss58_address
    try:
        report["neurons"] = len(subtensor.neurons.neurons(netuid))
    except bittensor.ChainError as error:
        report["neurons"] = str(error)
    report["commitments"] = repr(subtensor.subnets.commitments(netuid))
    report["weights"] = subtensor.weights.weights(netuid)
    print(json.dumps(report, default=str))


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
