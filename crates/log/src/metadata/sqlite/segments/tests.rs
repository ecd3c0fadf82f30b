use forebay_types::SystemClock;

use super::super::schema;
use super::*;

/// Every lookup searches an index for its first row, in the order in which rows are wanted: none scans or sorts.
#[test]
fn lookups_walk_down_an_index_and_sort_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("log.db");
    std::fs::write(&path, b"").unwrap();
    let db = schema::open(&path, &SystemClock::new()).unwrap();
    for (rest, index) in [
        (HOLDING, "segments_1 (pid=? AND base_offset<?)"),
        (NEXT, "segments_1 (pid=? AND base_offset>?)"),
        (AT_TIME, "segments_running (pid=? AND running_max_timestamp>?)"),
        (ALONG, "segments_1 (pid=? AND base_offset>?)"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN SELECT {COLUMNS} {FROM} {rest}");
        let mut statement = db.prepare(&sql).unwrap();
        let count = statement.parameter_count();
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{rest}: {plan}");
        assert!(plan.contains("SEARCH o USING PRIMARY KEY"), "{rest}: {plan}");
        assert!(
            !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "{rest}: {plan}"
        );
    }
}
