//! The tables of the guide's Markdown, and what their cells say.

/// A table: the names of its columns, and its rows, each cell without the quotes of code.
pub(crate) struct Table {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<&'static str>>,
}

/// What is to happen for one input in one state: `next: told + queued`.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// The state that follows.
    pub(crate) next: &'static str,
    /// What the caller is told; empty for nothing.
    pub(crate) told: &'static str,
    /// What is queued for the peer, in order.
    pub(crate) queued: Vec<&'static str>,
}

/// All tables of a page, in order.
pub(crate) fn tables(page: &'static str) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let columns = cells(line);
        let rule = lines.next().unwrap_or_default();
        assert!(rule.chars().all(|c| "|-".contains(c)), "no rule below {line}");
        let mut rows = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
            let row = cells(line);
            assert_eq!(row.len(), columns.len(), "cells of {line}");
            rows.push(row);
        }
        tables.push(Table { columns, rows });
    }
    tables
}

fn cells(line: &'static str) -> Vec<&'static str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let inner = inner.unwrap_or_else(|| panic!("not a row: {line}"));
    inner.split('|').map(|cell| unquoted(cell.trim())).collect()
}

/// Without the backticks around it, if it is code as a whole.
fn unquoted(cell: &'static str) -> &'static str {
    match cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) {
        Some(code) if !code.contains('`') => code,
        _ => cell,
    }
}

/// The text of the fenced blocks of a page, in order.
pub(crate) fn blocks(page: &'static str) -> Vec<&'static str> {
    let block = |fenced: &'static str| fenced.split_once('\n').map_or("", |(_, text)| text);
    page.split("```").skip(1).step_by(2).map(block).collect()
}

impl Table {
    /// The one table among `tables` whose first columns have these names.
    pub(crate) fn find<'t>(tables: &'t [Self], columns: &[&str]) -> &'t Self {
        let mut found = tables.iter().filter(|table| table.columns.starts_with(columns));
        let table = found.next().unwrap_or_else(|| panic!("no table of {columns:?}"));
        assert!(found.next().is_none(), "two tables of {columns:?}");
        table
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> usize {
        let place = self.columns.iter().position(|column| *column == name);
        place.unwrap_or_else(|| panic!("no column {name}"))
    }

    /// The cells of a column.
    pub(crate) fn cells(&self, name: &str) -> Vec<&'static str> {
        let column = self.column(name);
        self.rows.iter().map(|row| row[column]).collect()
    }
}

impl Cell {
    /// The cell `text` in the row or column of `state`.
    pub(crate) fn parse(text: &'static str, state: &'static str) -> Self {
        assert!(!text.is_empty(), "an empty cell for {state}");
        let (rest, queued) = text.split_once(" + ").unwrap_or((text, ""));
        let (next, told) = rest.split_once(": ").unwrap_or((rest, ""));
        let next = if next == "=" { state } else { next };
        let queued = queued.split(", ").filter(|queued| !queued.is_empty()).collect();
        Self { next, told, queued }
    }
}

/// Each row names the section that it follows from.
pub(crate) fn has_sections(table: &Table) {
    let column = table.columns.iter().position(|name| name.starts_with("RFC"));
    let column = column.unwrap_or_else(|| panic!("no sections in {:?}", table.columns));
    for row in &table.rows {
        assert!(row[column].contains('§'), "no section in {row:?}");
    }
}

/// What is between quotes, and how often: `"x" × 125`.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let (text, times) = text.split_once(" × ").unwrap_or((text, "1"));
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inner = inner.unwrap_or_else(|| panic!("no quotes: {text}"));
    unescaped(inner).repeat(times.parse().unwrap())
}

/// Text with `\r`, `\n` and `\xff` for bytes, and `x{50}` for a letter so many times.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (byte, length) = match rest.as_bytes() {
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'x', ..] => (u8::from_str_radix(&rest[2..4], 16).unwrap(), 4),
            [b'{', ..] => {
                let end = rest.find('}').unwrap();
                let times: usize = rest[1..end].parse().unwrap();
                let last = *bytes.last().unwrap();
                bytes.extend(std::iter::repeat_n(last, times - 1));
                rest = &rest[end + 1..];
                continue;
            }
            _ => {
                assert!(c.is_ascii(), "{text}");
                (c as u8, 1)
            }
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}
