//! Tables for people.

use std::fmt::Write;

/// Columns under each other, numbers at the right, the rest at the left. The first row is the head;
/// all rows have as many cells.
pub(crate) fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let numbers: Vec<bool> = (0..columns)
        .map(|column| {
            let body = || table.iter().skip(1).map(|row| row[column].as_str());
            body().any(|cell| cell != "-") && body().all(|cell| cell == "-" || is_number(cell))
        })
        .collect();
    aligned_as(table, &numbers)
}

/// The same where it is known which columns stand at the right.
pub(crate) fn aligned_as(table: &[Vec<String>], right: &[bool]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..right.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a text cannot fail.
            let _ = if right[column] {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `7,200`, `0.9762`, `97.62 %`, `3/20`.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|char: char| char.is_ascii_digit())
        && cell.chars().all(|char| char.is_ascii_digit() || ",./ %".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right_and_words_at_the_left() {
        let rows = [["name", "of", "part"], ["a", "3/20", "-"], ["b2", "7,200", "97.62 %"]];
        let table: Vec<Vec<String>> =
            rows.map(|row| row.map(str::to_owned).to_vec()).into_iter().collect();
        let expected = "name     of     part\na      3/20        -\nb2    7,200  97.62 %\n";
        assert_eq!(aligned(&table), expected);
        assert!(!is_number("2026-11-25 17:53") && !is_number("-") && !is_number("local-1"));
        assert_eq!(aligned(&[]), "");
    }
}
