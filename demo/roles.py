#!/usr/bin/env python3
"""Who may sign what: attacks and what they get, the rights of an example, a rotation, and two repositories healed.

Everything that this program says was checked; `--quiet` leaves out how. It needs the built programs (`--bin`) and
python-tuf, and runs in temporary directories with daemons of its own.
"""

import argparse
import signal
import tempfile

import changes
import credentials
import people
import server
from attacks import Stage

COLUMNS = "{:<46} {:<42} {}"


def attack(programs, quiet):
    with tempfile.TemporaryDirectory(prefix="sealward-att-", dir="/tmp") as directory:
        stage = Stage(directory, programs, quiet)
        try:
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
        finally:
            stage.stop(signal.SIGKILL) if stage.daemon else None
        print(COLUMNS.format("ATTACK", "WHAT IT GOT", "WHICH RULE"))
        for row in stage.rows:
            print(COLUMNS.format(*row))
        return stage.checks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="where the built programs are")
    parser.add_argument("--quiet", action="store_true", help="say only what was found, not each check")
    arguments = parser.parse_args()
    checks = attack(arguments.bin, arguments.quiet)
    print(f"roles: ok, {checks} checks")


if __name__ == "__main__":
    main()
