//! The tables as the guide has them.

const GUIDE: &str = include_str!("../../../src/guide/faults.rs");

/// A table of the guide: the names of its columns, and its rows with theirs.
pub(crate) struct Table {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<(&'static str, Vec<&'static str>)>,
}

fn cells(line: &'static str) -> Vec<&'static str> {
    let line = line.trim().trim_start_matches("//! |").trim_end_matches('|');
    line.split('|').map(str::trim).collect()
}

/// The table below the heading `heading`.
pub(crate) fn table(heading: &str) -> Table {
    let mut lines = GUIDE.lines().skip_while(|line| line.trim() != format!("//! # {heading}"));
    assert!(lines.next().is_some(), "there is no heading {heading:?}");
    let mut lines = lines
        .skip_while(|line| !line.starts_with("//! |"))
        .take_while(|line| line.starts_with("//! |"));
    let columns = cells(lines.next().expect("a table")).split_off(1);
    let rows = lines.skip(1).map(|line| {
        let mut row = cells(line);
        let name = row.remove(0);
        assert_eq!(row.len(), columns.len(), "{line}");
        (name, row)
    });
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty());
    Table { columns, rows }
}

/// Plays each cell with `play`, and says of all that are not as the guide has them what they are.
pub(crate) fn check(
    heading: &str,
    rows: usize,
    mut play: impl FnMut(&str, &str) -> Vec<(String, String)>,
) {
    let _watchdog = crate::support::watchdog();
    let table = table(heading);
    assert_eq!(table.rows.len(), rows, "rows and tests of them");
    let (mut wrong, mut played) = (Vec::<(&str, &str, String, String)>::new(), 0);
    for (row, cells) in &table.rows {
        for (column, cell) in table.columns.iter().zip(cells) {
            for (how, outcome) in play(row, column) {
                played += 1;
                let other =
                    wrong.iter().any(|(r, c, o, _)| (*r, *c, o) == (*row, *column, &outcome));
                if outcome != *cell && !other {
                    wrong.push((*row, *column, outcome, how));
                }
            }
        }
    }
    println!("{heading}: {played} cases");
    for (row, column, outcome, how) in &wrong {
        println!("{row} | {column}: {outcome} ({how})");
    }
    assert!(wrong.is_empty(), "the guide says otherwise");
}
