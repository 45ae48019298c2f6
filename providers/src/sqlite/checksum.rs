//! The checksum of a stored group: SQLite notices a damaged page structure, but not damaged content.

/// Returns the CRC-32 of a group at its place, so that a row is neither changed nor moved unnoticed.
pub(super) fn checksum(stream: i64, version: u64, fence: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&stream.to_le_bytes());
    hasher.update(&version.to_le_bytes());
    hasher.update(&fence.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
