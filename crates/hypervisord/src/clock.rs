//! The time as text.

/// Returns the present as `/api/v1` and the store have it: RFC 3339 in UTC with `Z`, six digits of a second. Such texts are
/// in the order of their times.
pub fn timestamp() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Returns the time so long ago, in the same form.
pub fn ago(duration: std::time::Duration) -> String {
    let then = jiff::Timestamp::now().checked_sub(duration).unwrap_or(jiff::Timestamp::MIN);
    format!("{then:.6}")
}

/// Returns the time so far ahead, in the same form.
pub fn ahead(duration: std::time::Duration) -> String {
    let then = jiff::Timestamp::now().checked_add(duration).unwrap_or(jiff::Timestamp::MAX);
    format!("{then:.6}")
}
