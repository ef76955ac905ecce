"""A burnt version and a fast-forwarded repository, healed, with clients of python-tuf that saw everything and follow."""

import json

from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from common import open_scene
from rotation import CONFIGURATION, ONLINE, Rotation

STEP = 10  # The default of max_version_step.


class Healing(Rotation):
    name = "healing"
    configuration = CONFIGURATION.replace("[repository.role.snapshot]", "[repository.role.snapshot]\nmax_supersedes = 1")

    # --- a burnt version ---

    def burn(self):
        """A server that loses what was signed for it asks for the same version with other bytes, for ever."""
        self.say("\nA server loses what was signed for it, and asks for what was released:")
        self.timestamp_version += 1
        self.sign("timestamp", self.a_timestamp(self.timestamp_version, days=1), "lost.json")
        lost = (self.dir / "lost.json").read_text()
        (self.dir / "lost.json").unlink()
        again = self.a_timestamp(self.timestamp_version, days=2)
        self.refused_payload("the same version anew", "equivocation", "timestamp", again)
        released = self.json("guard", "republish", "--repository", "demo", "--role", "timestamp")
        self.check(released["version"] == self.timestamp_version, "the daemon gives back what it released")
        self.check(released["file"] == lost, "and it is what was lost, byte by byte")
        (self.dir / "timestamp.json").write_text(released["file"])
        self.put_out("timestamp.json")
        self.clients_update("the lost timestamp is out")
        self.next_timestamp()
        self.clients_update("so is the next one: the version is healed")

    def supersede(self):
        """The other way, for servers that cannot ask: the policy of the role allows it once per version."""
        self.say("\nA server loses a snapshot, and asks for another one of the same version:")
        version = self.snapshot_version + 1
        self.sign("snapshot", self.a_snapshot(version, days=5), "lost.json")
        unsigned = self.dir / "unsigned.json"
        Metadata(self.a_snapshot(version, days=6)).to_file(str(unsigned))
        answer = self.json("sign", "--repository", "demo", "--role", "snapshot", unsigned)
        self.check(answer["signatures"][0]["step"] == "supersede", "what nobody listed yet is superseded")
        self.refused_payload("once more", "equivocation", "snapshot", self.a_snapshot(version, days=4))
        self.snapshot_version = version
        (self.dir / f"{version}.snapshot.json").write_text(answer["file"])
        self.put_out(f"{version}.snapshot.json")
        self.next_timestamp()
        self.clients_update("the second snapshot of this version is out, and never the first")

    # --- payloads ---

    def a_timestamp(self, version, days=1):
        return Timestamp(version=version, expires=self.expires(days), snapshot_meta=MetaFile(self.snapshot_version))

    def a_snapshot(self, version, days):
        return Snapshot(version=version, expires=self.expires(days), meta={"targets.json": MetaFile(1)})

    # --- a fast-forward ---

    def forward(self):
        self.say("\nA compromised server pushes versions as far as the law lets it:")
        self.before = {"timestamp": self.timestamp_version, "snapshot": self.snapshot_version}
        self.refused_payload("all the way at once", "version-step", "timestamp", self.a_timestamp(2**53 - 1))
        for _ in range(5):
            self.snapshot_version += STEP - 1
            self.timestamp_version += STEP - 1
            self.next_snapshot()
            self.next_timestamp()
        self.clients_update(f"every client saw timestamp {self.timestamp_version}")
        self.refused_payload("back again", "rollback", "timestamp", self.a_timestamp(self.before["timestamp"] + 1))
        self.refused("recovery while the keys are trusted", "recovery-not-allowed", *self.recovery("timestamp"))

    def recovery(self, role):
        return "guard", "recover", "--repository", "demo", "--role", role, "--goes-on-from", self.before[role]

    def recover(self):
        """A root that lists neither old key lets both roles begin an epoch. New keys sign nothing before."""
        self.make()
        self.say("\nA new root with the new keys alone, and a new epoch:")
        self.next_root(2, ["bob", "carol"], [*self.successors(), *self.removals()])
        self.sealward("root", "stage", "--repository", "demo", "2.root.json")
        self.refused("recovery while the root is only staged", "recovery-not-allowed", *self.recovery("timestamp"))
        self.sealward("root", "publish", "--repository", "demo", "2.root.json")
        for role in ONLINE:
            epoch = self.json(*self.recovery(role))["epoch"]
            self.check(epoch == 2, f"{role} goes on from {self.before[role]}, in epoch {epoch}")
        self.timestamp_version, self.snapshot_version = self.before["timestamp"], self.before["snapshot"]
        # Clients forget old versions with the root that takes away the old keys: all of this is out together.
        self.next_snapshot()
        self.next_timestamp()
        self.put_out("2.root.json")
        self.roots_out.append(2)
        self.clients_update("root 2 and the first metadata of the new epoch are out")
        followed = json.loads((self.dir / "clients/began-at-1/timestamp.json").read_text())["signed"]["version"]
        self.check(followed == self.timestamp_version, f"a client that saw the pushed versions is at timestamp {followed}")


def heal(programs, quiet):
    """All of it, in one repository. Returns how many checks there were."""
    with open_scene(Healing, programs, quiet) as show:
        show.begin()
        show.burn()
        show.supersede()
        show.forward()
        show.recover()
        return show.checks
