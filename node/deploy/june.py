#!/usr/bin/env python3
"""Writes what node/deploy/test-image.sh starts a validator of a local subnet with.

    june.py JUNE SUBNET NUMBER FOLDER [API]

JUNE is the .env of June, whose names stay; their values become those of validator NUMBER of the
subnet in SUBNET, which runs or ran there. FOLDER gets `.env` and `local.yml`, an overlay for compose
with what only a subnet on one machine needs: the host's network, and stand-ins for services.
"""

import json
import pathlib
import sys

# Of a process on the host: the image has its own.
OF_THE_HOST = ("LEOMA_STATE_DIR", "WALLET_PATH")


def settings(path):
    """The names and values of a .env file."""
    lines = pathlib.Path(path).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip('"') for name, value in pairs}


def peers(subnet, count, own):
    """PEER_VALIDATORS: the buckets of the subnet's other validators."""
    rows = []
    for number in range(1, count + 1):
        if number == own:
            continue
        theirs = settings(subnet / f"validator-{number}" / ".env")
        key = subnet / "wallets" / theirs["WALLET_NAME"] / "hotkeys" / theirs["HOTKEY_NAME"]
        rows.append({
            "hotkey": json.loads(key.read_text())["ss58Address"],
            "bucket": theirs["R2_OWN_BUCKET"], "endpoint": theirs["R2_OWN_ENDPOINT"],
            "region": "auto", "read_access_key": theirs["R2_OWN_READ_ACCESS_KEY"],
            "read_secret_key": theirs["R2_OWN_READ_SECRET_KEY"],
        })
    return json.dumps(rows, separators=(",", ":"))


def main():
    """Writes the two files."""
    june, number = sys.argv[1], int(sys.argv[3])
    subnet, folder = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[4])
    count = len(list(subnet.glob("validator-*")))
    here = settings(subnet / f"validator-{number}" / ".env")
    here["PEER_VALIDATORS"] = peers(subnet, count, number)
    here["API_URL"] = sys.argv[5] if len(sys.argv) > 5 else ""
    known = settings(june)
    lines = [f"{name}={here.get(name, value)}" for name, value in known.items()]
    (folder / ".env").write_text("\n".join(lines) + "\n")
    extra = {
        name: value for name, value in here.items()
        if name not in known and name not in OF_THE_HOST
    }
    overlay = {"services": {"validator": {"network_mode": "host", "environment": extra}}}
    # JSON is YAML.
    (folder / "local.yml").write_text(json.dumps(overlay, indent=1) + "\n")


if __name__ == "__main__":
    main()
