//! Text that can never be markup, and tables of it.

use std::fmt::Write;

/// Text as HTML shows it. What comes from workers, files and users all goes through here.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push('\n'),
            character if character.is_control() => safe.push('\u{fffd}'),
            character => safe.push(character),
        }
    }
    safe
}

/// A stranger's text: it cannot turn the direction of what stands beside it.
pub(super) fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(text))
}

/// A table. Cells are HTML; the columns of numbers stand at the right.
pub(super) struct Table<'a> {
    pub(super) caption: &'a str,
    /// Heads, and whether a column holds numbers.
    pub(super) heads: &'a [(&'a str, bool)],
    pub(super) rows: Vec<Vec<String>>,
}

impl Table<'_> {
    pub(super) fn html(&self) -> String {
        let class = |column: usize| match self.heads.get(column) {
            Some((_, true)) => " class=\"n\"",
            _ => "",
        };
        // Scrolls by itself where it is wider than the screen, also by keyboard.
        let caption = escaped(self.caption);
        let mut html = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table>\
             <caption>{caption}</caption><thead><tr>"
        );
        // Writing to a text cannot fail.
        for (column, (head, _)) in self.heads.iter().enumerate() {
            let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(column), escaped(head));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            html.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = if column == 0 {
                    write!(html, "<th scope=\"row\"{}>{cell}</th>", class(column))
                } else {
                    write!(html, "<td{}>{cell}</td>", class(column))
                };
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
        html
    }
}

/// Names and what they stand for, as a list. Values are HTML.
pub(super) fn list(class: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut html = format!("<dl class=\"{class}\">");
    for (name, value) in pairs {
        if let Some(value) = value {
            let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
    }
    html.push_str("</dl>");
    html
}
