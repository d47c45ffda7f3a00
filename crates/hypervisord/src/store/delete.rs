//! Forgetting jobs. Their logs go with them; requests are forgotten after their own time.

use hyper_api::JobId;
use rusqlite::Connection;

use super::Result;

pub(super) fn delete(connection: &Connection, ids: &[JobId]) -> Result<u64> {
    let sql = "DELETE FROM job WHERE id = ?1 AND state NOT IN ('pending', 'running')";
    let mut statement = connection.prepare_cached(sql)?;
    let mut deleted = 0;
    for id in ids {
        deleted += statement.execute([id.as_str()])?;
    }
    Ok(count(deleted))
}

pub(super) fn expire(connection: &Connection, keep: u64, before: &str, at_most: u32) -> Result<u64> {
    let sql = "DELETE FROM job WHERE seq IN (\
                 SELECT seq FROM job WHERE ended_at IS NOT NULL AND (ended_at < ?2 OR ended_at <= \
                   (SELECT ended_at FROM job WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1 OFFSET ?1)) \
                 ORDER BY ended_at LIMIT ?3)";
    let deleted = connection.prepare_cached(sql)?.execute((keep, before, at_most))?;
    connection.prepare_cached("DELETE FROM request WHERE at < ?1")?.execute([before])?;
    Ok(count(deleted))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
