//! At a terminal: passphrases and the digest are asked for, and a passphrase is never shown.

use std::process::Command;

use crate::peer::environment;
use crate::world::{PROGRAM, World};

/// Answers each prompt in turn, on a terminal of its own. Prints what the terminal showed, then the exit code.
const TYPIST: &str = r#"
import os, pty, select, sys, time
answers = [pair.split("\x1f") for pair in sys.argv[1].split("\x1e")]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen, at, end = b"", 0, time.monotonic() + 60
while time.monotonic() < end:
    ready, _, _ = select.select([terminal], [], [], 1)
    try:
        data = os.read(terminal, 65536) if ready else None
    except OSError:
        break
    if data == b"":
        break
    seen += data or b""
    if answers and answers[0][0].encode() in seen[at:]:
        at = len(seen)
        os.write(terminal, answers.pop(0)[1].encode() + b"\n")
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) if not answers else 99)
"#;

fn typed(world: &World, line: &str, answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let answers: Vec<_> = answers.iter().map(|(prompt, answer)| format!("{prompt}\u{1f}{answer}")).collect();
    let mut command = Command::new(environment().join("bin/python"));
    command.args(["-c", TYPIST, &answers.join("\u{1e}"), PROGRAM]).args(line.split_whitespace());
    let output = command.current_dir(world.path("")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.is_empty(), "{error}");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn passphrases_and_the_digest_are_typed_and_a_passphrase_is_never_shown() {
    let world = World::with_proposal();
    let keygen = "keygen --state erin --name erin --work-factor 10";
    let two = [("New passphrase", "correct horse"), ("The same again", "battery staple")];
    let (code, shown) = typed(&world, keygen, &two);
    assert_eq!(code, Some(64), "{shown}");
    assert!(shown.contains("the two passphrases differ; no key was made"), "{shown}");
    let (code, shown) = typed(&world, keygen, &[("New passphrase", "correct horse"), ("again", "correct horse")]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("horse") && shown.contains("erin.pub.json"), "{shown}");

    world.ok("propose --out erin.json --first --expires-in 9d --root-threshold 1 --root-key erin/erin.pub.json \
         --key targets=online1.pem snapshot=online2.pem timestamp=online3.pem");
    let digest = world.digest("erin.json");
    let sign = "sign --state erin --name erin --proposal erin.json --first";
    let other = world.digest("proposal.json");
    let (code, shown) = typed(&world, sign, &[("Type the digest", &other)]);
    assert_eq!(code, Some(77), "{shown}");
    assert!(shown.contains("digest-mismatch") && !world.path("erin/erin.sig.json").exists(), "{shown}");
    let groups: Vec<_> = digest.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group)).collect();
    let answers =
        [("Type the digest", groups.join(" ")), ("Passphrase for the root key of erin", "correct horse".into())];
    let answers: Vec<_> = answers.iter().map(|(prompt, answer)| (*prompt, answer.as_str())).collect();
    let (code, shown) = typed(&world, sign, &answers);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    world.ok("merge --proposal erin.json --first erin/erin.sig.json --out erin.root.json");
}
