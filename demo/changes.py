"""Attacks while the rules change: a bad reload, and what a stream may do after it lost its grant."""

from attacks import APP
from common import PATIENCE
from stream import Stream

GRANT = 'callers = ["uri:spiffe://acme/ci", "oidc:github/release"]'


def bad_reload(stage):
    stage.say("\nThe rules change:")
    file = stage.dir / "sealward.toml"
    good = file.read_text()
    before = stage.json("status")["configuration"]
    # Somebody widens a grant, and makes a mistake in another line: neither counts.
    file.write_text(good.replace('roles = ["timestamp"]', 'roles = ["**"]').replace('custody = "attended"', 'custody = "atended"'))
    code, answer = stage.answer([], "reload")
    file.write_text(good)
    after = stage.json("status")["configuration"]
    stage.check(before["sha256"] == after["sha256"] and before["since"] == after["since"], "the rules of before are in force")
    stage.check(after["problems"] == answer["problems"] and len(answer["problems"]) == 1, f"and status says why not: {answer['problems']}")
    stage.denied_payload("what a bad reload would have allowed", "no-grant", stage.ci, "snapshot", stage.snapshot(3, 2))
    stage.check(code == 78, "a bad reload is refused")
    stage.row("a reload with one mistake", "nothing: not even the good part", answer["problems"][0].split("[")[1].split("]")[0], "invalid-value")


def stream(stage):
    """Two items of one stream, and between them a reload without the grant. Then names that the command line refuses."""
    file = stage.dir / "sealward.toml"
    good = file.read_text()
    certificate, key = stage.dir / "ci.pem", stage.dir / "ci.key"
    stream = Stream(stage.port("remote"), stage.dir / "ca.pem", certificate, key, PATIENCE)
    stage.check(stream.ask(APP, "timestamp", stage.timestamp(6, 2)) is None, "a stream signs what is granted")
    stage.check(GRANT in good, "there is a grant to withdraw")
    file.write_text(good.replace(GRANT, 'callers = ["oidc:github/release"]'))
    stage.sealward("reload")
    rule = stream.ask(APP, "timestamp", stage.timestamp(7, 2))
    stage.row("a grant withdrawn during a stream", "what came before", rule, "no-grant")
    file.write_text(good)
    stage.sealward("reload")
    for attack, role in NAMES.items():
        stage.row(attack, "nothing", stream.ask(APP, role, stage.timestamp(7, 2)), "malformed")
    stream.close()


# What the command line would not send.
NAMES = {
    "a role name with a way up": "releases/../timestamp",
    "a role name with a control character": "timestamp\x00",
    "a role name that looks alike (Cyrillic)": "t\u0456mestamp",
    "a role name in other letters": "Timestamp",
}
