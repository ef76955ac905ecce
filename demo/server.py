"""Attacks of a compromised TUF server, which may ask for every online role of its repositories, and more."""

import concurrent.futures
import json

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root

from attacks import APP, OTHER
from credentials import FAR


def old_and_mixed_metadata(stage):
    stage.say("\nA compromised TUF server, against what clients have:")
    tuf = stage.tuf
    stage.denied_payload("rollback of timestamp", "rollback", tuf, "timestamp", stage.timestamp(1, 1))
    stage.denied_payload("rollback of snapshot", "rollback", tuf, "snapshot", stage.snapshot(1, 1))
    stage.denied_payload("freeze: an expiry that is past", "expired", tuf, "timestamp", stage.timestamp(5, 2, days=-1))
    stage.denied_payload("freeze: an expiry that is far", "expiry-too-far", tuf, "timestamp", stage.timestamp(5, 2, days=8))
    stage.denied_payload("mix: a snapshot with lower targets", "listed-rollback", tuf, "snapshot", stage.snapshot(3, 1))
    stage.denied_payload("mix: a snapshot with targets never signed", "listed-unreleased", tuf, "snapshot", stage.snapshot(3, 3))
    stage.denied_payload("mix: a snapshot without an entry", "entry-removed", tuf, "snapshot", stage.snapshot(3, 2, releases=None))
    stage.denied_payload("mix: a timestamp with a lower snapshot", "listed-rollback", tuf, "timestamp", stage.timestamp(5, 1))
    stage.denied_payload("mix: a timestamp with a snapshot never signed", "listed-unreleased", tuf, "timestamp", stage.timestamp(5, 3))


def fast_forward(stage):
    stage.say("\nThe same, against what clients will have:")
    tuf = stage.tuf
    stage.denied_payload("fast-forward of its own version", "version-step", tuf, "timestamp", stage.timestamp(FAR, 2))
    stage.denied_payload("fast-forward of a listed version", "listed-step", tuf, "snapshot", stage.snapshot(3, 2, releases=500))
    stockpile(stage)


def stockpile(stage):
    """Future timestamps, as many as possible and as long as possible, for the time after it was found out."""
    wanted = 40
    items = []
    for version in range(1, wanted + 1):
        file = f"stock-{version}.json"
        Metadata(stage.timestamp(version, 1, days=6.9)).to_file(str(stage.dir / file))
        items.append(f"timestamp={file}")
    code, answer = stage.answer(stage.tuf, "sign-batch", "--repository", OTHER, "--out", "stock", *items)
    signed = [item["result"] for item in answer["items"] if "signatures" in item["result"]]
    refused = [item["result"]["refusal"]["reason"] for item in answer["items"] if "refusal" in item["result"]]
    longest = max(json.loads((stage.dir / one["file"]).read_text())["signed"]["expires"] for one in signed)
    stage.check(code == 77 and len(signed) == 20, f"{len(signed)} of a stockpile")
    stage.row(f"stockpile of {wanted} future timestamps", f"{len(signed)}, until {longest}", refused[0], "rate-limited")


def two_answers(stage, version):
    """Many clients at once ask for different payloads of one version."""
    commands = [
        stage.signing("timestamp", stage.timestamp(version, 2, days=1 + number / 100), file=f"two-{number}.json")
        for number in range(16)
    ]
    with concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
        answers = list(pool.map(lambda command: stage.answer(stage.tuf, *command), commands))
    won = [answer for code, answer in answers if code == 0]
    lost = {answer["error"]["reason"] for code, answer in answers if code == 77}
    stage.check(len(won) == 1, "exactly one of all is signed")
    stage.check(all(code in (0, 77) for code, _ in answers), "all others are denied")
    stage.row(f"equivocation by {len(commands)} concurrent clients", f"{len(won)} of {len(commands)}", " ".join(lost), "equivocation")


def other_roles(stage):
    stage.say("\nThe same, for roles that are not its own:")
    tuf = stage.tuf
    root = Root(expires=stage.expires())
    stage.denied_payload("root, with a grant of every role", "offline-role", tuf, "root", root)
    stage.denied_payload("root as timestamp", "offline-role", tuf, "timestamp", root)
    stage.denied_payload("a snapshot as timestamp", "wrong-role", tuf, "timestamp", stage.snapshot(3, 2))
    stage.denied_payload("a role name with a slash", "wrong-role", tuf, "timestamp/x", stage.timestamp(5, 2))
    roles = {"mine": DelegatedRole("mine", [], 1, False, paths=["*"])}
    delegations = Delegations(keys={}, roles=roles)
    stage.denied_payload("targets that delegate to a stranger", "no-delegate-grant", tuf, "targets", stage.targets_of(3, delegations=delegations))
    key = stage.key_of(APP, "timestamp")
    sign = stage.signing("timestamp", stage.timestamp(5, 2), OTHER)
    stage.denied("a second repository over the same key", "unknown-key", tuf, *sign, "--key", key)
    stage.denied_payload("the repository in other letters", "unseeded", tuf, "timestamp", stage.timestamp(5, 2), "acme/App")
