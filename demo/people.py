"""Attacks on what people approve: self-made approvals, and approvals for something else."""


def approvals(stage):
    stage.say("\nTargets wait for people:")
    first, second = stage.targets_of(3), stage.targets_of(3, unrecognized_fields={"x-other": 1})
    waiting = name, digest = stage.waits(stage.alice, first)

    def accept(name, digest):
        return "approve", "accept", name, "--digest", digest

    stage.row("targets without an approval", "nothing yet", refusal(stage, stage.alice, first), "awaits-approval")
    stage.denied("who asked approves", "self-approval", stage.alice, *accept(name, digest))
    stage.denied("a TUF server approves", "no-person", stage.tuf, *accept(name, digest))
    stage.denied("a stolen CI certificate approves", "no-grant", stage.ci, *accept(name, digest))
    stage.denied("an approval of other bytes than are pending", "approval-digest", stage.bob, *accept(name, "0" * 64))

    stage.approve(stage.bob, waiting)
    stage.row("an approval used for other bytes", "nothing yet", refusal(stage, stage.alice, second), "awaits-approval")
    other = stage.waits(stage.alice, second)
    stage.approve(stage.bob, other)
    stage.denied_payload("who approved takes the signature out", "self-approval", stage.bob, "targets", first)
    stage.got("the approved bytes", stage.alice, "targets", first)
    stage.denied("an approval used twice", "unknown-approval", stage.bob, *accept(name, digest))
    stage.denied_payload("two approved payloads of one version", "equivocation", stage.alice, "targets", second)
    stage.denied("an approval for a head that has moved on", "approval-void", stage.bob, *accept(*other))

    third = stage.targets_of(4)
    name, digest = stage.waits(stage.tuf, third)
    code, _ = stage.answer(stage.alice, "approve", "reject", name, "--code", "unexpected")
    stage.check(code == 0, "a person says no")
    stage.denied_payload("the same again after a person said no", "approval-rejected", stage.tuf, "targets", third)


def refusal(stage, identity, signed):
    code, answer = stage.ask(identity, "targets", signed)
    stage.check(code == 75, "people have to look at it first")
    return answer["error"]["reason"]
