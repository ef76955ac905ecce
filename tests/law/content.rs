//! `law.md` section 3: what a payload of kind `tuf` says, its expiry, its attached snapshot, the release rate.

use sealward::domain::law::sign::AttachedSnapshot;
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::{ReleaseRate, RolePolicy};
use sealward::domain::statement::Statement;
use sealward::domain::time::Instant;
use sealward::tuf::metadata::read_signed;

use crate::values::{DAY, Model, NOW, expiring, metadata, snapshot, statement, targets, timestamp, version};

fn read(text: impl AsRef<[u8]>) -> Result<Statement, Denial> {
    read_signed(text.as_ref(), 8 << 20)
}

fn refusal(text: impl AsRef<[u8]>) -> Reason {
    read(text).unwrap_err().reason
}

/// Targets with something in `custom`, where everything is accepted that is canonical.
fn with_custom(value: &str) -> String {
    targets(1).replacen("\"expires\"", &format!("\"custom\":{value},\"expires\""), 1)
}

#[test]
fn bytes_are_utf8_without_a_byte_order_mark() {
    assert!(read(targets(1)).is_ok());
    assert_eq!(refusal([b"\xef\xbb\xbf", targets(1).as_bytes()].concat()), Reason::NotCanonical);
    let mut invalid = with_custom("\"?\"").into_bytes();
    let place = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[place] = 0xff;
    assert_eq!(refusal(invalid), Reason::NotCanonical);
}

#[test]
fn depth_is_at_most_64() {
    // The payload itself is the first level.
    let nested = |levels: usize| with_custom(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    assert!(read(nested(63)).is_ok());
    assert_eq!(refusal(nested(64)), Reason::NotCanonical);
    assert_eq!(refusal(nested(1_000_000)), Reason::NotCanonical);
}

#[test]
fn strings_accept_every_raw_byte_but_quotes_and_backslashes() {
    assert!(read(with_custom("\"-----BEGIN-----\nline\u{1}\u{7f}\"")).is_ok(), "PEM carries newlines");
    assert!(read(with_custom("\"\\\"\\\\\"")).is_ok());
    assert_eq!(refusal(with_custom("\"\\n\"")), Reason::NotCanonical);
    assert_eq!(refusal(with_custom("\"\\u0041\"")), Reason::NotCanonical);
    assert_eq!(refusal(with_custom("\"\\ud800\"")), Reason::NotCanonical, "a lone surrogate");
}

#[test]
fn duplicate_members_floats_exponents_and_minus_zero_are_refused() {
    for bad in ["{\"a\":1,\"a\":1}", "1.0", "1e3", "-0", "01", "+1", "NaN", "[1, 2]", "{\"b\":1,\"a\":1}"] {
        assert_eq!(refusal(with_custom(bad)), Reason::NotCanonical, "{bad}");
    }
    for good in
        ["{\"a\":1,\"b\":1}", "0", "-1", "[]", "{}", "null", "true", "9223372036854775807", "-9223372036854775808"]
    {
        assert!(read(with_custom(good)).is_ok(), "{good}");
    }
    assert_eq!(refusal(with_custom("9223372036854775808")), Reason::NotCanonical, "beyond int64");
}

#[test]
fn a_version_is_1_to_2_to_the_53rd_minus_1() {
    assert_eq!(read(targets((1 << 53) - 1)).unwrap().version().get(), (1 << 53) - 1);
    assert_eq!(refusal(targets(0)), Reason::VersionInvalid);
    assert_eq!(refusal(targets(1 << 53)), Reason::VersionInvalid);
    assert_eq!(refusal(snapshot(1, &[("targets", 0)])), Reason::VersionInvalid);
    assert_eq!(refusal(timestamp(1, 1 << 53)), Reason::VersionInvalid);
}

#[test]
fn a_payload_has_at_most_max_payload_bytes() {
    let payload = targets(1);
    assert!(read_signed(payload.as_bytes(), payload.len()).is_ok());
    assert_eq!(read_signed(payload.as_bytes(), payload.len() - 1).unwrap_err().reason, Reason::PayloadTooLarge);
    let mut model = Model::new();
    model.limits("targets").max_payload_bytes = payload.len();
    assert!(model.allows("targets", &payload));
    model.limits("targets").max_payload_bytes = payload.len() - 1;
    assert_eq!(model.refusal("targets", &payload), Reason::PayloadTooLarge);
}

#[test]
fn the_type_is_the_roles_or_targets_for_a_delegated_one() {
    let model = Model::with_first_versions();
    assert_eq!(model.refusal("timestamp", &targets(2)), Reason::WrongRole);
    assert_eq!(model.refusal("snapshot", &timestamp(2, 1)), Reason::WrongRole);
    assert_eq!(model.refusal("targets", &snapshot(2, &[("targets", 1)])), Reason::WrongRole);
    let mut model = model;
    let limits = RolePolicy { ..model.policy.roles[&Role::Targets].clone() };
    model.policy.roles.insert("releases".parse().unwrap(), limits);
    assert_eq!(model.refusal("releases", &snapshot(1, &[("targets", 1)])), Reason::WrongRole);
}

#[test]
fn a_spec_version_has_two_or_three_numeric_parts_and_major_1() {
    let with = |text: &str| targets(1).replace("1.0.31", text);
    for good in ["1.0", "1.0.0", "1.12.345"] {
        assert!(read(with(good)).is_ok(), "{good}");
    }
    for bad in ["2.0.0", "1", "1.0.0.0", "1.x", "", "0.9", "1.0.", "v1.0", "1.0-rc"] {
        assert_eq!(refusal(with(bad)), Reason::SpecVersion, "{bad}");
    }
}

#[test]
fn unknown_members_are_accepted_anywhere() {
    assert!(read(with_custom("{\"x\":[{\"y\":null}]}")).is_ok());
    assert!(read(metadata("timestamp", 1, NOW, r#""snapshot.json":{"unknown":[1],"version":1}"#)).is_ok());
}

#[test]
fn a_timestamp_lists_snapshot_and_nothing_else_and_a_snapshot_lists_targets() {
    assert_eq!(refusal(metadata("timestamp", 1, NOW, "")), Reason::MalformedMetadata);
    let two = r#""snapshot.json":{"version":1},"targets.json":{"version":1}"#;
    assert_eq!(refusal(metadata("timestamp", 1, NOW, two)), Reason::MalformedMetadata);
    assert_eq!(refusal(metadata("timestamp", 1, NOW, r#""targets.json":{"version":1}"#)), Reason::MalformedMetadata);
    assert_eq!(refusal(metadata("snapshot", 1, NOW, "")), Reason::MalformedMetadata);
    assert_eq!(refusal(snapshot(1, &[("releases", 1)])), Reason::MalformedMetadata);
}

#[test]
fn an_expiry_is_one_exact_form() {
    for bad in [
        "2030-01-01T00:00:00.5Z",
        "2030-01-01T00:00:00+00:00",
        "2030-01-01",
        "20300101T000000Z",
        "2030-02-30T00:00:00Z",
    ] {
        assert_eq!(refusal(targets(1).replace(&NOW.plus_seconds(DAY).to_string(), bad)), Reason::ExpiryFormat, "{bad}");
    }
    assert!(Reason::ExpiryFormat.advice().contains("fraction"));
}

#[test]
fn an_expiry_is_in_the_future_and_at_most_max_expiry_away() {
    let mut model = Model::with_first_versions();
    let most = model.limits("timestamp").max_expiry_seconds;
    assert_eq!(most, 7 * DAY);
    let at = |seconds: i64| expiring(&timestamp(2, 1), NOW.plus_seconds(seconds));
    assert_eq!(model.refusal("timestamp", &at(-1)), Reason::Expired);
    assert_eq!(model.refusal("timestamp", &at(0)), Reason::Expired, "not after now");
    assert!(model.allows("timestamp", &at(1)));
    assert!(model.allows("timestamp", &at(most)));
    assert_eq!(model.refusal("timestamp", &at(most + 1)), Reason::ExpiryTooFar);
    assert_eq!(
        model.refusal("timestamp", &expiring(&timestamp(2, 1), Instant::from_unix(253_402_300_799))),
        Reason::ExpiryTooFar
    );
}

#[test]
fn the_defaults_are_7_30_and_365_days() {
    let days = |role: Role| RolePolicy::default_for(&role).max_expiry_seconds / DAY;
    assert_eq!([Role::Timestamp, Role::Snapshot, Role::Targets].map(days), [7, 30, 365]);
    assert_eq!(days("releases".parse().unwrap()), 365);
}

// --- the attached snapshot ---

const FILE: &[u8] = b"the file of snapshot 2, with its signatures";

/// Snapshot 2 is released and its file attached; the timestamp that lists it has this entry.
fn attached(entry: &str) -> (Model, String) {
    let mut model = Model::with_first_versions();
    model.policy.require_snapshot_bytes = true;
    let second = snapshot(2, &[("targets", 1)]);
    model.release("snapshot", &second);
    model.attached = Some(AttachedSnapshot {
        signed_digest: statement(&second).digest(),
        version: version(2),
        file_length: FILE.len() as u64,
        file_digest: Sha256Digest::of(FILE),
    });
    (model, metadata("timestamp", 2, NOW.plus_seconds(DAY), &format!(r#""snapshot.json":{{{entry}}}"#)))
}

fn full_entry(digest: Sha256Digest, length: usize) -> String {
    format!(r#""hashes":{{"sha256":"{digest}"}},"length":{length},"version":2"#)
}

#[test]
fn length_and_hashes_are_optional() {
    let (model, payload) = attached(r#""version":2"#);
    assert!(model.allows("timestamp", &payload));
    let (model, payload) = attached(&full_entry(Sha256Digest::of(FILE), FILE.len()));
    assert!(model.allows("timestamp", &payload));
}

#[test]
fn with_require_snapshot_bytes_a_timestamp_comes_with_its_snapshot() {
    let (mut model, payload) = attached(r#""version":2"#);
    model.attached = None;
    assert_eq!(model.refusal("timestamp", &payload), Reason::SnapshotBytesRequired);
    model.policy.require_snapshot_bytes = false;
    assert!(model.allows("timestamp", &payload));
    assert!(model.allows("snapshot", &snapshot(3, &[("targets", 1)])), "other roles come without");
}

#[test]
fn version_length_and_hash_are_those_of_the_attached_file() {
    let cases = [
        (r#""version":1"#.to_owned(), "version"),
        (full_entry(Sha256Digest::of(FILE), FILE.len() + 1), "length"),
        (full_entry(Sha256Digest::of(b"other"), FILE.len()), "hash"),
    ];
    for (entry, what) in cases {
        let (mut model, payload) = attached(&entry);
        assert_eq!(model.refusal("timestamp", &payload), Reason::SnapshotBytesMismatch, "{what}");
        model.policy.require_snapshot_bytes = false;
        assert_eq!(
            model.refusal("timestamp", &payload),
            Reason::SnapshotBytesMismatch,
            "{what}: what is shown is checked"
        );
    }
}

/// A wrong sha512 beside a right sha256 would make clients refuse the snapshot that we were shown.
#[test]
fn a_hash_that_is_not_checked_is_not_signed_for() {
    let digest = Sha256Digest::of(FILE);
    let both = format!(r#""hashes":{{"sha256":"{digest}","sha512":"{digest}{digest}"}},"version":2"#);
    for entry in [both, format!(r#""hashes":{{"sha512":"{digest}{digest}"}},"version":2"#)] {
        let (mut model, payload) = attached(&entry);
        assert_eq!(model.refusal("timestamp", &payload), Reason::SnapshotBytesMismatch);
        model.attached = None;
        model.policy.require_snapshot_bytes = false;
        assert!(model.allows("timestamp", &payload), "without an attached file nothing is claimed");
    }
}

#[test]
fn an_attached_snapshot_is_the_one_that_was_released_here() {
    let (mut model, payload) = attached(r#""version":2"#);
    model.attached.as_mut().unwrap().signed_digest = Sha256Digest::of(b"another snapshot 2");
    assert_eq!(model.refusal("timestamp", &payload), Reason::SnapshotBytesMismatch);
}

// --- the release rate ---

fn limited(per_hour: u32, burst: u32) -> Model {
    let mut model = Model::with_first_versions();
    model.limits("timestamp").release_rate = ReleaseRate { per_hour, burst };
    model.limits("timestamp").max_expiry_seconds = 365 * DAY;
    model.guards.get_mut(&Role::Timestamp).unwrap().rate = None;
    model
}

#[test]
fn the_default_rates_are_those_of_the_law() {
    let rate = |role: Role| RolePolicy::default_for(&role).release_rate;
    assert_eq!(rate(Role::Timestamp), ReleaseRate { per_hour: 60, burst: 20 });
    for role in [Role::Snapshot, Role::Targets, "releases".parse().unwrap()] {
        assert_eq!(rate(role).per_hour, 600);
    }
}

#[test]
fn a_burst_is_released_at_once_and_not_one_more() {
    let mut model = limited(60, 5);
    for number in 2..=6 {
        model.release("timestamp", &timestamp(number, 1));
    }
    assert_eq!(model.refusal("timestamp", &timestamp(7, 1)), Reason::RateLimited);
}

#[test]
fn the_bucket_refills_by_the_second_and_never_above_the_burst() {
    let mut model = limited(60, 2);
    model.release("timestamp", &timestamp(2, 1));
    model.release("timestamp", &timestamp(3, 1));
    model.now = NOW.plus_seconds(59);
    assert_eq!(model.refusal("timestamp", &timestamp(4, 1)), Reason::RateLimited);
    model.now = NOW.plus_seconds(60);
    model.release("timestamp", &timestamp(4, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(5, 1)), Reason::RateLimited);
    model.now = NOW.plus_seconds(10 * 3600);
    model.release("timestamp", &timestamp(5, 1));
    model.release("timestamp", &timestamp(6, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(7, 1)), Reason::RateLimited, "ten hours fill it only once");
}

#[test]
fn the_slowest_rate_is_not_lost_to_rounding() {
    let mut model = limited(1, 1);
    model.release("timestamp", &timestamp(2, 1));
    model.now = NOW.plus_seconds(3599);
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited);
    model.now = NOW.plus_seconds(3600);
    model.release("timestamp", &timestamp(3, 1));
}

#[test]
fn a_clock_that_goes_back_refills_nothing() {
    let mut model = limited(60, 1);
    model.release("timestamp", &timestamp(2, 1));
    model.now = NOW.plus_seconds(-7200);
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited);
    model.now = NOW.plus_seconds(59);
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited);
}

#[test]
fn the_rate_is_raised_by_policy_only() {
    let mut model = limited(60, 1);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited);
    model.limits("timestamp").release_rate = ReleaseRate { per_hour: 0, burst: 0 };
    model.guards.get_mut(&Role::Timestamp).unwrap().rate = None;
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited, "0 means none");
    model.limits("timestamp").release_rate = ReleaseRate { per_hour: u32::MAX, burst: u32::MAX };
    assert!(model.allows("timestamp", &timestamp(3, 1)));
}
