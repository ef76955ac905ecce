//! **The generated gRPC types**, and nothing of ours but conversions.
//!
//! `generated/` is made from `proto/` by `make generate` and compared byte for byte by `tests/generated_code.rs`.
//! Service traits exist with the feature `daemon`, stubs with the feature `cli`, messages always.

mod convert;
#[cfg(any(feature = "daemon", feature = "cli"))]
pub mod status;

/// `sealward.v1`: messages, service traits (`*_service_server`) and stubs (`*_service_client`).
#[allow(missing_docs, unused_qualifications, unreachable_pub)] // the generator's output, documented where proto/ is
#[allow(clippy::all, clippy::large_futures)]
pub mod v1 {
    include!("generated/sealward.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of `proto/`, without comments: for server reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");

/// The largest message in bytes, either way: the largest payload (64 MiB of targets) with an attached snapshot (8 MiB)
/// and names. Doors and the client set the same limit.
pub const MESSAGE_LIMIT_BYTES: usize = (72 << 20) + (64 << 10);
