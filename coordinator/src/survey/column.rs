//! What is noted of a column while a file is read.

use std::collections::HashMap;

use crate::data::columns::WORDS_MAX;
use crate::data::sort_classes;

/// Cells that say that there is nothing.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// Where something was seen, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// How often.
    pub count: u64,
    /// The first line.
    pub line: u64,
    /// What stood there.
    pub text: String,
}

impl Places {
    /// Notes one more.
    pub(super) fn add(&mut self, line: u64, text: &str) {
        if self.count == 0 {
            self.line = line;
            self.text = text.chars().take(40).collect();
        }
        self.count += 1;
    }
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All empty.
    Empty,
    /// Whole numbers.
    Whole,
    /// Numbers.
    Number,
    /// Numbers, but for a few cells.
    MostlyNumber,
    /// A few words, again and again.
    Words,
    /// Text that hardly ever is the same twice.
    Text,
}

impl Kind {
    /// For people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Whole => "whole number",
            Self::Number => "number",
            Self::MostlyNumber => "mixed",
            Self::Words => "words",
            Self::Text => "text",
        }
    }

    /// Whether all cells are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Number)
    }
}

/// One column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Cells with something in them.
    pub filled: u64,
    /// Cells without.
    pub missing: Places,
    /// Cells that are finite numbers.
    pub numbers: u64,
    /// Cells that are numbers too large for 32 bits, or infinite.
    pub not_finite: Places,
    /// Cells that are no numbers.
    pub words: Places,
    /// The smallest number.
    pub min: f64,
    /// The largest number.
    pub max: f64,
    /// The mean of the numbers.
    pub mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
    whole: bool,
    /// Each number is the one before plus one.
    pub counts_up: bool,
    last: f64,
    /// How often each value occurs; nothing when there are too many.
    values: Option<HashMap<String, u64>>,
}

impl Column {
    pub(super) fn new(name: String) -> Self {
        let values = Some(HashMap::new());
        Self { name, whole: true, counts_up: true, values, ..Self::default() }
    }

    /// Notes a cell.
    pub(super) fn add(&mut self, text: &str, line: u64) {
        if MISSING.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            self.missing.add(line, text);
            self.counts_up = false;
            return;
        }
        self.filled += 1;
        self.count_value(text);
        match text.parse::<f32>() {
            Ok(number) if number.is_finite() => self.add_number(f64::from(number)),
            Ok(_) => self.not_finite.add(line, text),
            Err(_) => self.words.add(line, text),
        }
    }

    fn count_value(&mut self, text: &str) {
        let Some(values) = &mut self.values else { return };
        if let Some(count) = values.get_mut(text) {
            *count += 1;
        } else if values.len() < WORDS_MAX {
            values.insert(text.to_owned(), 1);
        } else {
            self.values = None;
        }
    }

    fn add_number(&mut self, number: f64) {
        self.numbers += 1;
        if self.numbers == 1 {
            (self.min, self.max) = (number, number);
        } else if (number - self.last - 1.0).abs() > f64::EPSILON {
            self.counts_up = false;
        }
        self.last = number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.whole &= number.fract() == 0.0;
        let before = number - self.mean;
        self.mean += before / self.numbers as f64;
        self.squares += before * (number - self.mean);
    }

    /// Standard deviation of the numbers.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        if self.numbers == 0 { 0.0 } else { (self.squares / self.numbers as f64).sqrt() }
    }

    /// How many values there are; nothing when there are too many to count.
    #[must_use]
    pub fn distinct(&self) -> Option<usize> {
        self.values.as_ref().map(HashMap::len)
    }

    /// Each value with how often it occurs, in the order in which classes are numbered; nothing when
    /// there are too many.
    #[must_use]
    pub fn values(&self) -> Option<Vec<(&str, u64)>> {
        let values = self.values.as_ref()?;
        let mut values: Vec<_> =
            values.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        sort_classes(&mut values, |(text, _)| text);
        Some(values)
    }

    /// What its cells are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        /// Part of the cells that may be slips in a column of numbers.
        const SLIPS: f64 = 0.1;
        /// Words that each stand in fewer rows than this on the average are none.
        const REPEATS_MIN: f64 = 2.0;
        let filled = self.filled as f64;
        if self.filled == 0 {
            return Kind::Empty;
        }
        if self.words.count == 0 {
            return if self.whole { Kind::Whole } else { Kind::Number };
        }
        if self.words.count as f64 <= SLIPS * filled {
            return Kind::MostlyNumber;
        }
        match self.distinct() {
            Some(distinct) if filled >= REPEATS_MIN * distinct as f64 || distinct <= 3 => {
                Kind::Words
            }
            _ => Kind::Text,
        }
    }

    /// Whether all its cells are the same.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.filled > 1 && self.missing.count == 0 && self.distinct() == Some(1)
    }

    /// Whether it looks like the number of the row.
    #[must_use]
    pub fn is_row_number(&self) -> bool {
        const ROWS_MIN: u64 = 10;
        self.kind() == Kind::Whole && self.counts_up && self.filled >= ROWS_MIN
    }
}
