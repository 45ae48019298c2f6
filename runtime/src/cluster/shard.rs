//! Which shard a key is in, and which member a shard belongs with.

use crate::random::mix;

/// How many shards a cluster has unless its first node says otherwise. Never changes once a cluster is there.
pub const SHARDS: u16 = 1024;

/// The number of a shard, below the view's count.
pub type Shard = u16;

/// Returns the shard of a key: the same on every node, in every version.
///
/// FNV-1a over `tenant`, `kind` and `key`, each closed by a zero byte, then the finaliser of splitmix64, as FNV's low bits
/// alone are not even (<https://www.rfc-editor.org/rfc/rfc9923>, read 2026-11).
///
/// ```
/// use beluga_runtime::cluster::{SHARDS, shard_of};
///
/// assert_eq!(shard_of("acme", "session", "alice", SHARDS), 218);
/// assert_ne!(shard_of("acme", "session", "alic", SHARDS), shard_of("acme", "sessiona", "lic", SHARDS));
/// ```
#[must_use]
pub fn shard_of(tenant: &str, kind: &str, key: &str, shards: u16) -> Shard {
    let mut hash = FNV_OFFSET;
    for part in [tenant, kind, key] {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    let place = mix(hash) % u64::from(shards.max(1));
    u16::try_from(place).unwrap_or_default()
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Returns how well a shard belongs with a member: the highest of all has it. A member of twice the weight wins twice as
/// often, and one that comes or goes moves no shard between others.
///
/// Weighted rendezvous hashing, `-weight / ln(u)` with `u` drawn from shard and member (Schindelhauer and Schomaker,
/// "Weighted Distributed Hash Tables", 2005).
pub(super) fn affinity(shard: Shard, name: &str, weight: u32) -> f64 {
    let drawn = name.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let bits = mix(drawn ^ mix(u64::from(shard) + 1)) >> 11;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / unit.ln()
}
