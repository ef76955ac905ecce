#!/usr/bin/env python3
"""Both online keys of a repository change through two roots, and no client fails at any step.

The steps are those of `sealward rotation show`, typed as it says. At each of them clients of python-tuf update: for every
root that was ever out one that began there long ago and goes on, and one that begins there now. `rotate(programs, quiet)`
returns the number of checks; the program says it.
"""

import json
import time

from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.ngclient import Updater

from common import GRANTS, Scene, arguments, open_scene

CONFIGURATION = """
[[repository]]
name = "demo"
# So that the demonstration sees the end of the old keys. The default is 30 days.
destroy_delay = "1s"

[repository.role.timestamp]
keystore = "files"
algorithm = "ecdsa-p256"

[repository.role.snapshot]
keystore = "files"
algorithm = "ed25519"

[repository.role.targets]
custody = "online"
keystore = "files"
algorithm = "ed25519"
"""

ONLINE = ("timestamp", "snapshot")


class Rotation(Scene):
    name = "rotation"
    configuration = CONFIGURATION

    def __init__(self, directory, programs, quiet):
        super().__init__(directory, programs, quiet)
        self.keys = {}
        self.roots_out = []
        self.updates = 0

    # --- clients ---

    def update(self, name, version):
        """A client that trusts the root of this version, or goes on from what it has. Returns the root it is at."""
        home = self.dir / "clients" / name
        begins = not home.exists()
        if begins:
            (home / "targets").mkdir(parents=True)
        bootstrap = (self.dir / f"{version}.root.json").read_bytes() if begins else None
        updater = Updater(
            metadata_dir=str(home), metadata_base_url=f"{self.url}/metadata/", target_dir=str(home / "targets"),
            target_base_url=f"{self.url}/targets/", bootstrap=bootstrap,
        )
        updater.refresh()
        info = updater.get_targetinfo("README.md")
        updater.download_target(info)
        self.updates += 1
        return updater._trusted_set.root.version

    def clients_update(self, when):
        """Every client, at this step. One that fails ends the demonstration."""
        for version in self.roots_out:
            for name in (f"began-at-{version}", f"new-at-{version}-{self.updates}"):
                try:
                    at = self.update(name, version)
                except Exception as error:
                    self.fail(f"{when}: the client {name} failed: {error!r}")
                if at != self.roots_out[-1]:
                    self.fail(f"{when}: the client {name} is at root {at}, not {self.roots_out[-1]}")
        roots = ", ".join(map(str, self.roots_out))
        self.check(True, f"{when}: clients that began at root {roots} update to root {self.roots_out[-1]}")

    # --- the list ---

    def step(self):
        """The step that the list says is next, with what to type."""
        steps = self.json("rotation", "show", "--repository", "demo")["steps"]
        following = [one for one in steps if one["state"] == "next"]
        return (following[0]["name"], following[0]["command"].split()[1:]) if following else (None, [])

    def expect(self, name):
        got, command = self.step()
        self.check(got == name, f"the list says: next is {name}")
        return command

    # --- the way ---

    def begin(self):
        self.say("A repository with its first root and first metadata:")
        self.configure(self.configuration + GRANTS)
        online = []
        for role in (*ONLINE, "targets"):
            new = ["--new-repository"] if role == "timestamp" else []
            key = self.json("key", "generate", "--repository", "demo", "--role", role, *new)["key"]
            self.keys[role] = [key]
            self.export(role, key)
            online += ["--key", f"{role}={role}.tuf.json", "--threshold", f"{role}=1"]
        self.make_holders()
        self.propose_first(*online)
        self.sign_root(1, ["alice", "bob"])
        pin = self.run("sha256sum", "1.root.json").stdout.split()[0]
        self.sealward("root", "publish", "--repository", "demo", "--pin", pin, "1.root.json")
        self.put_out("1.root.json")
        self.roots_out.append(1)
        self.sign("targets", self.targets(1), "1.targets.json")
        self.put_out("1.targets.json")
        self.snapshot_version = self.timestamp_version = 0
        self.next_snapshot()
        self.next_timestamp()
        self.serve()
        self.clients_update("the first metadata is out")

    def put_out(self, name):
        self.publish(name, name)

    def next_snapshot(self):
        self.snapshot_version += 1
        name = f"{self.snapshot_version}.snapshot.json"
        meta = {"targets.json": MetaFile(1)}
        self.sign("snapshot", Snapshot(version=self.snapshot_version, expires=self.expires(7), meta=meta), name)
        self.put_out(name)

    def next_timestamp(self, *options):
        """A new timestamp, put out. With `--key` it has one signature."""
        self.timestamp_version += 1
        signed = Timestamp(
            version=self.timestamp_version, expires=self.expires(), snapshot_meta=MetaFile(self.snapshot_version),
        )
        Metadata(signed).to_file(str(self.dir / "unsigned.json"))
        text = self.sealward("sign", "--repository", "demo", "--role", "timestamp", *options, "unsigned.json")
        (self.dir / "timestamp.json").write_text(text)
        self.put_out("timestamp.json")

    def again(self, role, name):
        """Has the newest metadata signed again, as it is; the file that comes back has every signature."""
        file = json.loads((self.dir / name).read_text())
        (self.dir / "unsigned.json").write_text(json.dumps({"signatures": [], "signed": file["signed"]}))
        text = self.sealward("sign", "--repository", "demo", "--role", role, "unsigned.json")
        (self.dir / name).write_text(text)
        self.put_out(name)
        return len(json.loads(text)["signatures"])

    def make(self):
        self.say("\nSuccessors of both online keys:")
        self.expect("make")
        for role in ONLINE:
            key = self.json("key", "rotate", "--repository", "demo", "--role", role)["key"]
            self.check(key["state"] == "pending", f"the successor of the key of {role} is pending")
            self.keys[role].append(key)
            self.export(f"{role}-new", key)
        self.clients_update("successors are made")

    def successors(self):
        return [argument for role in ONLINE for argument in ("--key", f"{role}={role}-new.tuf.json")]

    def removals(self):
        old = [self.keys[role][0]["public_key"]["tuf_key_id"] for role in ONLINE]
        return [argument for key in old for argument in ("--remove", key)]

    def next_root(self, version, holders, changes):
        self.ceremony(
            "propose", "--previous", f"{version - 1}.root.json", *changes, "--expires-in", "365d",
            "--out", f"proposal-{version}.json",
        )
        self.sign_root(version, holders)

    def root(self, version, holders, changes):
        """One root, from its ceremony to its promotion, in the order of the list."""
        self.next_root(version, holders, changes)
        if version == 2:
            self.check(self.expect("stage")[-1] == "2.root.json", "which it names")
        self.sealward("root", "stage", "--repository", "demo", f"{version}.root.json")
        self.clients_update(f"root {version} is staged")

        count = self.again("snapshot", f"{self.snapshot_version}.snapshot.json")
        self.check(count == 2, "one Sign of snapshot returns a signature of every key that either root lists")
        self.clients_update("the snapshot with both signatures is out")
        self.next_timestamp()
        count = len(json.loads((self.dir / "timestamp.json").read_text())["signatures"])
        self.check(count == 2, "so does one of timestamp")
        self.clients_update("the timestamp with both signatures is out")

        self.expect("publish-root")
        self.put_out(f"{version}.root.json")
        self.roots_out.append(version)
        self.clients_update(f"root {version} is out")
        self.next_snapshot()
        # From root 2 on the new key alone will do: callers that take one signature change over here.
        new = self.keys["timestamp"][1]["public_key"]["key"]
        self.next_timestamp("--key", new)
        count = len(json.loads((self.dir / "timestamp.json").read_text())["signatures"])
        self.check(count == 1, "a caller that takes one signature takes the new key's")
        self.clients_update(f"a timestamp after root {version} is out")

        self.sealward("root", "publish", "--repository", "demo", f"{version}.root.json")
        self.next_timestamp()
        self.clients_update(f"root {version} is promoted")

    def states(self, role):
        return [self.json("key", "show", key["public_key"]["key"])["key"]["state"] for key in self.keys[role]]

    def first(self):
        self.say("\nRoot 2 lists old and new keys:")
        self.root(2, ["bob", "carol"], self.successors())
        for role in ONLINE:
            self.check(self.states(role) == ["active", "active"], f"{role} has two keys, and one must sign")

    def second(self):
        self.say("\nRoot 3 lists the new keys alone:")
        self.root(3, ["alice", "carol"], self.removals())
        for role in ONLINE:
            self.check(self.states(role) == ["retired", "active"], f"promoting root 3 retired the old key of {role}")

    def end(self):
        self.say("\nThe end of the old keys:")
        for _ in ONLINE:
            command = self.expect("destroy")
            self.sealward(*command)
        for role in ONLINE:
            key = self.keys[role][0]["public_key"]["key"]
            self.wait_until_destroyed(key)
            self.check(not (self.dir / "keys" / f"{key}.age").exists(), f"the private half of the old key of {role} is gone")
        self.next_snapshot()
        self.next_timestamp()
        self.clients_update("the old keys are destroyed")

    def wait_until_destroyed(self, key):
        for _ in range(300):
            # Not counted: how often one has to ask is a matter of chance.
            asked = self.attempt("sealward", "--json", "key", "show", key)
            if json.loads(asked.stdout)["key"]["state"] == "destroyed":
                return
            time.sleep(0.2)
        self.fail("a key was not destroyed in time")


def rotate(programs, quiet):
    """The whole demonstration, in a directory of its own. Returns how many checks it made."""
    with open_scene(Rotation, programs, quiet) as show:
        show.begin()
        show.make()
        show.first()
        show.second()
        show.end()
        show.say(f"\n{show.updates} updates of clients, and none failed")
        return show.checks


def main():
    told = arguments(__doc__).parse_args()
    print(f"rotation: ok, {rotate(told.bin, told.quiet)} checks")


if __name__ == "__main__":
    main()
