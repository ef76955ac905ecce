#!/usr/bin/env python3
"""Who may sign what: attacks and what they get, the rights of an example, a rotation, and two repositories healed.

Everything that this program says was checked; `--quiet` leaves out how. It needs the built programs (`--bin`) and
python-tuf, and runs in temporary directories with daemons of its own.
"""

import changes
import credentials
import people
import server
from attacks import Stage
from common import HERE, Scene, arguments, open_scene
from healing import heal
from rotation import rotate

EXAMPLE = HERE / "hsm-config/attended.toml"


def attack(programs, quiet):
    """Every attack against one daemon. Prints the table, and returns how many checks there were."""
    with open_scene(Stage, programs, quiet) as stage:
        stage.set_up()
        credentials.stolen_certificate(stage)
        credentials.tokens(stage)
        credentials.made_up_certificates(stage)
        credentials.withdrawn_certificate(stage)
        server.old_and_mixed_metadata(stage)
        server.fast_forward(stage)
        server.two_answers(stage, 5)
        server.other_roles(stage)
        people.approvals(stage)
        changes.bad_reload(stage)
        changes.stream(stage)
        credentials.rate(stage, 7)
    rows = [("ATTACK", "WHAT IT GOT", "WHICH RULE"), *stage.rows]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        print("{:<{}}  {:<{}}  {}".format(row[0], widths[0], row[1], widths[1], row[2]))
    return stage.checks


def rights(programs, quiet):
    """Who may do what under the example configuration, from the file alone."""
    with open_scene(Scene, programs, quiet) as scene:
        command = "config", "explain", "--config", EXAMPLE
        callers = scene.json(*command)["callers"]
        may = {(caller["caller"], right["role"], right["verb"]) for caller in callers for right in caller["rights"]}
        scene.check(not any(role == "root" and verb == "sign" for _, role, verb in may), "nobody signs for root here")
        signers, approvers = ({who for who, role, verb in may if (role, verb) == ("targets", wanted)} for wanted in ("sign", "approve"))
        scene.check(signers and len(approvers) >= 2 and not signers & approvers, "who asks for targets approves none")
        print(f"\nRIGHTS of {EXAMPLE.relative_to(HERE)}, by `sealward config explain`")
        print(scene.sealward(*command).rstrip())
        return scene.checks


PARTS = {
    "ROTATION of both online keys through roots 2 and 3, python-tuf clients of every older root at each step": rotate,
    "HEALED: a version burnt by a lost answer, one superseded, and a fast-forward that clients forget": heal,
}


def main():
    told = arguments(__doc__).parse_args()
    checks = attack(told.bin, told.quiet)
    checks += rights(told.bin, told.quiet)
    for what, perform in PARTS.items():
        made = perform(told.bin, told.quiet)
        checks += made
        print(f"\n{what}: {made} checks")
    print(f"\nroles: ok, {checks} checks")


if __name__ == "__main__":
    main()
